"""Command queue, progress reports and stop flag of the trainer.

A listener thread receives commands as they arrive, so that a stop request is seen during an evaluation or a
generation. When the supervisor dies, the listener requests a stop, and the trainer saves a checkpoint and exits.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from tui_gpt.checkpoints import manifest
from tui_gpt.run.child_process import Channel
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Ack, Command, FolderMoved, Notice, Progress, State

PROGRESS_INTERVAL_SECONDS = 0.25


class StopRequested(Exception):
    """Raised during preparation when the run is asked to stop before its first step."""


class TrainerControl:
    """The trainer's connection to its supervisor: receives commands, sends acknowledgements, progress and notices."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.stop_command: Command | None = None
        self.moved_to: RunFolder | None = None  # where the run folder is now, if it was moved or deleted
        self.is_orphaned = False
        self.progress = Progress(state="starting", phase="starting")
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._last_sent = 0.0

    def listen(self) -> None:
        """Start the listener thread, and handle SIGTERM and SIGINT as stop commands. Call from the main thread."""
        threading.Thread(target=self._listen, name="commands", daemon=True).start()
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, lambda *_: self._enqueue(Command(name="stop", sender="signal")))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _listen(self) -> None:
        try:
            while True:
                message = self.channel.receive(None)
                if isinstance(message, Command):
                    self._enqueue(message)
                elif isinstance(message, FolderMoved):
                    self.moved_to = RunFolder(Path(message.path))
        except EOFError:
            self.is_orphaned = True
            self._enqueue(Command(name="stop", sender="orphaned"))

    def _enqueue(self, command: Command) -> None:
        if command.name == "stop":
            self.stop_command = command
        self._commands.put(command)

    @property
    def stop_requested(self) -> bool:
        """Whether the run is to end. Long phases poll this."""
        return self.stop_command is not None

    def next_command(self, timeout_seconds: float | None = 0.0) -> Command | None:
        """Return the oldest command not yet handled, or None after waiting `timeout_seconds` for one."""
        try:
            return self._commands.get(timeout=timeout_seconds) if timeout_seconds else self._commands.get_nowait()
        except queue.Empty:
            return None

    def ack(self, command: Command, message: str, *, ok: bool = True) -> None:
        """Acknowledge `command`: the message says what was done or, with `ok=False`, why not."""
        self.channel.send(
            Ack(command_id=command.id, command=command.name, ok=ok, message=message, step=self.progress.step)
        )

    def notice(self, kind: str, message: str, **fields: Any) -> None:
        """Send an event for events.jsonl, at the current step unless `fields` name another one."""
        self.channel.send(Notice(kind=kind, message=message, **{"step": self.progress.step} | fields))

    def report_saved(self, checkpoint: Path) -> None:
        """Send an event about a checkpoint that has been written."""
        info = manifest.read_manifest(checkpoint)
        self.notice(
            "checkpoint", f"saved {checkpoint.name} ({info.kind})", step=info.step, data={"path": str(checkpoint)}
        )

    def set_phase(self, state: State, phase: str) -> None:
        """Set the state and phase of the run and report them at once."""
        self.progress = msgspec.structs.replace(self.progress, state=state, phase=phase, fraction=None)
        self.channel.send(self.progress)

    def send_progress(self) -> None:
        """Send the current progress, at most four times a second."""
        now = time.monotonic()
        if now - self._last_sent >= PROGRESS_INTERVAL_SECONDS:
            self._last_sent = now
            self.channel.send(self.progress, droppable=True)

    def update_progress(self, **fields: Any) -> None:
        """Set fields of the progress that the next message reports."""
        self.progress = msgspec.structs.replace(self.progress, **fields)

    def report_preparation(self, phase: str, fraction: float | None) -> None:
        """Report the progress of preparation. Raise StopRequested when the run is to end."""
        if self.stop_requested:
            raise StopRequested
        if phase != self.progress.phase:
            self.set_phase("starting", phase)
        else:
            self.update_progress(fraction=fraction)
            self.send_progress()
