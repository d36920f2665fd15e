"""What the draft will cost, live as it is written: size, steps, epochs, memory, and time where a speed is known.

Everything here is arithmetic on the config and on what is known of corpus and machine; a figure that rests on an
estimate carries `~`, one that cannot be known yet is left out rather than guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gpt.config import Config, Duration
from tui_gpt.config.estimates import memory_bytes, parameters, rows_per_epoch, window_step
from tui_gpt.errors import ConfigError, UserError
from tui_gpt.run.folder import list_runs

if TYPE_CHECKING:
    from tui_gpt.workbench.corpus_facts import CorpusFacts
    from tui_gpt.workbench.machine import Readings


@dataclass(frozen=True)
class Speed:
    """Tokens a second that a run of the same model once made on this machine."""

    tokens_per_second: float
    run: str


@dataclass(frozen=True)
class Plan:
    """None stands for what cannot be known yet."""

    tokens_per_step: int
    vocab_size: int | None
    parameters: int | None
    steps: int | None
    tokens: int | None
    epochs: float | None
    tokens_per_parameter: float | None
    memory_bytes: int | None
    memory_free_bytes: int | None
    memory_where: str
    seconds: float | None
    exact: bool  # whether corpus figures are counts rather than estimates


def make_plan(config: Config, facts: CorpusFacts | None, readings: Readings, speed: Speed | None) -> Plan:
    vocab = facts.vocab_size if facts else None
    count = parameters(config.model, vocab) if vocab else None
    per_step = config.tokens_per_step
    train_tokens = facts.train_tokens if facts else None
    duration = Duration.parse(config.training.duration)
    context = config.model.context_length
    step = window_step(config.data.mode, config.data.stride, context)
    steps_per_epoch = rows_per_epoch(train_tokens, context, step) / config.sequences_per_step if train_tokens else 0.0
    steps: int | None = None
    if duration.unit != "epochs" or steps_per_epoch:
        steps = duration.steps(tokens_per_step=per_step, steps_per_epoch=steps_per_epoch)
    seconds = duration.amount * 60 if duration.unit == "minutes" else None
    if steps is None and seconds is not None and speed:
        steps = round(seconds * speed.tokens_per_second / per_step)
    tokens = steps * per_step if steps else None
    if seconds is None and tokens and speed:
        seconds = tokens / speed.tokens_per_second
    free, where = _free_memory(config, readings)
    return Plan(
        tokens_per_step=per_step,
        vocab_size=vocab,
        parameters=count,
        steps=steps,
        tokens=tokens,
        epochs=steps / steps_per_epoch if steps and steps_per_epoch else None,
        tokens_per_parameter=tokens / count if tokens and count else None,
        memory_bytes=memory_bytes(config, vocab) if vocab else None,
        memory_free_bytes=free,
        memory_where=where,
        seconds=seconds,
        exact=bool(facts and facts.prepared),
    )


def _free_memory(config: Config, readings: Readings) -> tuple[int | None, str]:
    from tui_gpt.hardware import choose_gpu

    try:
        card = choose_gpu(config.training.device, list(readings.gpus))
    except ConfigError:
        return None, config.training.device
    if card is not None:
        return card.memory_free_bytes, f"gpu {card.index}"
    return (readings.host.memory_free_bytes, "host") if readings.host else (None, "host")


def known_speed(runs: Path, config: Config, *, look_back: int = 30) -> Speed | None:
    """What the newest earlier run of the same model, step and device reached. Blocking."""
    for folder in reversed(list_runs(runs)[-look_back:]):
        try:
            other, status = folder.read_config(), folder.read_status()
        except UserError:
            continue
        same = (other.model, other.sequences_per_step, other.training.device) == (
            config.model,
            config.sequences_per_step,
            config.training.device,
        )
        if same and status and status.step > 10 and status.elapsed_seconds > 0:
            return Speed(status.tokens / status.elapsed_seconds, folder.id)
    return None
