"""One line to type into, over the bottom of the screen: values, filters, names, notes and paths all come through here.

What is typed is checked at each key and the verdict stands below it, so that nobody learns at the end that it was
wrong. Escape leaves it; the screen underneath keeps its layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.suggester import Suggester
from textual.widgets import Input

from tui_gpt.workbench.canvas import Canvas, Row, Span, row
from tui_gpt.workbench.text import one_line

Check = Callable[[str], str]  # what is wrong, empty when nothing is
Done = Callable[[str], None]


class _Line(Canvas):
    """A row of the prompt."""

    spans: Row = ()

    def compose_rows(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        return [self.spans]

    def say(self, spans: Row) -> None:
        self.spans = spans
        self.redraw()


class _Words(Suggester):
    """Completes from a list made for what has been typed."""

    def __init__(self, words: Callable[[str], Iterable[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._words = words

    async def get_suggestion(self, value: str) -> str | None:
        return next((word for word in self._words(value) if word.startswith(value) and word != value), None)


class Prompt(Vertical):
    """Hidden until `ask`."""

    def __init__(self) -> None:
        super().__init__(id="prompt")
        self._check: Check = _nothing_wrong
        self._done: Done = _ignore
        self._typed: Done | None = None
        self._hint: Row = ()

    def compose(self) -> ComposeResult:
        self._head = _Line(classes="prompt-head")
        self._input = Input(id="prompt-input", compact=True, select_on_focus=False)
        self._input.cursor_blink = False
        self._verdict = _Line(classes="prompt-verdict")
        yield self._head
        yield self._input
        yield self._verdict

    def on_mount(self) -> None:
        self.display = False

    def ask(
        self,
        title: Row,
        done: Done,
        *,
        value: str = "",
        check: Check | None = None,
        hint: Row = (),
        words: Callable[[str], Iterable[str]] | None = None,
        typed: Done | None = None,
    ) -> None:
        """Show the prompt; `done` gets what was entered, `typed` each change on the way (a filter's live view)."""
        self._check, self._done, self._typed, self._hint = check or _nothing_wrong, done, typed, hint
        self._input.suggester = _Words(words) if words else None
        self.display = True
        self._head.say(title)
        self._input.value = value
        self._input.cursor_position = len(value)
        self._judge(value)
        self._input.focus()

    def leave(self) -> None:
        self.display = False
        self.screen.set_focus(None)

    def _judge(self, value: str) -> None:
        problem = self._check(value)
        if problem:
            self._verdict.say(row(("✗ ", "bad"), (one_line(problem), "bad")))
        else:
            self._verdict.say(self._hint)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if not self.display:
            return
        self._judge(event.value)
        if self._typed is not None:
            self._typed(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not self._check(event.value):
            self.leave()
            self._done(event.value)

    def on_key(self, event: events.Key) -> None:
        if event.key == "tab" and self._input.suggester is not None:
            event.stop()
            event.prevent_default()
            self._input.action_cursor_right()
        elif event.key in ("tab", "shift+tab", "up", "down", "pageup", "pagedown"):
            event.stop()
            event.prevent_default()


def _nothing_wrong(_: str) -> str:
    return ""


def _ignore(_: str) -> None:
    return None
