"""The supervisor of a live run: holds the run's lock, starts the trainer, forwards commands, writes status and events.

It does not import torch, and is the only writer of status.json and events.jsonl. When the trainer dies, it records how.
When the supervisor is killed, the trainer notices, saves a full checkpoint and exits. `launch.py` starts it as
`python -m tui_gpt.run.supervisor FOLDER REQUEST` in its own session, so that it outlives the terminal.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

from tui_gpt import hardware
from tui_gpt.config import build, flatten_keys, set_key, to_toml
from tui_gpt.errors import RunError, UserError
from tui_gpt.run import command_files
from tui_gpt.run.child_process import spawn
from tui_gpt.run.folder import RunFolder, gpus_in_use, write_atomically
from tui_gpt.run.jsonl import JsonlWriter
from tui_gpt.run.messages import (
    FINAL_STATES,
    Ack,
    Command,
    Ended,
    Event,
    Failure,
    Message,
    Notice,
    Progress,
    Status,
)

TRAINER = "tui_gpt.training.trainer_process:run_trainer"
SCAN_SECONDS = 0.1
HEARTBEAT_SECONDS = 1.0
LOCK_TIMEOUT_SECONDS = 3.0
STOP_NOW_SECONDS = 10.0
LOG_TAIL_LINES = 12


class StartRequest(Message, frozen=True):
    """Parameters of one start of a run, besides the config."""

    corpus_dir: str
    resume: bool = False
    changes: dict[str, Any] = {}  # config keys to change when resuming
    stop_at: int | None = None
    trainer: str = TRAINER


def take_lock(folder: RunFolder) -> int:
    """Lock the run and return the file descriptor of the lock. Raise RunError if another process holds it.

    Retries for some seconds: a reader that tests the lock holds it for microseconds, and the trainer of a stopped run
    for a moment after its last message.
    """
    fd = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                raise RunError("is already live", where=folder.id, do=f"Run gpt-tui attach {folder.id}") from None
            time.sleep(0.02)


class Supervisor:
    """Supervises one start of a run, from taking the lock to the final status."""

    def __init__(self, folder: RunFolder, request: StartRequest) -> None:
        self.folder, self.request = folder, request
        self.pending: dict[str, Command] = {}
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
            self._reject_stale_commands()
            gpu = self._prepare()
            self._write_status()
            self.process, self.channel = spawn(
                self.request.trainer,
                str(self.folder.path),
                self.request,
                log=self.folder.log,
                inherit=lock,
            )
            self._update(trainer_pids=(self.process.pid,))
            verb = "resumed" if self.request.resume else "started"
            where = f" on {gpu.name} {gpu.uuid}" if gpu else ""
            self._event(verb, f"{verb}{where}", data={"changes": self.request.changes} if self.request.changes else {})
            while self._poll():
                pass
            self.process.join()
            self._record_exit()
        except UserError as error:
            failure = Failure.of(error)
            self._finish("failed", str(error), failure)

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
        for item in command_files.receive(self.folder):
            self._forward(item)
        if self.signalled:
            self.signalled = False
            self._forward(Command(name="stop", sender="signal"))
        if self.kill_at is not None and time.monotonic() > self.kill_at:
            self.kill_at = None
            self.process.kill()
        if self.status_changed or time.time() - self.status.heartbeat > HEARTBEAT_SECONDS:
            self._write_status()
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

    def _forward(self, item: Command | str) -> None:
        if isinstance(item, str):
            self._event("refused", f"commands/{item} is not a valid command and was ignored", level="warning", ok=False)
            return
        self.pending[item.id] = item
        self.channel.send(item)
        if item.name == "stop":
            self._update(state="stopping")
            if item.now:
                self.kill_at = time.monotonic() + STOP_NOW_SECONDS

    # ── start and end ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self) -> hardware.Gpu | None:
        """Apply the config changes of a resume, and choose the GPU. Raise UserError if either is not possible."""
        asked = self.folder.read_asked()
        if self.request.changes:
            for key, value in self.request.changes.items():
                set_key(asked, key, value)
            build(asked, str(self.folder.config))
            write_atomically(self.folder.config, to_toml(asked).encode())
        device = str(flatten_keys(asked).get("training.device", "auto"))
        gpu = hardware.choose_gpu(device, hardware.gpus(), gpus_in_use(self.folder.path.parent, besides=self.folder.id))
        if gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu.uuid
            self._update(gpu_uuid=gpu.uuid, device=gpu.name)
        return gpu

    def _reject_stale_commands(self) -> None:
        """Reject commands that were sent while the run was not live."""
        for item in command_files.receive(self.folder):
            if isinstance(item, Command):
                self._reject(item, "rejected: the run was not live when this command was sent")

    def _record_exit(self) -> None:
        """Record how the trainer ended, and acknowledge the commands that are still pending."""
        code = self.process.exitcode or 0
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
        self.status = msgspec.structs.replace(self.status, heartbeat=time.time())
        self.status_changed = False
        try:
            write_atomically(self.folder.status, msgspec.json.encode(self.status))
        except OSError as error:
            print(f"status.json: {error}", file=sys.stderr, flush=True)

    def _event(self, kind: str, message: str, **fields: Any) -> None:
        try:
            self.events.append(Event(time=time.time(), kind=kind, message=message, **fields))
        except OSError as error:
            print(f"events.jsonl: {error}: {kind}: {message}", file=sys.stderr, flush=True)

    def _on_signal(self, number: int, frame: object) -> None:
        if number != signal.SIGHUP:  # a closed terminal does not stop the run
            self.signalled = True


def main() -> None:
    """Run the supervisor with the folder and the request given on the command line."""
    folder, request = RunFolder(Path(sys.argv[1])), msgspec.json.decode(sys.argv[2], type=StartRequest)
    try:
        Supervisor(folder, request).run()
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
