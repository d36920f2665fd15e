"""Commands handled between two steps: pause, resume, checkpoint, sample, stop. Each is acknowledged when done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_gpt.checkpoints import manifest
from tui_gpt.run.messages import Command, Ended

if TYPE_CHECKING:
    from tui_gpt.training.loop.trainer import Trainer


def apply_commands(trainer: Trainer) -> None:
    """Handle every command that has arrived; return as soon as a stop is requested."""
    trainer.recorder.retry_failed_save()
    while not trainer.control.stop_requested and (command := trainer.control.next_command()):
        _apply(trainer, command)


def _apply(trainer: Trainer, command: Command) -> None:
    match command.name:
        case "pause":
            _pause(trainer, command)
        case "resume":
            trainer.control.ack(command, f"already running, at step {trainer.progress.step:,}")
        case "checkpoint":
            _save_checkpoint(trainer, command)
        case "sample":
            trainer.sample()
            trainer.control.ack(command, f"sampled at step {trainer.progress.step:,}")


def _save_checkpoint(trainer: Trainer, command: Command) -> None:
    step = trainer.progress.step
    if not step:
        trainer.control.ack(command, "nothing to save before the first step", ok=False)
        return
    if step != trainer.saved_step:
        with trainer.phase("saving"):
            trainer.save("full", announce=False)  # the acknowledgement reports it
    if error := trainer.recorder.wait():
        trainer.control.ack(command, f"could not save: {error}", ok=False)
    else:
        trainer.control.ack(command, f"saved {manifest.step_folder(trainer.folder.checkpoints, step).name} (full)")


def _pause(trainer: Trainer, command: Command) -> None:
    """Wait until a resume or stop command arrives; handle other commands meanwhile."""
    trainer.recorder.flush()
    trainer.control.set_phase("paused", "")
    trainer.control.ack(command, f"paused at step {trainer.progress.step:,}")
    while not trainer.control.stop_requested:
        received = trainer.control.next_command(timeout_seconds=1.0)
        if received is None or received.name == "stop":
            continue
        if received.name == "resume":
            trainer.control.set_phase("running", "training")
            trainer.control.ack(received, f"resumed at step {trainer.progress.step:,}")
            break
        if received.name == "pause":
            trainer.control.ack(received, f"already paused, at step {trainer.progress.step:,}")
        else:
            _apply(trainer, received)
    trainer.stopwatch.restart()


def stop_run(trainer: Trainer) -> Ended:
    """Save a full checkpoint unless the command says `now`, and return how the run ended.

    The supervisor acknowledges the stop command with the event of the run's end.
    """
    command, step = trainer.control.stop_command, trainer.progress.step
    assert command is not None
    trainer.control.set_phase("stopping", "saving")
    if step and step != trainer.saved_step and not command.now:
        trainer.save("full", announce=False)
    elif not command.now:
        trainer.recorder.flush()
    if error := trainer.recorder.wait():
        return Ended(state="failed", message=f"could not save the last checkpoint: {error}", step=step)
    saved = f", saved at step {trainer.saved_step:,}" if trainer.saved_step else ", nothing to save yet"
    message = f"stopped at step {step:,}{saved}"
    return Ended(state="stopped", message=message, step=step, by_signal=command.sender == "signal")
