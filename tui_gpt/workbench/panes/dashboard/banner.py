"""What must be read before anything else: why a run failed and what to do, that it waits, or that it is done.

It stands above the panes, wrapped and never cut, with the keys that help; a click on one presses it.
"""

from __future__ import annotations

from typing import NamedTuple

from textual.content import Content

from tui_gpt.workbench import keys
from tui_gpt.workbench.drawing.formatting import format_duration, format_loss
from tui_gpt.workbench.drawing.sanitizing import clean
from tui_gpt.workbench.panes.pane import clickable
from tui_gpt.workbench.state.pending_commands import PATIENCE_SECONDS
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.quiet_static import QuietStatic
from tui_gpt.workbench.widgets.status_bar import is_reason

LEVELS = {  # sign and style
    "error": ("✗", "$text-error"),
    "warning": ("▲", "$text-warning"),
    "good": ("✓", "$text-success"),
    "note": ("·", "$text-accent"),
}
LONG_TEXT = 40  # characters: behind a longer one the keys have a line of their own
SILENT_SECONDS = 10.0  # the supervisor writes its heartbeat every second
FAILURE_ACTIONS = {
    "resume": "resume it",
    "new_run": "change the config of a new run",
    "use_config": "edit its config for another try",
    "log": "read the log",
}


class Notice(NamedTuple):
    """What the banner says. `actions`: (an action's id, what it does here)."""

    level: str
    title: str
    text: str
    actions: tuple[tuple[str, str], ...]

    def render(self, keymap: keys.Keymap) -> Content:
        """Return title, text and keys."""
        sign, style = LEVELS[self.level]
        head = Content.styled(f"{sign} {clean(self.title)}", f"bold {style}")
        body = f"  {clean(self.text)}" if self.text else ""
        hints = [hint for action, words in self.actions if (hint := key_hint(action, words, keymap))]
        return Content.assemble(head, body, "\n" if len(self.text) > LONG_TEXT else "   ", Content("   ").join(hints))


class Banner(QuietStatic):
    """Hidden while there is nothing to say."""

    DEFAULT_CSS = """
    Banner { display: none; width: 1fr; height: auto; max-height: 50%; overflow-y: auto; padding: 0 1;
             border-left: outer $primary; background: $surface; }
    Banner.-error { border-left: outer $error; }
    Banner.-warning { border-left: outer $warning; }
    Banner.-good { border-left: outer $success; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(id="banner")
        self._session = session

    def refresh_data(self) -> None:
        """Show the notice of the shown run, if there is one."""
        notice = notice_for(self._session)
        self.display = notice is not None
        for level in LEVELS:
            self.set_class(notice is not None and notice.level == level, f"-{level}")
        self.show(notice.render(self._session.keymap) if notice is not None else Content())


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
    pending, silent = session.commands.waiting(), monitor.silent_seconds()
    if cause := monitor.failure():
        return _failure(monitor, cause)
    if pending is not None and pending.age_seconds > PATIENCE_SECONDS:
        title = f"No answer to {pending.name} for {pending.age_seconds // 5 * 5:.0f} s"  # not a new text each second
        actions = (("stop", "goes further: wait, terminate or kill"), ("log", "read the log"))
        return Notice("warning", title, "the trainer may be busy saving", actions)
    if silent > SILENT_SECONDS:
        title = f"Silent for {format_duration(silent // 5 * 5)}"
        actions = (("log", "read the log"), ("stop", "stop, terminate or kill it"))
        return Notice("warning", title, "the run gives no sign of life", actions)
    if monitor.state == "paused":
        phase = monitor.status.phase if monitor.status and is_reason(monitor.status.phase) else ""
        return Notice("warning", "Paused", phase, (("pause", "lets it go on"), ("stop", "saves and ends it")))
    return _ended(monitor) if monitor.state in ("finished", "stopped") else None


def _failure(monitor: RunMonitor, cause: str) -> Notice:
    if monitor.problem:
        actions = (("show_screen('runs')", "other runs"), ("new_run", "set up another"))
        return Notice("error", monitor.state.capitalize(), cause, actions)
    remedy, action = monitor.remedy()
    failure = monitor.status.failure if monitor.status else None
    can_resume = monitor.newest_full_checkpoint is not None and not (failure and failure.blocks_resume)
    names = dict.fromkeys([action, "use_config", "log", *(["resume"] if can_resume else [])])
    at = f" at step {monitor.step:,}" if monitor.step else ""
    text = f"{cause.rstrip('.')}.\n{remedy}."
    return Notice("error", f"{monitor.state.capitalize()}{at}", text, tuple((n, FAILURE_ACTIONS[n]) for n in names))


def _ended(monitor: RunMonitor) -> Notice:
    best = monitor.best
    text = f"best validation {format_loss(best.val_loss)} at step {best.step:,}" if best else ""
    actions = [("talk", "write with it"), ("use_config", "a new run like it"), ("new_run", "a new run")]
    if monitor.state == "finished":
        return Notice("good", "Finished", text, tuple(actions))
    if monitor.newest_full_checkpoint is not None:
        actions = [("resume", "resume it"), *actions[:2]]
    return Notice("note", f"Stopped at step {monitor.step:,}", text, tuple(actions))
