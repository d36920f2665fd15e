"""The side panel of Talk: the sampling settings, changed in place, and what the sampler does now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.validation import Function
from textual.widgets import Input, Label, Static

from tui_gpt.config import field
from tui_gpt.errors import ConfigError
from tui_gpt.workbench.drawing.sanitizing import clean
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.text_input import TextInput

MAX_COMPLETIONS = 4
_OWN = {  # help, least and most of what the config has no setting for
    "seed": ("seeds the draw; a retry counts it up", 0, 2**31 - 1),
    "completions": ("how many are written, to choose one", 1, MAX_COMPLETIONS),
}


def parse_setting(name: str, text: str) -> float:
    """Return the value of a setting. Raises ValueError saying what is allowed."""
    if name in _OWN:
        _, least, most = _OWN[name]
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise ValueError(f"a whole number, {least} to {most:,}")
        return int(text)
    setting = field(f"sampling.{name}")
    try:
        return setting.parse(text.strip())
    except ConfigError:
        raise ValueError(setting.allowed) from None


def problem_of(name: str, text: str) -> str:
    """Return what is allowed where `text` is not; empty when it is."""
    try:
        parse_setting(name, text)
    except ValueError as error:
        return str(error)
    return ""


def _checker(name: str) -> Callable[[str], bool]:
    return lambda text: not problem_of(name, text)


class SamplingSettings(Vertical):
    """Inputs for `session.preferences.talk`. A value that is not allowed is marked, explained, and not used."""

    DEFAULT_CSS = """
    SamplingSettings { width: 32; padding: 0 1; background: $background; overflow-y: auto; }
    SamplingSettings Horizontal { height: 1; }
    SamplingSettings Label { width: 13; color: $text-muted; }
    SamplingSettings Input { width: 1fr; padding: 0; background: $background; }
    SamplingSettings Input:focus { background: $surface; text-style: bold; }
    SamplingSettings Input.-invalid { color: $text-error; text-style: underline; }
    SamplingSettings #sampler { height: auto; border-top: solid $border-blurred; border-title-color: $text-muted; }
    SamplingSettings #setting-help { height: auto; color: $text-muted; border-top: solid $border-blurred; }
    SamplingSettings #setting-help.-problem { color: $text-error; }
    """
    BINDINGS = [
        Binding("up", "previous", show=False),
        Binding("down", "next", show=False),
    ]

    class Done(Message):
        """Enter was pressed in a setting: the text is next."""

    def __init__(self, session: Session, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self.border_title = "Sampling"
        self._session = session
        self._status: Content | None = None

    def compose(self) -> ComposeResult:
        for name, value in msgspec.structs.asdict(self._session.preferences.talk).items():
            with Horizontal():
                yield Label(name.replace("_", "-"))
                # What may be typed follows the value's type; the checks are those of the config schema.
                kind = "number" if isinstance(value, float) else "integer"
                yield TextInput(type=kind, id=name, validators=[Function(_checker(name))])
        sampler = Static(id="sampler", markup=False)
        sampler.border_title = "Model"
        yield sampler
        yield Static(id="setting-help", markup=False)

    def on_mount(self) -> None:
        self.show_values()

    def focus_first(self) -> None:
        self.query(Input).first().focus()

    def action_previous(self) -> None:
        self.screen.focus_previous("SamplingSettings Input")

    def action_next(self) -> None:
        self.screen.focus_next("SamplingSettings Input")

    def show_values(self) -> None:
        """Show the settings that are in use, in place of whatever was typed."""
        for box in self.query(Input):
            box.value = self._text_of(box)
        self._explain()

    def _text_of(self, box: Input) -> str:
        value: Any = getattr(self._session.preferences.talk, box.id or "")
        return f"{value:g}" if isinstance(value, float) else str(value)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        name, preferences = event.input.id or "", self._session.preferences
        if not problem_of(name, event.value):
            preferences.talk = msgspec.structs.replace(preferences.talk, **{name: parse_setting(name, event.value)})
        self._explain()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Done())

    def on_descendant_focus(self) -> None:
        self._explain()

    def on_descendant_blur(self) -> None:
        self.show_values()

    def _explain(self) -> None:
        """Say what the setting that has the focus does, or what is wrong with it."""
        box = next((box for box in self.query(Input) if box is self.screen.focused), None)
        target = self.query_one("#setting-help", Static)
        target.display = box is not None
        if box is not None:
            name = box.id or ""
            problem = problem_of(name, box.value)
            help_text = _OWN[name][0] if name in _OWN else field(f"sampling.{name}").help
            target.update(f"✗ {problem}; {self._text_of(box)} stays" if problem else help_text)
            target.set_class(bool(problem), "-problem")

    def show_status(self, *lines: tuple[str, str]) -> None:
        """Show what the sampler does: (text, style) lines, those that are empty left out."""
        content = Content("\n").join(Content.styled(clean(text), style) for text, style in lines if text)
        if self._status is None or not self._status.is_same(content):
            self._status = content
            self.query_one("#sampler", Static).update(content)
