"""The side panel of Talk: the sampling settings, changed in place, and what the sampler does now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec
from textual import events, on
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

MAX_COMPLETIONS = 4
_OFF = {"temperature": (0.0, "greedy"), "top_k": (0, "off"), "top_p": (1.0, "off"), "min_p": (0.0, "off")}
_HELP = {
    "tokens": "tokens written at most",
    "seed": "seeds the draw; a retry counts it up",
    "completions": "how many are written, to choose one",
}


def parse_setting(name: str, text: str) -> float:
    """Return the value of a setting. Raises ValueError saying what is allowed."""
    if name in ("seed", "completions"):
        low, high = (0, 2**63 - 1) if name == "seed" else (1, MAX_COMPLETIONS)
        allowed = "a whole number, at least 0" if name == "seed" else f"a whole number, 1 to {MAX_COMPLETIONS}"
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise ValueError(allowed)
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


class _NumberInput(Input):
    """An input that leaves keys with alt or ctrl to the screen: terminals send alt+o as a letter with a prefix."""

    def on_key(self, event: events.Key) -> None:
        if event.key.startswith(("alt+", "ctrl+")):
            event.prevent_default()


class SamplingSettings(Vertical):
    """Inputs for `session.preferences.talk`. A value that is not allowed is marked, explained, and not used."""

    DEFAULT_CSS = """
    SamplingSettings { width: 32; padding: 0 1; background: $background; overflow-y: auto; }
    SamplingSettings Horizontal { height: 1; }
    SamplingSettings Label { width: 13; color: $text-muted; }
    SamplingSettings Input { width: 9; padding: 0; background: $background; }
    SamplingSettings Input:focus { background: $surface; text-style: bold; }
    SamplingSettings Input.-invalid { color: $text-error; text-style: underline; }
    SamplingSettings .note { width: 1fr; color: $text-muted; }
    SamplingSettings #sampler { height: auto; border-top: solid $border-blurred; border-title-color: $text-muted; }
    SamplingSettings #setting-help { height: auto; color: $text-muted; border-top: solid $border-blurred; }
    SamplingSettings #setting-help.-problem { color: $text-error; }
    """
    BINDINGS = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
    ]

    @dataclass
    class Done(Message):
        """Enter was pressed in a setting: the text is next."""

    def __init__(self, session: Session, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self.border_title = "Sampling"
        self._session = session
        self._status: Content | None = None

    def compose(self) -> ComposeResult:
        for name in self._session.preferences.talk.__struct_fields__:
            with Horizontal():
                yield Label(name.replace("_", "-"))
                # What may be typed follows the value's type; the checks are those of the config schema.
                kind: Literal["number", "integer"] = "number" if isinstance(self._value(name), float) else "integer"
                check = Function(self._checker(name))
                box = _NumberInput(type=kind, id=name, compact=True, validators=[check], select_on_focus=True)
                box.cursor_blink = False
                yield box
                yield Static(classes="note", id=f"{name}-note", markup=False)
        sampler = Static(id="sampler", markup=False)
        sampler.border_title = "Model"
        yield sampler
        yield Static(id="setting-help", markup=False)

    def on_mount(self) -> None:
        self.show_values()
        self._explain()

    def focus_first(self) -> None:
        self.query(Input).first().focus()

    def action_move(self, by: int) -> None:
        boxes = list(self.query(Input))
        at = next((index for index, box in enumerate(boxes) if box.has_focus), 0)
        boxes[(at + by) % len(boxes)].focus()

    def _value(self, name: str) -> float:
        return getattr(self._session.preferences.talk, name)

    def _checker(self, name: str) -> Callable[[str], bool]:
        return lambda text: not problem_of(name, text)

    def show_values(self) -> None:
        """Show the settings that are in use, in place of whatever was typed."""
        for box in self.query(Input):
            name = box.id or ""
            value = self._value(name)
            text = f"{value:g}" if isinstance(value, float) else str(value)
            if box.value != text:
                box.value = text
            self._annotate(name)

    def _annotate(self, name: str) -> None:
        off, word = _OFF.get(name, (None, ""))
        self.query_one(f"#{name}-note", Static).update(word if self._value(name) == off else "")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        name = event.input.id or ""
        if not problem_of(name, event.value):
            preferences = self._session.preferences
            values = {name: parse_setting(name, event.value)}
            preferences.talk = msgspec.structs.replace(preferences.talk, **values)
            self._annotate(name)
        self._explain()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Done())

    def on_descendant_focus(self) -> None:
        self._explain()

    def on_descendant_blur(self) -> None:
        self.show_values()
        self._explain()

    def _explain(self) -> None:
        """Say what the setting that has the focus does, or what is wrong with it."""
        focused = self.screen.focused  # the events of focus and blur come in any order
        box = focused if isinstance(focused, Input) and self in focused.ancestors else None
        name, problem = (box.id or "", problem_of(box.id or "", box.value)) if box else ("", "")
        help_text = "" if not name else _HELP.get(name) or field(f"sampling.{name}").help
        target = self.query_one("#setting-help", Static)
        target.update(f"✗ {problem}; {self._value(name):g} stays" if problem else help_text)
        target.display = bool(name)
        target.set_class(bool(problem), "-problem")

    def show_status(self, *lines: tuple[str, str]) -> None:
        """Show what the sampler does: (text, style) lines, those that are empty left out."""
        content = Content("\n").join(Content.styled(clean(text), style) for text, style in lines if text)
        if self._status is None or not self._status.is_same(content):
            self._status = content
            self.query_one("#sampler", Static).update(content)
