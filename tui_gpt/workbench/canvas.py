"""A widget made of lines of cells that sends the terminal only the cells that changed.

At 120×40 a pane that renders itself whole costs kilobytes each time a digit moves. Here a pane says what its lines are,
they are compared with those on screen cell by cell, and `refresh` is called for the runs that differ. Frames are cells
too: a pane that gains the focus repaints its border and nothing else. Text is placed as it is, never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from rich.cells import cell_len
from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui_gpt.workbench.text import cut, width_of

if TYPE_CHECKING:
    from tui_gpt.workbench.app import Workbench

Span = tuple[str, str]  # text, role
Row = tuple[Span, ...]

JOIN_GAP = 6  # moving the cursor costs about as many bytes as this many unchanged cells


def row(*parts: Span | str) -> Row:
    """A row from spans and plain texts."""
    return tuple((part, "text") if isinstance(part, str) else part for part in parts)


def row_width(spans: Iterable[Span]) -> int:
    return sum(width_of(text) for text, _ in spans)


def fit(spans: Sequence[Span], width: int) -> Row:
    """`spans` in exactly `width` cells: padded with spaces, or cut with `…`."""
    out: list[Span] = []
    left = width
    for text, role in spans:
        if not text:
            continue
        wide = width_of(text)
        if wide > left:
            if left > 0:
                out.append((cut(text, left), role))
                left -= width_of(out[-1][0])
            elif out:
                last, last_role = out[-1]
                out[-1] = (
                    cut(last, width_of(last) - 1) if last.endswith("…") else cut(last + "…", width_of(last)),
                    last_role,
                )
            break
        out.append((text, role))
        left -= wide
    if left > 0:
        out.append((" " * left, "text"))
    return tuple(out)


def under_cursor(spans: Sequence[Span | str], width: int) -> Row:
    """`spans` in exactly `width` cells, all of them in the cursor's colours."""
    return (("".join(text for text, _ in fit(row(*spans), width)), "cursor"),)


def sides(left: Sequence[Span], right: Sequence[Span], width: int) -> Row:
    """`left` at the left edge and `right` at the right one; where they do not fit, the left is cut."""
    wide = row_width(right)
    if wide >= width:
        return fit(right, width)
    if wide and row_width(left) >= width - wide:
        return (*fit(left, width - wide - 1), (" ", "text"), *right)
    return fit(left, width - wide) + tuple(right)


@lru_cache(4096)
def _cells(spans: Row) -> tuple[Span, ...]:
    """One (character, role) for each cell; a wide character's second cell is empty."""
    cells: list[Span] = []
    for text, role in spans:
        if text.isascii():
            cells += [(char, role) for char in text]
            continue
        for char in text:
            wide = cell_len(char)
            if wide == 0 and cells:  # a combining mark belongs to the character before it
                cells[-1] = (cells[-1][0] + char, cells[-1][1])
                continue
            cells.append((char, role))
            cells += [("", role)] * (wide - 1)
    return tuple(cells)


def differences(old: Row, new: Row) -> list[tuple[int, int]]:
    """The runs of cells, as (start, end), in which two rows of one width differ; runs that nearly touch are joined."""
    before, after = _cells(old), _cells(new)
    if len(before) != len(after):
        return [(0, max(len(before), len(after)))]
    runs: list[tuple[int, int]] = []
    for x, (a, b) in enumerate(zip(before, after, strict=True)):
        if a == b:
            continue
        if runs and x - runs[-1][1] <= JOIN_GAP:
            runs[-1] = (runs[-1][0], x + 1)
        else:
            runs.append((x, x + 1))
    return [(_start_of_char(before, after, start), _end_of_char(before, after, end)) for start, end in runs]


def _start_of_char(before: tuple[Span, ...], after: tuple[Span, ...], x: int) -> int:
    while x and (not before[x][0] or not after[x][0]):
        x -= 1
    return x


def _end_of_char(before: tuple[Span, ...], after: tuple[Span, ...], x: int) -> int:
    while x < len(before) and (not before[x][0] or not after[x][0]):
        x += 1
    return x


class Canvas(Widget):
    """Lines of cells. `show` takes the new ones."""

    can_focus = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._rows: list[Row] = []
        self._shown_width = 0

    @property
    def workbench(self) -> Workbench:
        return cast("Workbench", self.app)

    def show(self, rows: Sequence[Sequence[Span]]) -> None:
        """Put `rows` on screen; missing ones are blank, those beyond the height are left out."""
        width, height = self.size
        new = [fit(spans, width) for spans in rows[:height]]
        new += [fit((), width)] * (height - len(new))
        old, self._rows = self._rows, new
        if width != self._shown_width or len(old) != len(new):
            self._shown_width = width
            self.refresh()
            return
        changed = [
            Region(start, y, end - start, 1)
            for y, (a, b) in enumerate(zip(old, new, strict=True))
            if a != b
            for start, end in differences(a, b)
        ]
        if changed:
            self.refresh(*changed)

    def redraw(self) -> None:
        """Recompute the rows and show them. Called by the screen's timer, on a key, and on a new size."""
        if self.is_mounted and self.size and self.display:
            self.show(self.compose_rows(*self.size))

    def compose_rows(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        raise NotImplementedError

    def on_resize(self) -> None:
        self.redraw()

    def on_show(self) -> None:
        self.redraw()

    def render_line(self, y: int) -> Strip:
        width, ground = self.size.width, self.rich_style
        if y >= len(self._rows):
            return Strip.blank(width, ground)
        roles = self.workbench.roles
        return Strip([Segment(text, ground + roles[role]) for text, role in self._rows[y]], width)


LIGHT, HEAVY = tuple("╭─╮│╰╯"), tuple("┏━┓┃┗┛")


def framed(
    body: Sequence[Sequence[Span]],
    width: int,
    height: int,
    *,
    title: Row,
    note: Row = (),
    foot: Row = (),
    active: bool,
    heavy: bool = False,
) -> list[Row]:
    """`body` inside a border: title at the top left, note at the top right, foot at the bottom right.

    heavy: an active frame differs in its lines too, for terminals without colour.
    """
    role = "frame-active" if active else "frame"
    nw, line, ne, side, sw, se = HEAVY if active and heavy else LIGHT
    inner = max(0, width - 4)
    if width < 8 or height < 3:
        return [fit(spans, width) for spans in body[:height]]
    rows = [_edge(nw, line, ne, title, note, width, role)]
    for y in range(height - 2):
        content = fit(body[y], inner) if y < len(body) else fit((), inner)
        rows.append(((side + " ", role), *content, (" " + side, role)))
    rows.append(_edge(sw, line, se, (), foot, width, role))
    return rows


def _edge(left: str, line: str, right: str, title: Row, note: Row, width: int, role: str) -> Row:
    room = width - 4
    head: Row = ()
    if title:
        head = ((" ", role), *_trim(title, room - 2), (" ", role))
    room -= row_width(head)
    tail: Row = ()
    if note and row_width(note) + 2 <= room - 1:
        tail = ((" ", role), *note, (" ", role))
        room -= row_width(tail)
    return ((left + line, role), *head, (line * max(0, room), role), *tail, (line + right, role))


def _trim(spans: Row, width: int) -> Row:
    wide = row_width(spans)
    return spans if wide <= width else fit(spans, max(1, width))
