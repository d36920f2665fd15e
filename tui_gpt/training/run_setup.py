"""Preparation of a run: make shards of the corpus, and adapt the config to the size of the corpus.

Only values from the preset are adapted. A value that the user set is kept, or refused when it cannot work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tui_gpt.config import Config, Duration, PartialConfig, build, flatten_keys
from tui_gpt.config.estimates import rows_per_epoch, window_step
from tui_gpt.corpora import Shards, ShardsInfo, prepare
from tui_gpt.errors import ConfigError

MIN_STEPS_PER_EPOCH = 8
OPENING_TOKENS = 8


@dataclass
class PreparedRun:
    """The resolved config and the shards of a run. notes: one message for each value that was adapted."""

    config: Config
    shards: Shards
    notes: list[str] = field(default_factory=list)


def prepare_run(asked: PartialConfig, corpus_dir: Path, progress: Callable[[str, float | None], None]) -> PreparedRun:
    """Prepare the corpus and resolve the config. Raise UserError when the run cannot start.

    progress: called with the phase and the fraction of it that is done, if known.
    """
    config = build(asked)
    shards = prepare(config.data, corpus_dir, progress)
    config, notes = fit(config, shards.info.train_tokens, by_hand=flatten_keys(asked))
    notes += _check_val_share(shards.info, config.data.val_fraction)
    if shards.info.documents == 1 and "sampling.prompts" not in flatten_keys(asked):
        config = _with_opening_as_prompt(config, shards)
    return PreparedRun(config, shards, notes)


def _check_val_share(info: ShardsInfo, val_fraction: float) -> list[str]:
    """Return a note when the validation split, made of whole documents, is far from the configured share."""
    share = info.val_tokens / info.tokens
    if val_fraction / 2 <= share <= val_fraction * 2:
        return []
    return [f"validation has {share:.0%} of the tokens, not {val_fraction:.0%}: documents are not split"]


def _with_opening_as_prompt(config: Config, shards: Shards) -> Config:
    """Use the beginning of the text as the prompt: in a single document no end of text comes before a beginning."""
    opening = shards.tokenizer.decode(shards.train[:OPENING_TOKENS].tolist()).rstrip("\ufffd")
    return msgspec.structs.replace(config, sampling=msgspec.structs.replace(config.sampling, prompts=(opening,)))


def fit(config: Config, train_tokens: int, by_hand: dict[str, Any]) -> tuple[Config, list[str]]:
    """Shrink the context, the step and the warmup to fit `train_tokens`, and return notes on what changed.

    by_hand: the keys that the user set; these are kept. Raise ConfigError when such a value cannot work.
    """
    notes: list[str] = []
    context = config.model.context_length
    if context > train_tokens - 1:
        if "model.context_length" in by_hand:
            raise ConfigError(
                f"model.context_length = {context} is longer than the corpus, which has"
                f" {train_tokens:,} training tokens",
                do=f"Set it to at most {train_tokens - 1}, or choose a longer corpus",
            )
        context = max(2, train_tokens - 1)
        notes.append(f"context_length is {context}: the corpus has {train_tokens:,} training tokens")
    rows = rows_per_epoch(train_tokens, context, window_step(config.data.mode, config.data.stride, context))
    max_sequences = max(1, rows // MIN_STEPS_PER_EPOCH)
    micro, accumulation = config.training.micro_batch_size, config.training.accumulation_steps
    if micro * accumulation > max_sequences and "training.accumulation_steps" not in by_hand:
        accumulation = max(1, min(accumulation, max_sequences // micro))
    if micro * accumulation > max_sequences and "training.micro_batch_size" not in by_hand:
        micro = max(1, max_sequences // accumulation)
    if (micro, accumulation) != (config.training.micro_batch_size, config.training.accumulation_steps):
        sequences = "1 sequence" if micro * accumulation == 1 else f"{micro * accumulation} sequences"
        notes.append(f"a step takes {sequences}: the corpus has {rows} windows, and an epoch takes at least 8 steps")
    if config.model.context_length != context:
        config = msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, context_length=context))
    training = msgspec.structs.replace(config.training, micro_batch_size=micro, accumulation_steps=accumulation)
    config = msgspec.structs.replace(config, training=training)
    return _limit_warmup(config, rows / config.sequences_per_step, by_hand, notes), notes


def _limit_warmup(config: Config, steps_per_epoch: float, by_hand: dict[str, Any], notes: list[str]) -> Config:
    """Limit the warmup to a tenth of the run, so that a short run does not end within it."""
    total = Duration.parse(config.training.duration).steps(
        tokens_per_step=config.tokens_per_step, steps_per_epoch=steps_per_epoch
    )
    warmup = config.schedule.warmup_steps
    if total is None or warmup <= total // 10 or "schedule.warmup_steps" in by_hand:
        return config
    notes.append(f"warmup_steps is {total // 10}, a tenth of the run's {total:,} steps")
    return msgspec.structs.replace(config, schedule=msgspec.structs.replace(config.schedule, warmup_steps=total // 10))
