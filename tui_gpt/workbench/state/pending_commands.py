"""Commands sent to a run and not yet acknowledged.

A command is done when its acknowledgement stands in events.jsonl, not before: until then the status line says
"pausing…". Past `PATIENCE_SECONDS` the screen says how long the trainer has been silent, and offers to wait, terminate
or kill: that is the user's decision, since saving a large checkpoint takes its time.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tui_gpt.run.messages import Command, CommandName, Event

if TYPE_CHECKING:
    from tui_gpt.run.folder import RunFolder
    from tui_gpt.workbench.state.run_monitor import RunMonitor

PATIENCE_SECONDS = 10.0

WORDS: dict[CommandName, str] = {
    "pause": "pausing…",
    "resume": "resuming…",
    "checkpoint": "saving a checkpoint…",
    "sample": "sampling…",
    "stop": "stopping…",
}


@dataclass(frozen=True)
class PendingCommand:
    """A command on its way to the run called `run`."""

    id: str
    name: CommandName
    run: str
    sent: float = field(default_factory=time.monotonic)

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.sent


class PendingCommands:
    """Sends commands to the shown run and tracks them until they are acknowledged."""

    def __init__(self) -> None:
        self.pending: list[PendingCommand] = []

    def send(self, folder: RunFolder, name: CommandName, *, now: bool = False) -> PendingCommand:
        """Send a command, and return it as pending. Blocking: call it in a thread.

        now: end without saving (`stop` only). Raises RunError when the run is not live or takes no commands.
        """
        from tui_gpt.run.command_files import send

        command = Command(name=name, sender="workbench", now=now)
        pending = PendingCommand(command.id, name, folder.id)
        self.pending.append(pending)  # first, so that the status line says so while a slow disk takes the file
        try:
            send(folder, command)
        except BaseException:
            with suppress(ValueError):
                self.pending.remove(pending)
            raise
        return pending

    def settle(self, monitor: RunMonitor) -> list[Event]:
        """Drop what was acknowledged, or never will be, and return the acknowledgements that came."""
        answers = []
        for pending in tuple(self.pending):
            answer = monitor.acks.get(pending.id)
            answers += [answer] if answer is not None else []
            if answer is not None or pending.run != monitor.folder.id or monitor.has_ended:
                with suppress(ValueError):  # could not be sent, and was removed by the thread that tried
                    self.pending.remove(pending)
        return answers

    def waiting(self, name: CommandName | None = None) -> PendingCommand | None:
        """Return the oldest pending command, of this name if one is given."""
        return next((pending for pending in tuple(self.pending) if name in (None, pending.name)), None)

    @property
    def state_word(self) -> str:
        """What the status line says instead of the state until the run has answered: `pausing…`, or nothing."""
        return next((WORDS[each.name] for each in tuple(self.pending) if each.name in ("pause", "resume", "stop")), "")

    @property
    def side_words(self) -> list[str]:
        """What the status line says beside the state: `saving a checkpoint…`."""
        return [WORDS[each.name] for each in tuple(self.pending) if each.name in ("checkpoint", "sample")]
