"""What a command, an anomaly or a lack of memory should lead to. The functions only decide; the trainer's loop acts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from tui_gpt.checkpoints.manifest import CheckpointInfo
from tui_gpt.checkpoints.state import TrainingProgress
from tui_gpt.config import Config
from tui_gpt.errors import ConfigError, CorpusError
from tui_gpt.run.messages import CommandName, Failure
from tui_gpt.training.loop.guard import MAX_CONSECUTIVE_ANOMALIES, Anomaly

MAX_REWINDS = 10
EARLY_SAMPLE_STEPS = (0, 10, 25, 50, 100)  # besides every `sampling.every` steps: the text changes most at first


@dataclass(frozen=True)
class Continue:
    """Change nothing. message: why, for whoever asked; ok: False if something that was asked for is refused."""

    message: str
    ok: bool = True


@dataclass(frozen=True)
class Save:
    """Save a full checkpoint now."""


@dataclass(frozen=True)
class Sample:
    """Write samples now."""


@dataclass(frozen=True)
class Pause:
    """Take no step until a resume or stop command. problem: what must be solved before, or empty."""

    problem: str = ""


@dataclass(frozen=True)
class Resume:
    """Continue after a pause, and retry what could not be written."""


@dataclass(frozen=True)
class Rewind:
    """Load a full checkpoint; None: the state before the first step. other_batches: skip the batches since then."""

    checkpoint: Path | None
    other_batches: bool


@dataclass(frozen=True)
class Split:
    """Compute the same step in smaller micro-batches, with this config."""

    config: Config
    message: str


@dataclass(frozen=True)
class Stop:
    """End the run. save: write a full checkpoint first. failure: why the run failed, or None."""

    save: bool
    by_signal: bool = False
    failure: Failure | None = None


Decision = Continue | Save | Sample | Pause | Resume | Rewind | Split | Stop


def decide_on_command(name: CommandName, step: int, *, is_paused: bool, problem: str) -> Decision:
    """Return what a command leads to in a run after `step`. problem: what cannot be written, and why, or empty."""
    if name == "resume":
        return Resume() if is_paused else Continue(f"already running, at step {step:,}")
    if name == "pause":  # a run that waits for disk space then stays paused when there is some
        return Continue(f"already paused, at step {step:,}") if is_paused and not problem else Pause()
    if problem:
        return Continue(f"paused, waiting for disk space: {problem}", ok=False)
    if name == "checkpoint":
        return Save() if step else Continue("nothing to save before the first step", ok=False)
    return Sample()


def decide_on_anomaly(
    anomaly: Anomaly, policy: str, text: str, progress: TrainingProgress, newest: CheckpointInfo | None
) -> Continue | Rewind | Stop:
    """Return what the policy `training.on_anomaly` says. text: of the batch. newest: the last checkpoint before."""
    if policy == "stop" or anomaly.consecutive >= MAX_CONSECUTIVE_ANOMALIES:
        repeated = f", {anomaly.consecutive} steps in a row" if anomaly.consecutive > 1 else ""
        failure = Failure(
            what=f"{anomaly}{repeated}; text of the batch: {text!r}",
            where=f"training.on_anomaly = {policy}",
            do="Lower optimizer.learning_rate, or resume with training.on_anomaly=rewind",
        )
        return Stop(save=True, failure=failure)
    if policy != "rewind":
        return Continue("skipped" if anomaly.skipped else "applied")
    if newest is None:
        return Continue("no checkpoint from before to rewind to")
    if progress.rewinds >= MAX_REWINDS:
        return Continue(f"not rewound: {MAX_REWINDS} rewinds are the limit")
    return Rewind(newest.path, other_batches=True)


def decide_on_oom(
    config: Config, progress: TrainingProgress, newest: CheckpointInfo | None, *, is_half_updated: bool
) -> Split | Rewind | Stop:
    """Return what a step that ran out of memory leads to: smaller micro-batches, else the end of the run, saved.

    is_half_updated: memory ran out while the weights were updated. No weight can then be trusted, and a copy of all of
    them at every step would cost more than the steps since the last checkpoint: these are repeated.
    """
    if is_half_updated and progress.rewinds < MAX_REWINDS:
        return Rewind(newest.path if newest else None, other_batches=False)
    try:
        if not is_half_updated:
            return split_micro_batch(config)
        raise ConfigError(f"out of memory in the update of the weights, after {MAX_REWINDS} rewinds", do="Free memory")
    except ConfigError as error:
        return Stop(save=not is_half_updated, failure=Failure.of(error))


def split_micro_batch(config: Config) -> Split:
    """Return the split of a step that ran out of memory: about half the micro-batch and more accumulation.

    The sequences of a step stay the same. Raise ConfigError when the micro-batch is one sequence.
    """
    training, sequences = config.training, config.sequences_per_step
    smaller = [n for n in range(1, training.micro_batch_size // 2 + 1) if sequences % n == 0]
    if not smaller:
        raise ConfigError(
            f"out of memory with a micro-batch of one sequence of {config.model.context_length} tokens",
            where="training.micro_batch_size",
            do="Set training.activation_checkpointing=true, a shorter model.context_length or a smaller model",
        )
    micro, accumulation = smaller[-1], sequences // smaller[-1]
    message = (
        f"out of memory: reduced micro_batch_size from {training.micro_batch_size} to {micro}, with accumulation_steps"
        f" {accumulation}; the step stays the same"
    )
    training = msgspec.structs.replace(training, micro_batch_size=micro, accumulation_steps=accumulation)
    return Split(msgspec.structs.replace(config, training=training), message)


def decide_on_damage(error: CorpusError, first_step: int) -> Stop:
    """Return what damaged tokens lead to: the end of the run, saved. A pause would not help, since it goes on to use
    the same file, while a resume prepares the corpus again. first_step: of this start of the run.
    """
    do = (
        "Check the disk, then resume the run, which prepares the corpus again. Damaged tokens may have been trained on"
        f" since step {first_step:,}: to repeat these steps, delete the checkpoints after it first"
    )
    return Stop(save=True, failure=Failure(what=error.what, where=error.where, do=do))


def due_at(config: Config, step: int, *, is_last: bool) -> tuple[str, ...]:
    """Return what is to be done after a step, in order: a checkpoint comes after what it holds the result of."""
    due = []
    if is_last or _is_due(step, config.training.eval_every):
        due.append("evaluation")
    if config.sampling.every and (is_last or _is_due(step, config.sampling.every)):
        due.append("sample")
    elif config.sampling.every and step in EARLY_SAMPLE_STEPS:
        due.append("early sample")
    if is_last or _is_due(step, config.checkpoints.every):
        due.append("full")
    elif _is_due(step, config.checkpoints.light_every):
        due.append("light")
    elif "evaluation" in due and config.checkpoints.best:
        due.append("best")
    return tuple(due)


def _is_due(step: int, every: int) -> bool:
    return bool(every) and step % every == 0
