"""What is asked of a run between two steps: pause, resume, checkpoint, sample, stop; each answered when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_gpt.checkpoints import manifest
from tui_gpt.run.messages import Command, Ended

if TYPE_CHECKING:
    from tui_gpt.training.loop.trainer import Trainer


def apply_commands(trainer: Trainer) -> None:
    trainer.recorder.retry_failed_save()
    while not trainer.control.stop_requested and (command := trainer.control.next_command()):
        _apply(trainer, command)


def _apply(trainer: Trainer, command: Command) -> None:
    match command.name:
        case "pause":
            _pause(trainer, command)
        case "resume":
            trainer.control.ack(command, f"running already, at step {trainer.progress.step:,}")
        case "checkpoint":
            _checkpoint_now(trainer, command)
        case "sample":
            trainer.sample()
            trainer.control.ack(command, f"sampled at step {trainer.progress.step:,}")


def _checkpoint_now(trainer: Trainer, command: Command) -> None:
    step = trainer.progress.step
    if not step:
        trainer.control.ack(command, "there is nothing to save before the first step", ok=False)
        return
    if step != trainer.saved_step:
        with trainer.phase("saving"):
            trainer.save("full")
    if error := trainer.recorder.wait():
        trainer.control.ack(command, f"could not save: {error}", ok=False)
    else:
        trainer.control.ack(command, f"saved {manifest.step_folder(trainer.folder.checkpoints, step).name}")


def _pause(trainer: Trainer, command: Command) -> None:
    """Pause until resumed or asked to stop; other commands are obeyed meanwhile."""
    trainer.recorder.flush()
    trainer.control.set_phase("paused", "")
    trainer.control.ack(command, f"paused at step {trainer.progress.step:,}")
    while not trainer.control.stop_requested:
        asked = trainer.control.next_command(timeout_seconds=1.0)
        if asked is None or asked.name == "stop":
            continue
        if asked.name == "resume":
            trainer.control.set_phase("running", "training")
            trainer.control.ack(asked, f"running on from step {trainer.progress.step:,}")
            break
        if asked.name == "pause":
            trainer.control.ack(asked, f"paused already, at step {trainer.progress.step:,}")
        else:
            _apply(trainer, asked)
    trainer.stopwatch.restart()


def stop_run(trainer: Trainer) -> Ended:
    """Save, unless asked to stop now, and say why the run ends here."""
    command, step = trainer.control.stop_command, trainer.progress.step
    assert command is not None
    trainer.control.set_phase("stopping", "saving")
    if step and step != trainer.saved_step and not command.now:
        trainer.save("full")
    elif not command.now:
        trainer.recorder.flush()
    if error := trainer.recorder.wait():
        return Ended(state="failed", message=f"could not save the last checkpoint: {error}", step=step)
    saved = f", saved at step {trainer.saved_step:,}" if trainer.saved_step else ", nothing to save yet"
    message = f"stopped at step {step:,}{saved}"
    trainer.control.ack(command, message)
    return Ended(state="stopped", message=message, step=step, by_signal=command.sender == "signal")
