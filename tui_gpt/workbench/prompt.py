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

from tui_gpt.workbench.canvas import Canvas, Row, Span, row, row_width
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


class _Head(_Line):
    """The prompt's title, as a rule across the screen."""

    def compose_rows(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        rest = width - row_width(self.spans) - 4
        return [(("── ", "frame-active"), *self.spans, (" " + "─" * max(0, rest), "frame-active"))]


class _Words(Suggester):
    """Completes from a list made for what has been typed."""

    def __init__(self, words: Callable[[str], Iterable[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._words = words

    async def get_suggestion(self, value: str) -> str | None:
        return next((word for word in self._words(value) if word.startswith(value) and word != value), None)


class Prompt(Vertical):
    """One question; it is gone once it is answered or left.

    done: gets what was entered. check: says what is wrong with what is typed. typed: gets each change on the way (a
    filter's live view). words: what could complete it.
    """

    def __init__(
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
        super().__init__(id="prompt")
        self._title, self._done, self._check, self._hint, self._typed = title, done, check, hint, typed
        suggester = _Words(words) if words else None
        self._input = Input(value, id="prompt-input", compact=True, select_on_focus=False, suggester=suggester)
        self._input.cursor_blink = False
        self._head, self._verdict = _Head(), _Line()

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._input
        yield self._verdict

    def on_mount(self) -> None:
        self._head.say(self._title)
        self._judge(self._input.value)
        self._input.focus()

    def leave(self) -> None:
        self.screen.set_focus(None)
        self.remove()

    def _problem(self, value: str) -> str:
        return self._check(value) if self._check is not None else ""

    def _judge(self, value: str) -> None:
        problem = self._problem(value)
        if problem:
            self._verdict.say(row(("✗ ", "bad"), (one_line(problem), "bad")))
        else:
            self._verdict.say(self._hint)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._judge(event.value)
        if self._typed is not None:
            self._typed(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not self._problem(event.value):
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
