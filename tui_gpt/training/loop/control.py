"""The trainer's ear and mouth: commands in, progress and acks out, and the flags that long phases look at.

A listener thread receives commands as they come, so that `stop` is known in the middle of an evaluation or a
generation. When the supervisor is gone the channel closes, and the run must save itself and end.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from typing import Any

import msgspec

from tui_gpt.run.child_process import Channel
from tui_gpt.run.messages import Ack, Command, Notice, Progress, State

TICK_SECONDS = 0.25


class StopRequested(Exception):
    """Raised out of a long phase when the run was asked to stop, or was orphaned, before there was a step to save."""


class TrainerControl:
    """What the outside wants of the trainer, and what it is told."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.orphaned = False
        self.stop_command: Command | None = None
        self.progress = Progress(state="starting", phase="starting")
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._last_tick = 0.0

    def listen(self) -> None:
        """Start listening, and turn SIGTERM and SIGINT into a stop. Call from the main thread."""
        threading.Thread(target=self._listen, name="commands", daemon=True).start()
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, lambda *_: self._take(Command(name="stop", sender="signal")))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _listen(self) -> None:
        try:
            while True:
                message = self.channel.receive(None)
                if isinstance(message, Command):
                    self._take(message)
        except EOFError:
            self.orphaned = True
            self._take(Command(name="stop", sender="orphaned"))

    def _take(self, command: Command) -> None:
        if command.name == "stop":
            self.stop_command = command
        self._commands.put(command)

    @property
    def stop_requested(self) -> bool:
        """Whether the run is to end: what every long phase looks at."""
        return self.stop_command is not None

    def next_command(self, timeout_seconds: float | None = 0.0) -> Command | None:
        """The oldest command not yet obeyed, waiting for one if asked to."""
        try:
            return self._commands.get(timeout=timeout_seconds) if timeout_seconds else self._commands.get_nowait()
        except queue.Empty:
            return None

    def ack(self, command: Command, message: str, *, ok: bool = True) -> None:
        self.channel.send(
            Ack(command_id=command.id, command=command.name, ok=ok, message=message, step=self.progress.step)
        )

    def notice(self, kind: str, message: str, **fields: Any) -> None:
        self.channel.send(Notice(kind=kind, message=message, **{"step": self.progress.step} | fields))

    def set_phase(self, state: State, phase: str) -> None:
        """Say what the trainer is doing from now on."""
        self.progress = msgspec.structs.replace(self.progress, state=state, phase=phase, fraction=None)
        self.channel.send(self.progress)

    def send_progress(self) -> None:
        """Say where it is, at most four times a second."""
        now = time.monotonic()
        if now - self._last_tick >= TICK_SECONDS:
            self._last_tick = now
            self.channel.send(self.progress, droppable=True)

    def update_progress(self, **fields: Any) -> None:
        """Keep what the next message will say."""
        self.progress = msgspec.structs.replace(self.progress, **fields)

    def report_preparation(self, phase: str, fraction: float | None) -> None:
        """Progress of work before the first step. Raises StopRequested when the run is to end."""
        if self.stop_requested:
            raise StopRequested
        if phase != self.progress.phase:
            self.set_phase("starting", phase)
        else:
            self.update_progress(fraction=fraction)
            self.send_progress()
