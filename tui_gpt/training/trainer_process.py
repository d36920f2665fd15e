"""The trainer process: prepares the run, trains, and reports how the run ended."""

from __future__ import annotations

import traceback
from pathlib import Path

import msgspec

from tui_gpt.config import to_dict
from tui_gpt.errors import CannotResumeError, UserError
from tui_gpt.files import add_checksum, write_atomically
from tui_gpt.run.child_process import Channel
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Ended, Failure
from tui_gpt.run.supervisor import StartRequest
from tui_gpt.training.loop.control import StopRequested, TrainerControl
from tui_gpt.training.run_info import describe_run, floor_note
from tui_gpt.training.run_setup import PreparedRun, prepare_run


def run_trainer(channel: Channel, folder: str, request: StartRequest) -> None:
    """Entry point of the trainer process. Always sends an `Ended` message; tracebacks go to the log."""
    control = TrainerControl(channel)
    control.listen()
    try:
        ended = _run(RunFolder(Path(folder)), request, control)
    except StopRequested:
        by_signal = control.stop_command is not None and control.stop_command.sender == "signal"
        ended = Ended(state="stopped", message="stopped before the first step", by_signal=by_signal)
    except UserError as error:
        failure = Failure.of(error)
        ended = Ended(state="failed", message=str(error), step=control.progress.step, failure=failure)
    except Exception as error:
        traceback.print_exc()
        lines = str(error).strip().splitlines()
        what = f"{type(error).__name__}: {lines[0] if lines else ''}"
        tail = tuple(traceback.format_exc().splitlines()[-12:])
        failure = Failure(what=what, do=f"See the traceback in {Path(folder, 'trainer.log')}", log_tail=tail)
        ended = Ended(state="failed", message=what, step=control.progress.step, failure=failure)
    channel.send(ended)
    channel.close()


def _run(folder: RunFolder, request: StartRequest, control: TrainerControl) -> Ended:
    for leftover in folder.path.glob(".partial-*"):  # incomplete checkpoints of a killed trainer
        _remove(leftover)
    info = folder.read_info() if request.resume else None
    prepared = prepare_run(folder.read_asked(), Path(request.corpus_dir), control.report_preparation)
    if info is not None and info.corpus is not None and info.corpus.digest != prepared.shards.info.digest:
        raise CannotResumeError(
            f"corpus {prepared.config.data.corpus} has changed since the run started",
            where=folder.id,
            do="Restore the old text, or start a new run from its weights: gpt-tui train --init-from RUN",
        )
    control.report_preparation("loading PyTorch", None)
    from tui_gpt.training.compute import choose_compute
    from tui_gpt.training.loop.trainer import Trainer

    compute = choose_compute(prepared.config.training)
    control.report_preparation("building the model", None)
    trainer = Trainer(folder, prepared, compute, control, stop_at=request.stop_at, resume=request.resume)
    for note in [*prepared.notes, *([compute.note] if compute.note else [])]:
        control.notice("note", note)
    try:
        trainer.dry_run()
        if info is None:
            folder.write_config(to_dict(trainer.state.config))
            described = describe_run(folder, request, prepared, compute, trainer)
            write_atomically(folder.info, add_checksum(msgspec.json.format(msgspec.json.encode(described))))
            _report_loss_floor(prepared, control)
        return trainer.run()
    finally:
        trainer.report_progress()
        control.set_phase(control.progress.state, control.progress.phase)
        trainer.outputs.recorder.wait()


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _report_loss_floor(prepared: PreparedRun, control: TrainerControl) -> None:
    """Report the lowest validation loss that any model can reach, where the corpus has a known entropy."""
    floor, note = prepared.shards.info.floor_loss, floor_note(prepared)
    if floor is not None:
        message = f"the validation loss cannot fall below {floor:.4f} nats per token, the entropy of the text"
        control.notice("note", message + (f" ({note})" if note else ""))
