"""One live run's keeper: holds its lock, starts its trainer, passes commands down and writes what comes back.

It never imports torch. It is the only writer of status.json and events.jsonl. When the trainer dies it records how;
when it is killed itself, the trainer sees the channel close, saves a full checkpoint and ends. Started by `launch.py`
as `python -m tui_gpt.run.supervisor FOLDER REQUEST` in a session of its own, so it outlives every terminal.
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
from tui_gpt.config import build, keys_of, set_key, to_toml
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
LOCK_PATIENCE_SECONDS = 3.0
STOP_NOW_SECONDS = 10.0
LOG_TAIL_LINES = 12


class StartRequest(Message, frozen=True):
    """What this one start was asked, beyond the config."""

    corpus_dir: str
    resume: bool = False
    changes: dict[str, Any] = {}  # config keys that a resume sets anew
    stop_at: int | None = None
    trainer: str = TRAINER


def take_lock(folder: RunFolder) -> int:
    """The descriptor that holds the run's lock. Raises RunError when another holds it.

    A reader that tests the lock holds it for microseconds, and a stopped run's trainer for a moment after its last
    word: hence the patience.
    """
    fd = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                raise RunError("is already live", where=folder.id, do=f"gpt-tui attach {folder.id}") from None
            time.sleep(0.02)


class Supervisor:
    """The life of one start of a run, from lock to last word."""

    def __init__(self, folder: RunFolder, request: StartRequest) -> None:
        self.folder, self.request = folder, request
        self.pending: dict[str, Command] = {}
        self.ended: Ended | None = None
        self.signalled = False
        self.kill_at: float | None = None
        self.dirty = False
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
        lock = take_lock(self.folder)
        self.events = JsonlWriter(self.folder.events)
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(sig, self._on_signal)
        try:
            self._refuse_leftovers()
            gpu = self._prepare()
            self._publish()
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
            while self._turn():
                pass
            self.process.join()
            self._conclude()
        except UserError as error:
            failure = Failure.of(error)
            self._finish("failed", str(error), failure)

    # ── one turn ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _turn(self) -> bool:
        """Pass on what there is to pass on; False once the trainer is gone."""
        try:
            message = self.channel.receive(SCAN_SECONDS)
            while message is not None:
                self._hear(message)
                message = self.channel.receive()
        except EOFError:
            return False
        for item in command_files.receive(self.folder):
            self._pass_on(item)
        if self.signalled:
            self.signalled = False
            self._pass_on(Command(name="stop", sender="signal"))
        if self.kill_at is not None and time.monotonic() > self.kill_at:
            self.kill_at = None
            self.process.kill()
        if self.dirty or time.time() - self.status.heartbeat > HEARTBEAT_SECONDS:
            self._publish()
        return True

    def _hear(self, message: Message) -> None:
        match message:
            case Progress():
                self._update(**msgspec.structs.asdict(message))
            case Ack():
                self.pending.pop(message.command_id, None)
                if self.dirty:
                    self._publish()  # whoever reads the answer finds the state that it speaks of
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

    def _pass_on(self, item: Command | str) -> None:
        if isinstance(item, str):
            self._event("refused", f"{item} in commands/ is not a command", level="warning", ok=False)
            return
        self.pending[item.id] = item
        self.channel.send(item)
        if item.name == "stop":
            self._update(state="stopping")
            if item.now:
                self.kill_at = time.monotonic() + STOP_NOW_SECONDS

    # ── beginning and end ───────────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self) -> hardware.Gpu | None:
        """Carry out a resume's changes to the config, and choose the card. Raises UserError."""
        asked = self.folder.read_asked()
        if self.request.changes:
            for key, value in self.request.changes.items():
                set_key(asked, key, value)
            build(asked, str(self.folder.config))
            write_atomically(self.folder.config, to_toml(asked).encode())
        device = str(keys_of(asked).get("training.device", "auto"))
        gpu = hardware.choose_gpu(device, hardware.gpus(), gpus_in_use(self.folder.path.parent, besides=self.folder.id))
        if gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu.uuid
            self._update(gpu_uuid=gpu.uuid, device=gpu.name)
        return gpu

    def _refuse_leftovers(self) -> None:
        """Commands left while nobody was there are answered, not obeyed: they were meant for another moment."""
        for item in command_files.receive(self.folder):
            if isinstance(item, Command):
                self._answer(item, "came while the run was not live")

    def _conclude(self) -> None:
        """Record how the trainer ended, and answer what it no longer could."""
        code = self.process.exitcode or 0
        if self.ended is not None:
            self._update(by_signal=self.ended.by_signal, step=self.ended.step)
            self._finish(self.ended.state, self.ended.message, self.ended.failure)
        elif any(command.now for command in self.pending.values()):
            self._finish("stopped", "stopped without saving")
        else:
            name = signal.Signals(-code).name if code < 0 else ""
            what = f"the trainer was killed by {name}" if name else f"the trainer ended with exit code {code}"
            hint = "The machine may have run out of memory" if name == "SIGKILL" else ""
            failure = Failure(what=what, do=hint, exit_code=code, signal=name, log_tail=self._log_tail())
            self._finish("failed", what, failure)

    def _finish(
        self, state: Literal["finished", "stopped", "failed"], message: str, failure: Failure | None = None
    ) -> None:
        for item in command_files.receive(self.folder):
            if isinstance(item, Command):
                self.pending[item.id] = item
        for command in self.pending.values():
            if command.name == "stop" and state != "failed":
                self._event("ack", message, command_id=command.id, command="stop", step=self.status.step)
            else:
                self._answer(command, f"the run {state} first")
        level: Literal["info", "error"] = "error" if state == "failed" else "info"
        self._event(state, message, level=level, ok=state != "failed", step=self.status.step)
        self.events.sync()
        self._update(
            state=state, phase="", message=message, failure=failure, trainer_pids=(), eta_seconds=None, fraction=None
        )
        self._publish()

    def _answer(self, command: Command, why: str) -> None:
        self._event("ack", why, level="warning", command_id=command.id, command=command.name, ok=False)

    def _log_tail(self) -> tuple[str, ...]:
        try:
            with self.folder.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ()
        return tuple(text.splitlines()[-LOG_TAIL_LINES:])

    # ── what it writes ──────────────────────────────────────────────────────────────────────────────────────────────

    def _update(self, **fields: Any) -> None:
        if self.status.state == "stopping" and fields.get("state") not in (None, *FINAL_STATES):
            fields.pop("state")  # a progress message sent before the stop arrived
        self.status = msgspec.structs.replace(self.status, **fields)
        self.dirty = True

    def _publish(self) -> None:
        """Replace status.json. A full disk must not end the run: the next heartbeat tries again."""
        self.status = msgspec.structs.replace(self.status, heartbeat=time.time())
        self.dirty = False
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
        if number != signal.SIGHUP:  # a terminal that went away is no reason to stop
            self.signalled = True


def main() -> None:
    folder, request = RunFolder(Path(sys.argv[1])), msgspec.json.decode(sys.argv[2], type=StartRequest)
    try:
        Supervisor(folder, request).run()
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
