"""Messages that panes, dialogs and screens post to the app, which alone starts runs and switches screens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from textual.message import Message

from tui_gpt.config import PartialConfig
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import CommandName
from tui_gpt.workbench.jobs.task import TaskRequest


@dataclass
class ShowScreen(Message):
    """Go to a screen of `keys.SCREENS`."""

    name: str


@dataclass
class OpenRun(Message):
    """Show a run on the dashboard."""

    folder: RunFolder


@dataclass
class StartRun(Message):
    """Start a run of the draft; asks first while another run is live."""


@dataclass
class ResumeRun(Message):
    """Continue a run that has ended; asks first while another run is live."""

    folder: RunFolder


@dataclass
class SendCommand(Message):
    """Ask something of the shown run."""

    name: CommandName


@dataclass
class StopRun(Message):
    """Stop the shown run; asks how."""


@dataclass
class UseConfig(Message):
    """Make `asked` the draft, and go to New run. `source` names it in errors."""

    asked: PartialConfig
    source: str


@dataclass
class DraftChanged(Message):
    """The draft was edited: read again what is known of its corpus and speed."""


@dataclass
class TalkTo(Message):
    """Go to Talk with the newest checkpoint of a run."""

    folder: RunFolder


@dataclass
class ViewTokens(Message):
    """Show how the draft's tokenizer splits the beginning of a corpus."""

    reference: str


@dataclass
class RunTask(Message):
    """Run a background task whose process returns a `result_type`; `on_done` gets it. One task runs at a time."""

    request: TaskRequest
    title: str
    result_type: type
    on_done: Callable[[Any], object]


@dataclass
class CopyText(Message):
    """Copy a text to the terminal's clipboard, and to a file for terminals without one."""

    text: str
