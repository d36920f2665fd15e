"""The supervisor of a live run: holds the run's lock, starts the trainer, forwards commands, writes status and events.

It does not import torch, and is the only writer of status.json and events.jsonl. When the trainer dies, it records how.
When the supervisor is killed, the trainer notices, saves a full checkpoint and exits. `launch.py` starts it as
`python -m tui_gpt.run.supervisor FOLDER` in its own session, so that it outlives the terminal, with the request as its
input.

No error leaves a run that cannot be controlled: on one that nobody expected it records the error where it still can,
asks the trainer to save, waits for a bounded time, kills it, and frees the lock.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Literal

import msgspec

from tui_gpt import hardware
from tui_gpt.config import build, flatten_keys, set_key
from tui_gpt.errors import UserError
from tui_gpt.files import add_checksum, write_atomically
from tui_gpt.run import command_files, log_rotation
from tui_gpt.run.child_process import spawn
from tui_gpt.run.command_files import Refused
from tui_gpt.run.folder import RunFolder, take_lock
from tui_gpt.run.folder_place import FolderGone, FolderPlace, log_to_workspace
from tui_gpt.run.jsonl import JsonlWriter
from tui_gpt.run.messages import (
    FINAL_STATES,
    Ack,
    Command,
    Ended,
    Event,
    Failure,
    FolderMoved,
    Message,
    Notice,
    Progress,
    Status,
)

TRAINER = "tui_gpt.training.trainer_process:run_trainer"
TRAINER_ENDS_SECONDS = 60.0  # to leave after its last message
SAVE_SECONDS = 300.0  # to save when the supervisor itself has failed
SCAN_SECONDS = 0.1
HEARTBEAT_SECONDS = 1.0
STOP_NOW_SECONDS = 10.0
LOG_TAIL_LINES = 12


class StartRequest(Message, frozen=True):
    """Parameters of one start of a run, besides the config."""

    corpus_dir: str
    resume: bool = False
    changes: dict[str, Any] = {}  # config keys to change when resuming
    stop_at: int | None = None
    command: str = ""  # the command line, for the record
    trainer: str = TRAINER


class Supervisor:
    """Supervises one start of a run, from taking the lock to the final status."""

    def __init__(self, folder: RunFolder, request: StartRequest) -> None:
        self.folder, self.request = folder, request
        self.place = FolderPlace(folder.path)
        self.pending: dict[str, Command] = {}
        self.undeletable: set[str] = set()  # files in commands/ that were refused and are still there
        self.process: SpawnProcess | None = None
        self.ended: Ended | None = None
        self.signalled = False
        self.kill_at: float | None = None
        self.status_changed = False
        self.status = Status(
            state="starting",
            phase="starting",
            started=time.time(),
            host=socket.gethostname(),
            boot_id=hardware.boot_id(),
            supervisor_pid=os.getpid(),
            stop_at=request.stop_at,
        )

    def run(self) -> None:
        """Start the trainer and supervise it until it ends."""
        lock = take_lock(self.folder)
        self.events = JsonlWriter(self.folder.events)
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(sig, self._on_signal)
        try:
            self._start(lock)
            while self._poll():
                pass
            self._end_trainer(TRAINER_ENDS_SECONDS)
            self._record_exit()
        except FolderGone:
            self._leave_folder()
        except UserError as error:
            self._end_trainer(0)
            self._finish("failed", str(error), Failure.of(error))
        except Exception as error:
            self._end_after(error)

    def _start(self, lock: int) -> None:
        self._reject_stale_commands()
        gpu, gpu_lock = self._prepare()
        self._write_status()
        self.process, self.channel = spawn(
            self.request.trainer,
            str(self.folder.path),
            self.request,
            log=self.folder.log,
            inherit=[lock, *([gpu_lock] if gpu_lock is not None else [])],
            computes_on_cpu=gpu is None,
        )
        self._update(trainer_pids=(self.process.pid,))
        verb = "resumed" if self.request.resume else "started"
        where = f" on {gpu.name} {gpu.uuid}" if gpu else ""
        data = {"changes": self.request.changes, "command": self.request.command}
        self._event(verb, f"{verb}{where}", data={key: value for key, value in data.items() if value})

    # ── main loop ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _poll(self) -> bool:
        """Handle messages of the trainer and forward commands to it. Return False once the trainer is gone."""
        try:
            message = self.channel.receive(SCAN_SECONDS)
            while message is not None:
                self._handle_message(message)
                message = self.channel.receive()
        except EOFError:
            return False
        self.place.check()  # before anything is written into a folder of the same name
        for item in command_files.receive(self.folder):
            if isinstance(item, Command):
                self._forward(item)
            else:
                self._refuse(item)
        if self.signalled:
            self.signalled = False
            self._forward(Command(name="stop", sender="signal"))
        if self.process is not None and self.kill_at is not None and time.monotonic() > self.kill_at:
            self.kill_at = None
            self.process.kill()
        if self.status_changed or abs(time.time() - self.status.heartbeat) > HEARTBEAT_SECONDS:
            self._write_status()
            self._rotate_log()
        return True

    def _handle_message(self, message: Message) -> None:
        match message:
            case Progress():
                self._update(**msgspec.structs.asdict(message))
            case Ack():
                self.pending.pop(message.command_id, None)
                if self.status_changed:
                    self._write_status()  # first, so that a reader of the acknowledgement finds the new state
                self._event(
                    "ack",
                    message.message,
                    level="info" if message.ok else "warning",
                    step=message.step,
                    command_id=message.command_id,
                    command=message.command,
                    ok=message.ok,
                )
            case Notice():
                self._event(**msgspec.structs.asdict(message))
            case Ended():
                self.ended = message

    def _refuse(self, item: Refused) -> None:
        if not item.is_deleted:
            if item.name in self.undeletable:
                return
            self.undeletable.add(item.name)
        self._event("refused", f"commands/{item.name[:100]} {item.reason}", level="warning", ok=False)

    def _forward(self, item: Command) -> None:
        self.pending[item.id] = item
        self.channel.send(item)
        if item.name == "stop":
            self._update(state="stopping")
            if item.now:
                self.kill_at = time.monotonic() + STOP_NOW_SECONDS

    # ── start and end ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self) -> tuple[hardware.Gpu | None, int | None]:
        """Apply the config changes of a resume, and take a GPU. Raise UserError if either is not possible.

        Return the GPU, and the file descriptor of its lock; None for a GPU that others use as well.
        """
        asked = self.folder.read_asked()
        if self.request.changes:
            for key, value in self.request.changes.items():
                set_key(asked, key, value)
            build(asked, str(self.folder.config))
            self.folder.write_config(asked)
        device = str(flatten_keys(asked).get("training.device", "auto"))
        gpu, lock = hardware.take_gpu(device, hardware.visible_gpus(hardware.gpus()))
        if gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu.uuid
            self._update(gpu_uuid=gpu.uuid, device=gpu.name)
        return gpu, lock

    def _reject_stale_commands(self) -> None:
        """Reject commands that were sent while the run was not live."""
        for item in command_files.receive(self.folder):
            if isinstance(item, Command):
                self._reject(item, "rejected: the run was not live when this command was sent")

    def _end_trainer(self, patience_seconds: float) -> None:
        """Wait for the trainer's process to end, and kill it when it does not."""
        if self.process is None:
            return
        self.process.join(patience_seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(STOP_NOW_SECONDS)  # bounded: a process in the kernel's hands may not end

    def _save_and_end(self, *messages: Message) -> None:
        """Ask the trainer to save and stop, wait for its answer for a bounded time, and end it."""
        if self.process is None:
            return
        for message in messages:
            self.channel.send(message)
        deadline = time.monotonic() + SAVE_SECONDS
        try:
            while self.ended is None and (left := deadline - time.monotonic()) > 0:
                answer = self.channel.receive(left)
                self.ended = answer if isinstance(answer, Ended) else None
        except (EOFError, OSError):
            pass
        if self.ended is not None:
            self._update(step=self.ended.step)
        self._end_trainer(STOP_NOW_SECONDS)

    def _end_after(self, error: Exception) -> None:
        """End the run after an error that nobody expected, with all saved that can be."""
        what = f"the supervisor failed: {type(error).__name__}: {error}"
        with suppress(Exception):
            traceback.print_exc()
            self._event("error", what, level="error", ok=False, step=self.status.step)
        with suppress(Exception):
            self._save_and_end(Command(name="stop", sender="supervisor"))
        self._end_trainer(0)
        killed = "The trainer was killed" if self.process else "It had not begun"
        saved = f"The trainer ended at step {self.ended.step:,}" if self.ended else killed
        do = f"{saved}. Resume it: gpt-tui train --resume {self.folder.id}"
        with suppress(Exception):
            self._finish("failed", what, Failure(what=what, do=do, log_tail=self._log_tail()))

    def _leave_folder(self) -> None:
        """Save where the run folder is now or, where it was deleted, in a folder beside its old place."""
        old = self.folder
        what, target = self.place.leave()
        if target is None:
            self._save_and_end(Command(name="stop", sender="supervisor", now=True))
        else:
            self.folder, self.place = target, FolderPlace(target.path)
            self._save_and_end(FolderMoved(path=str(target.path)), Command(name="stop", sender="supervisor"))
        step = self.ended.step if self.ended else self.status.step
        log_to_workspace(old.path.parent, f"{old.id}: {what}; ended at step {step:,}")
        if target is not None:
            do = f"Resume it: gpt-tui train --resume {target.path}"
            with suppress(Exception):
                self._finish("failed", what, Failure(what=what, do=do))

    def _record_exit(self) -> None:
        """Record how the trainer ended, and acknowledge the commands that are still pending."""
        code = (self.process.exitcode if self.process else None) or 0
        if self.ended is not None:
            self._update(by_signal=self.ended.by_signal, step=self.ended.step)
            self._finish(self.ended.state, self.ended.message, self.ended.failure)
        elif any(command.now for command in self.pending.values()):
            self._finish("stopped", "stopped without saving")
        else:
            name = signal.Signals(-code).name if code < 0 else ""
            what = f"the trainer was killed by {name}" if name else f"the trainer exited with code {code}"
            hint = "The machine may have run out of memory; see `dmesg`" if name == "SIGKILL" else "See trainer.log"
            failure = Failure(what=what, do=hint, exit_code=code, signal=name, log_tail=self._log_tail())
            self._finish("failed", what, failure)

    def _finish(
        self, state: Literal["finished", "stopped", "failed"], message: str, failure: Failure | None = None
    ) -> None:
        for item in command_files.receive(self.folder):
            if isinstance(item, Command):
                self.pending[item.id] = item
        stops = [command for command in self.pending.values() if command.name == "stop" and state != "failed"]
        for command in self.pending.values():
            if command not in stops:
                self._reject(command, f"the run {state} before it handled this command")
        for command in stops[1:]:
            self._ack(command, "the run was already stopping")
        stop_id = stops[0].id if stops else ""  # acknowledged by the event of the run's end
        self._event(
            state,
            message,
            level="error" if state == "failed" else "info",
            ok=state != "failed",
            step=self.status.step,
            command_id=stop_id,
            command="stop" if stops else "",
        )
        with suppress(OSError):
            self.events.sync()
        self._update(
            state=state, phase="", message=message, failure=failure, trainer_pids=(), eta_seconds=None, fraction=None
        )
        self._write_status()

    def _ack(self, command: Command, message: str) -> None:
        self._event("ack", message, command_id=command.id, command=command.name, step=self.status.step)

    def _reject(self, command: Command, reason: str) -> None:
        self._event("ack", reason, level="warning", command_id=command.id, command=command.name, ok=False)

    def _log_tail(self) -> tuple[str, ...]:
        try:
            with self.folder.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ()
        return tuple(text.splitlines()[-LOG_TAIL_LINES:])

    # ── status and events ─────────────────────────────────────────────────────────────────────────────────────────────

    def _update(self, **fields: Any) -> None:
        if self.status.state == "stopping" and fields.get("state") not in (None, *FINAL_STATES):
            fields.pop("state")  # a progress message sent before the trainer received the stop command
        self.status = msgspec.structs.replace(self.status, **fields)
        self.status_changed = True

    def _write_status(self) -> None:
        """Replace status.json. A full disk does not end the run: the next heartbeat retries."""
        self.place.check()
        self.status = msgspec.structs.replace(self.status, heartbeat=time.time())
        self.status_changed = False
        data, is_final = add_checksum(msgspec.json.encode(self.status)), self.status.state in FINAL_STATES
        try:
            write_atomically(self.folder.status, data, durable=is_final)
        except OSError as error:
            _log(f"status.json: {error}")
            if is_final:  # no heartbeat follows: without it the run would count as crashed, for no reason
                with suppress(OSError):
                    self._overwrite_status(data)

    def _overwrite_status(self, data: bytes) -> None:
        """Write status.json in place, for which a full disk has room."""
        fd = os.open(self.folder.status, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, os.write(fd, data))
        finally:
            os.close(fd)

    def _rotate_log(self) -> None:
        try:
            log_rotation.rotate(self.folder.log, self.folder.log_before)
        except OSError as error:
            if error.errno != errno.ENOSPC:  # which stops its growth as well
                _log(f"{self.folder.log.name} could not be rotated: {error}")

    def _event(self, kind: str, message: str, **fields: Any) -> None:
        try:
            self.events.append(Event(time=time.time(), kind=kind, message=message, **fields))
        except OSError as error:
            _log(f"events.jsonl: {error}: {kind}: {message}")

    def _on_signal(self, number: int, frame: object) -> None:
        if number != signal.SIGHUP:  # a closed terminal does not stop the run
            self.signalled = True


def _log(text: str) -> None:
    """Print to the log; the disk that holds it may be full, too."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Run the supervisor of the folder given on the command line, with the request given as its input."""
    folder, request = RunFolder(Path(sys.argv[1])), msgspec.json.decode(sys.stdin.buffer.read(), type=StartRequest)
    try:
        Supervisor(folder, request).run()
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
