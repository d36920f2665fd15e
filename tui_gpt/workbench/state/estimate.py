"""What a config will cost: size, steps, epochs, memory, time where a speed is known, and what to think over first.

Everything here is arithmetic on the config and on what is known of corpus and machine. A figure that cannot be known
yet is None rather than guessed.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gpt.config import Config, Duration
from tui_gpt.config.estimates import memory_bytes, parameters, rows_per_epoch, window_step
from tui_gpt.errors import ConfigError, UserError
from tui_gpt.run.folder import list_runs

if TYPE_CHECKING:
    from tui_gpt.workbench.state.corpora.corpus_summary import CorpusSummary
    from tui_gpt.workbench.state.system_monitor import SystemReadings

GIB = 2**30
MAX_EPOCHS = 4.0  # up to here, repeated text teaches about as much as new text (Muennighoff et al. 2023)
MIN_VALIDATION_WINDOWS = 16


@dataclass(frozen=True)
class Speed:
    """Tokens a second that an earlier run of the same model reached on this machine."""

    tokens_per_second: float
    run: str


@dataclass(frozen=True)
class Estimate:
    """None stands for what cannot be known yet. `warnings`: sentences, the gravest first."""

    tokens_per_step: int
    vocab_size: int | None = None
    parameters: int | None = None
    steps: int | None = None
    tokens: int | None = None
    epochs: float | None = None
    tokens_per_parameter: float | None = None
    memory_bytes: int | None = None
    memory_free_bytes: int | None = None
    memory_device: str = "host"
    seconds: float | None = None
    warnings: tuple[str, ...] = ()


def estimate(
    config: Config, corpus: CorpusSummary | None, readings: SystemReadings, speed: Speed | None = None
) -> Estimate:
    """Return what training with `config` will cost."""
    vocab_size = corpus.vocab_size if corpus else None
    train_tokens = corpus.train_tokens if corpus else None
    count = parameters(config.model, vocab_size) if vocab_size else None
    per_step = config.tokens_per_step
    duration = Duration.parse(config.training.duration)
    context = config.model.context_length
    window = window_step(config.data.mode, config.data.stride, context)
    steps_per_epoch = rows_per_epoch(train_tokens, context, window) / config.sequences_per_step if train_tokens else 0.0
    steps: int | None = None
    if duration.unit != "epochs" or steps_per_epoch:
        steps = duration.steps(tokens_per_step=per_step, steps_per_epoch=steps_per_epoch)
    seconds = duration.amount * 60 if duration.unit == "minutes" else None
    if steps is None and seconds is not None and speed:
        steps = round(seconds * speed.tokens_per_second / per_step)
    tokens = steps * per_step if steps else None
    if seconds is None and tokens and speed:
        seconds = tokens / speed.tokens_per_second
    needed = memory_bytes(config, vocab_size) if vocab_size else None
    free, device = _free_memory(config, readings)
    epochs = steps / steps_per_epoch if steps and steps_per_epoch else None
    per_parameter = tokens / count if tokens and count else None
    found = Estimate(
        tokens_per_step=per_step,
        vocab_size=vocab_size,
        parameters=count,
        steps=steps,
        tokens=tokens,
        epochs=epochs,
        tokens_per_parameter=per_parameter,
        memory_bytes=needed,
        memory_free_bytes=free,
        memory_device=device,
        seconds=seconds,
    )
    return replace(found, warnings=tuple(_warnings(config, corpus, found)))


def _free_memory(config: Config, readings: SystemReadings) -> tuple[int | None, str]:
    from tui_gpt.hardware import choose_gpu, visible_gpus

    try:
        card = choose_gpu(config.training.device, visible_gpus(list(readings.gpus)))
    except ConfigError:
        return None, config.training.device
    if card is not None:
        return card.memory_free_bytes, f"gpu{card.index}"
    return (readings.host.memory_free_bytes, "host") if readings.host else (None, "host")


def _warnings(config: Config, corpus: CorpusSummary | None, found: Estimate) -> Iterator[str]:
    """Yield what to think over before the start, the gravest first."""
    context, warmup = config.model.context_length, config.schedule.warmup_steps
    train, val = (corpus.train_tokens, corpus.val_tokens) if corpus else (None, None)
    needed, free = found.memory_bytes, found.memory_free_bytes
    if needed is not None and free is not None and needed > free:
        yield (
            f"about {needed / GIB:.1f} GiB of memory are needed and {free / GIB:.1f} GiB are free on"
            f" {found.memory_device}: lower training.micro_batch_size"
        )
    if train is not None and train <= context:
        yield (
            f"the corpus has {train:,} training tokens, and one context holds {context:,}:"
            " choose a larger corpus or lower model.context_length"
        )
    elif val is not None and val < context * MIN_VALIDATION_WINDOWS:
        yield (
            f"the validation split has only {val:,} tokens ({val / context:.1f} contexts):"
            " its loss will be noisy; raise data.val_fraction"
        )
    epochs, per_parameter, steps = found.epochs, found.tokens_per_parameter, found.steps
    if epochs is not None and epochs > MAX_EPOCHS:
        times = f"{epochs:.1f}" if epochs < 10 else f"{epochs:,.0f}"
        yield f"the corpus is repeated {times} times: past {MAX_EPOCHS:g} epochs repeated text teaches less"
    if per_parameter is not None and per_parameter < 1:
        yield (
            f"{per_parameter:.2g} tokens are seen for each parameter: a smaller model or a longer run learns more"
            " (about 20 is usual)"
        )
    if steps is not None and warmup >= steps:
        yield f"the warmup of {warmup:,} steps is as long as the run of {steps:,}: lower schedule.warmup_steps"


def find_speed(runs_dir: Path, config: Config, *, look_back: int = 30) -> Speed | None:
    """Return what the newest earlier run of the same model, batch and device reached on this host. Blocking."""
    wanted = (config.model, config.sequences_per_step, config.training.device)
    try:
        folders = list_runs(runs_dir)[-look_back:]
    except OSError:
        return None
    for folder in reversed(folders):
        try:
            status = folder.read_status()
            if status is None or status.step <= 10 or status.elapsed_seconds <= 0:
                continue
            other = folder.read_config()
        except (UserError, OSError, ValueError, RecursionError):
            continue
        is_here = status.host in ("", socket.gethostname())
        if is_here and wanted == (other.model, other.sequences_per_step, other.training.device):
            return Speed(status.tokens / status.elapsed_seconds, folder.id)
    return None
