"""What must be read before anything else: why a run failed and what to do, that it waits, or that it is done.

It stands above the panes, wrapped and never cut, with the keys that help; a click on one presses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual.content import Content
from textual.widgets import Static

from tui_gpt.workbench import keys
from tui_gpt.workbench.drawing.formatting import format_duration, format_loss
from tui_gpt.workbench.drawing.sanitizing import clean
from tui_gpt.workbench.panes.dashboard.health import SILENT_SECONDS
from tui_gpt.workbench.panes.pane import clickable
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.status_bar import is_reason

if TYPE_CHECKING:
    from tui_gpt.workbench.state.run_monitor import RunMonitor

Level = Literal["error", "warning", "good", "note"]
SIGNS: dict[Level, str] = {"error": "✗", "warning": "▲", "good": "✓", "note": "·"}
LONG_TEXT = 40  # characters: behind a longer one the keys have a line of their own


@dataclass(frozen=True)
class Notice:
    """What the banner says. `actions`: (an action's id, what it does here)."""

    level: Level
    title: str
    text: str = ""
    actions: tuple[tuple[str, str], ...] = ()


class Banner(Static):
    """Hidden while there is nothing to say."""

    DEFAULT_CSS = """
    Banner { display: none; width: 1fr; height: auto; max-height: 50%; overflow-y: auto; padding: 0 1;
             border-left: outer $primary; background: $surface; }
    Banner.-error { border-left: outer $error; }
    Banner.-warning { border-left: outer $warning; }
    Banner.-good { border-left: outer $success; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(id="banner", markup=False)
        self.auto_links = False  # keys look like keys
        self._session = session
        self._notice: Notice | None = None

    def refresh_data(self) -> None:
        """Show the notice of the shown run, if there is one."""
        notice = notice_for(self._session)
        if notice == self._notice:
            return
        self._notice = notice
        self.display = notice is not None
        for level in SIGNS:
            self.set_class(notice is not None and notice.level == level, f"-{level}")
        if notice is not None:
            self.update(render_notice(notice, self._session.keymap))

    def text(self) -> str:
        """Return what it says, for the clipboard."""
        return f"{self._notice.title}: {self._notice.text}" if self._notice else ""


def render_notice(notice: Notice, keymap: keys.Keymap) -> Content:
    """Return title, text and keys; the text is wrapped by the widget."""
    style = {"error": "$text-error", "warning": "$text-warning", "good": "$text-success", "note": "$text-accent"}
    head = Content.styled(f"{SIGNS[notice.level]} {clean(notice.title)}", f"bold {style[notice.level]}")
    body = Content(f"  {clean(notice.text)}") if notice.text else Content()
    hints = [key_hint(action, words, keymap) for action, words in notice.actions]
    keys_line = Content("   ").join(hint for hint in hints if hint)
    return Content.assemble(head, body, "\n" if len(notice.text) > LONG_TEXT else "   ", keys_line)


def key_hint(action: str, words: str, keymap: keys.Keymap) -> Content:
    """Return `r resume`, with the user's own key, to be clicked; nothing where the action has no key."""
    key = keys.key_hint(action, keymap, keys.DASHBOARD)
    if not key:
        return Content()
    scope = "screen" if any(item.id == action for item in keys.actions_of(keys.DASHBOARD)) else "app"
    return clickable(Content.assemble((key, "bold $primary"), f" {words}"), f"{scope}.{action}")


def notice_for(session: Session) -> Notice | None:
    """Return what is most important to say of the shown run now."""
    monitor = session.monitor
    if monitor is None or not monitor.is_read:
        return None
    return _failure(monitor) or _unanswered(session) or _silent(monitor) or _waiting(monitor) or _ended(monitor)


def _failure(monitor: RunMonitor) -> Notice | None:
    cause = monitor.failure()
    if not cause:
        return None
    if monitor.problem:
        actions = (("show_screen('runs')", "other runs"), ("new_run", "set up another"))
        return Notice("error", monitor.state.capitalize(), cause, actions)
    remedy = monitor.remedy()
    known = {
        "resume": "resume it",
        "new_run": "change the config of a new run",
        "use_config": "edit its config for another try",
        "log": "read the log",
    }
    order: list[str] = [monitor.remedy_action] if monitor.remedy_action else []
    order += [action for action in ("use_config", "log", "resume") if action not in order]
    if monitor.newest_full_checkpoint is None:
        order = [action for action in order if action != "resume"]
    at = f" at step {monitor.step:,}" if monitor.step else ""
    text = f"{cause.rstrip('.')}.\n{remedy}." if remedy else cause
    return Notice("error", f"{monitor.state.capitalize()}{at}", text, tuple((name, known[name]) for name in order))


def _unanswered(session: Session) -> Notice | None:
    pending = session.commands.waiting()
    if pending is None or not pending.is_overdue:
        return None
    seconds = int(pending.age_seconds) // 5 * 5  # not a new text each second
    actions = (("stop", "goes further: wait, terminate or kill"), ("log", "read the log"))
    return Notice("warning", f"No answer to {pending.name} for {seconds} s", "the trainer may be busy saving", actions)


def _silent(monitor: RunMonitor) -> Notice | None:
    seconds = monitor.silent_seconds()
    if not monitor.is_live or monitor.state == "elsewhere" or seconds <= SILENT_SECONDS:
        return None
    about = format_duration(seconds // 5 * 5)
    actions = (("log", "read the log"), ("stop", "stop, terminate or kill it"))
    return Notice("warning", f"Silent for {about}", "the run gives no sign of life", actions)


def _waiting(monitor: RunMonitor) -> Notice | None:
    if monitor.state != "paused":
        return None
    phase = monitor.status.phase if monitor.status else ""
    return Notice(
        "warning",
        "Paused",
        phase if is_reason(phase) else "",
        (("pause", "lets it go on"), ("stop", "saves and ends it")),
    )


def _ended(monitor: RunMonitor) -> Notice | None:
    if monitor.state not in ("finished", "stopped"):
        return None
    best = f"best validation {format_loss(monitor.best_val)} at step {monitor.best_step:,}" if monitor.best else ""
    actions = [("talk", "write with it"), ("use_config", "a new run like it"), ("new_run", "a new run")]
    if monitor.state == "stopped" and monitor.newest_full_checkpoint is not None:
        actions.insert(0, ("resume", "resume it"))
    level: Level = "good" if monitor.state == "finished" else "note"
    title = "Finished" if monitor.state == "finished" else f"Stopped at step {monitor.step:,}"
    return Notice(level, title, best, tuple(actions[:3]))
