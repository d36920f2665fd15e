"""Questions in a box: pick one of a list by typing, answer with a single key, read a text, see every key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from tui_gpt.workbench.canvas import Canvas, Row, Span, fit, framed, row, under_cursor
from tui_gpt.workbench.text import cut, one_line, wrap


class Item(NamedTuple):
    """A line of a picker: label, detail, and the value that it stands for."""

    label: str
    detail: str
    value: object


def as_items(choices: Iterable[tuple[str, str, object]]) -> list[Item]:
    return [Item(*choice) for choice in choices]


def matching(items: Iterable[Item], needle: str) -> list[Item]:
    """Items that hold every word of `needle`, those whose label begins with it first."""
    words = needle.lower().split()
    found = [item for item in items if all(word in f"{item.label} {item.detail}".lower() for word in words)]
    return sorted(found, key=lambda item: not item.label.lower().startswith(needle.lower()))


class _List(Canvas):
    """The picker's frame, list and cursor; the input lies over its second line."""

    def compose_rows(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        return cast("Picker", self.screen).rows(width, height)

    def on_click(self, event: events.Click) -> None:
        cast("Picker", self.screen).click(event.y)


class Picker(ModalScreen[object]):
    """Choose one of `items` by typing a part of it."""

    BINDINGS = [
        Binding("escape", "leave", show=False),
        Binding("up,ctrl+p", "move(-1)", show=False, priority=True),
        Binding("down,ctrl+n", "move(1)", show=False, priority=True),
        Binding("pageup", "move(-10)", show=False, priority=True),
        Binding("pagedown", "move(10)", show=False, priority=True),
        Binding("tab", "complete", show=False, priority=True),
    ]

    def __init__(
        self,
        title: str,
        items: Sequence[Item],
        *,
        current: object = None,
        hint: str = "type to find · enter chooses · esc leaves",
        placeholder: str = "",
    ) -> None:
        super().__init__()
        self._title, self._items, self._hint = title, list(items), hint
        self._placeholder = placeholder
        self._problem = ""  # what is wrong with what was chosen, said in the place of the rule
        self._found = list(items)
        self._top = 0
        self._cursor = next((index for index, item in enumerate(items) if item.value == current), 0)

    def compose(self) -> ComposeResult:
        with Vertical(id="picker"):
            self._list = _List(id="picker-list")
            self._input = Input(placeholder=self._placeholder, id="picker-input", compact=True)
            self._input.cursor_blink = False
            yield self._list
            yield self._input

    def on_mount(self) -> None:
        self._input.focus()

    def rows(self, width: int, height: int) -> list[Row]:
        said = wrap(f"✗ {self._problem}", width - 4, limit=4) if self._problem else []
        room = max(1, height - 4 - max(0, len(said) - 1))
        self._cursor = max(0, min(self._cursor, len(self._found) - 1))
        self._top = max(0, min(self._top, self._cursor, len(self._found) - room), self._cursor - room + 1)
        detail = max((len(item.detail) for item in self._found), default=0)
        wide = max((len(item.label) for item in self._found), default=0) + 2
        wide = min(wide, max((width - 4) // 2, width - 4 - detail))
        body: list[Row] = [row(("> ", "accent"))]
        body += [row((line, "bad")) for line in said] or [row(("─" * (width - 4), "faint"))]
        for index, item in enumerate(self._found[self._top : self._top + room], self._top):
            label = cut(one_line(item.label), wide - 1).ljust(wide)
            if index == self._cursor:
                body.append(under_cursor([label, one_line(item.detail)], width - 4))
            else:
                body.append(row((label, "bright"), (one_line(item.detail), "dim")))
        if not self._found:
            body.append(row(("nothing fits", "dim")))
        count = f"{self._cursor + 1} of {len(self._found)}" if self._found else "none"
        return framed(
            body,
            width,
            height,
            title=row((self._title, "bright")),
            note=row((count, "dim")),
            foot=row((self._hint, "dim")) if width > len(self._hint) + 8 else (),
            active=True,
        )

    def on_input_changed(self, event: Input.Changed) -> None:
        self._problem = ""
        self._found = self.fitting(event.value)
        self._cursor = 0
        self._list.redraw()

    def fitting(self, text: str) -> list[Item]:
        """What is offered for the text that is typed."""
        return matching(self._items, text)

    def on_input_submitted(self) -> None:
        if self._found:
            self.choose(self._found[self._cursor])

    def choose(self, item: Item) -> None:
        self.dismiss(item.value)

    def click(self, y: int) -> None:
        index = self._top + y - 3
        if 0 <= index < len(self._found):
            self.choose(self._found[index])

    def action_move(self, by: int) -> None:
        self._cursor = max(0, min(self._cursor + by, len(self._found) - 1))
        self._list.redraw()

    def action_complete(self) -> None:
        """Nothing: what is typed here is no beginning. But tab stays in the input."""

    def action_leave(self) -> None:
        self.dismiss(None)


class _Box(Canvas):
    def compose_rows(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        return cast("Question", self.screen).rows(width, height)


class Question(ModalScreen[str]):
    """Ask with single keys: `choices` are (key, what it does, answer); enter takes the first, escape answers ""."""

    def __init__(self, title: str, text: str, choices: Sequence[tuple[str, str, str]], *, bad: bool = False) -> None:
        super().__init__()
        self._title, self._text, self._choices, self._bad = title, text, list(choices), bad

    def compose(self) -> ComposeResult:
        box = _Box(id="question")
        width = max(30, min(68, self.app.size.width - 4))
        lines = len(wrap(self._text, width - 4))
        box.styles.width = width
        box.styles.height = min(self.app.size.height, lines + len(self._choices) + 5)
        yield box

    def rows(self, width: int, height: int) -> list[Row]:
        body: list[Row] = [row(line) for line in wrap(self._text, width - 4)]
        body.append(())
        for index, (key, text, _) in enumerate(self._choices):
            first = index == 0
            body.append(row((f"{key}   ", "key"), (text, "bright" if first else "text"), (" (enter)" * first, "dim")))
        body.append(row(("esc", "key"), (" leave everything as it is", "dim")))
        return framed(body, width, height, title=row((self._title, "bad" if self._bad else "bright")), active=True)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        answers = {key: answer for key, _, answer in self._choices}
        if event.key == "escape":
            self.dismiss("")
        elif event.key == "enter":
            self.dismiss(self._choices[0][2])
        elif event.character in answers:
            self.dismiss(answers[event.character])


class _Page(Canvas):
    def compose_rows(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        return cast("Reader", self.screen).rows(width, height)


class Reader(ModalScreen[None]):
    """A text over the whole screen: the log, the events, every key. `content` gives its rows for a width."""

    def __init__(self, title: str, content: Callable[[int], Sequence[Row]], *, at_end: bool = False) -> None:
        super().__init__()
        self._title, self._content, self._at_end = title, content, at_end
        self._top: int | None = None
        self._shape = (0, 1)

    def compose(self) -> ComposeResult:
        yield _Page(id="reader")

    def rows(self, width: int, height: int) -> list[Row]:
        lines = list(self._content(max(1, width - 4)))
        room = max(1, height - 2)
        last = max(0, len(lines) - room)
        if self._top is None:
            self._top = last if self._at_end else 0
        self._top = max(0, min(self._top, last))
        self._shape = (len(lines), room)
        where = f"{self._top + 1:,}–{min(len(lines), self._top + room):,} of {len(lines):,}" if lines else "empty"
        return framed(
            lines[self._top : self._top + room],
            width,
            height,
            title=row((self._title, "bright")),
            note=row((where, "dim")),
            foot=row(("↑ ↓ pgup pgdn home end", "dim"), (" · ", "faint"), ("esc", "key"), (" leaves", "dim")),
            active=True,
        )

    def redraw(self) -> None:
        for page in self.query(_Page):
            page.redraw()

    def on_key(self, event: events.Key) -> None:
        event.stop()
        total, room = self._shape
        top = self._top or 0
        steps = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -room, "pagedown": room, "space": room, "b": -room}
        if event.key in ("escape", "q", "l", "question_mark", "f1"):
            self.dismiss(None)
        elif event.key in steps:
            self._top = top + steps[event.key]
        elif event.key in ("home", "g"):
            self._top = 0
        elif event.key in ("end", "G"):
            self._top = total
        self.redraw()

    def on_mouse_scroll_up(self) -> None:
        self._top = (self._top or 0) - 3
        self.redraw()

    def on_mouse_scroll_down(self) -> None:
        self._top = (self._top or 0) + 3
        self.redraw()


def text_rows(text: str) -> Callable[[int], Sequence[Row]]:
    """A reader's content from plain text, wrapped to the width."""
    known: dict[int, list[Row]] = {}

    def content(width: int) -> Sequence[Row]:
        if width not in known:
            known.clear()
            known[width] = [row(line) for line in wrap(text, width, limit=20_000)]
        return known[width]

    return content


def help_rows(groups: Sequence[tuple[str, list[tuple[str, str]]]]) -> Callable[[int], Sequence[Row]]:
    """Every key, in two columns where there is room."""

    def content(width: int) -> Sequence[Row]:
        blocks: list[list[Row]] = []
        column = max((len(keys) for _, lines in groups for keys, _ in lines), default=0) + 2
        for place, lines in groups:
            block: list[Row] = [row((place, "accent"))]
            block += [row((f"  {keys:<{column}}", "key"), (text, "text")) for keys, text in lines]
            blocks.append([*block, ()])
        if width < 110:
            return [line for block in blocks for line in block]
        half = width // 2
        every = [line for block in blocks for line in block]
        middle = next((index + 1 for index in range(len(every) // 2, len(every)) if not every[index]), len(every))
        left, right = every[:middle], every[middle:]
        right += [()] * (len(left) - len(right))
        return [fit(one, half) + two for one, two in zip(left, right, strict=False)]

    return content
