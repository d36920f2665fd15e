"""Send the terminal only the cells that changed, whatever widgets drew them.

Textual sends a changed run together with everything to its left in the widget, and resets the style after each segment.
Here each update is applied to a copy of the screen instead, and that is compared with the cells last sent: a dashboard
of stock widgets at 2 Hz then sends 0.4 kB/s instead of 24 (`tests/bench/terminal_output.py`, `docs/textual-output.md`).
Frames that the terminal cannot take in time are merged into the next one.

Private names of Textual used here (`test_textual_contract.py` holds them): `App._display`, `App._driver`,
`App._batch_count`, `App._running`, `App._closed`; from `textual._compositor` the classes `CompositorUpdate`,
`LayoutUpdate` (`strips`, `region`) and `ChopsUpdate` (`chops`, `spans`, `chop_ends`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from operator import is_not, ne, or_
from typing import NamedTuple

from rich.cells import split_graphemes
from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS, Console, RenderableType
from rich.style import Style
from textual import events
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.app import App, ReturnType
from textual.screen import Screen
from textual.strip import Strip

from tui_gpt.workbench.terminal.driver import MeteredDriver

RETRY_SECONDS = 0.1
LONGEST_GAP = 8  # unchanged cells between two changed ones that may be sent again instead of a move

_single_cells = re.compile(
    "[ -~\xa0-\xac\xae-\u02ff\u0370-\u0482\u2010-\u2027\u2190-\u21ff\u2500-\u25fc\u2800-\u28ff]*"
)
_marked = re.compile(b"\x01+")
_controls = dict.fromkeys([*range(32), *range(127, 160)])
_disputed = re.compile(".[\u200d\ufe0f\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff]", re.DOTALL)


class Pen(NamedTuple):
    """How a cell is drawn, as SGR parameters; `ink` is None for a blank cell, where the foreground does not show."""

    attributes: frozenset[str] = frozenset()
    ink: str | None = ""
    paper: str = ""
    link: str = ""


PLAIN = Pen()
_pen = lru_cache(4096)(Pen)  # equal pens are one object
_SHOWS_ON_BLANK = frozenset(("4", "7", "9", "21", "51", "52", "53"))
_OFF = {"1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "6": "25", "7": "27", "8": "28", "9": "29"}
_OFF |= {"21": "24", "51": "54", "52": "54", "53": "55"}


@lru_cache(16384)
def _pens(style: Style | None, colors: ColorSystem) -> tuple[Pen, Pen]:
    """Return the pens of a style for characters and for blanks."""
    if style is None:
        return _pen(), _pen(ink=None)
    attributes, ink, paper = set(), "", ""
    codes = iter(Strip.render_ansi(style, colors).split(";"))
    for code in codes:
        if code in ("38", "48"):
            kind = next(codes)
            value = ";".join((code, kind, *(next(codes) for _ in range(3 if kind == "2" else 1))))
            ink, paper = (value, paper) if code == "38" else (ink, value)
        elif code in _OFF:
            attributes.add(code)
        elif code not in ("", "39", "49"):
            ink, paper = (code, paper) if code[0] in "39" else (ink, code)
    shown = frozenset(attributes)
    drawn = _pen(shown, ink, paper, style.link or "")
    return drawn, drawn if shown & _SHOWS_ON_BLANK or drawn.link else _pen(ink=None, paper=paper)


@lru_cache(16384)
def _change(before: Pen, after: Pen) -> tuple[str, Pen]:
    """Return the shortest codes from one pen to another, and the pen that the terminal then has."""
    if after.ink is None:
        after = before._replace(attributes=before.attributes - _SHOWS_ON_BLANK, paper=after.paper, link="")
    link = "" if after.link == before.link else f"\x1b]8;;{after.link}\x1b\\"
    gone = before.attributes - after.attributes
    off = {_OFF[code] for code in gone}
    # "22" ends bold and dim together: what remains of them has to be named again.
    on = {code for code in after.attributes if code not in before.attributes or _OFF[code] in off}
    delta = [*sorted(off), *sorted(on)]
    if after.ink != before.ink:
        delta.append(after.ink or "39")
    if after.paper != before.paper:
        delta.append(after.paper or "49")
    if not delta:
        return link, after
    anew = ";".join(filter(None, ("0", *sorted(after.attributes), after.ink, after.paper)))
    anew = "" if anew == "0" else anew
    return f"{link}\x1b[{min(';'.join(delta), anew, key=len)}m", after


@lru_cache(8192)
def _move(at: tuple[int, int] | None, x: int, y: int) -> str:
    """Return the shortest move of the cursor; a column below 0 is unknown."""
    options = [f"\x1b[{y + 1};{x + 1}H" if x else f"\x1b[{y + 1}H"]
    if at is not None:
        column, down = at[0], y - at[1]
        vertical = _steps(down, "B", "A")
        options += [f"{vertical}\x1b[{x + 1}G", f"{vertical}\r{_steps(x, 'C', 'D')}"]
        if down == 1:
            options.append(f"\r\n{_steps(x, 'C', 'D')}")
        if column >= 0:
            options += [vertical + _steps(x - column, "C", "D"), vertical + "\b" * (column - x)][: 1 + (x < column)]
    return min(options, key=len)


def _steps(count: int, forward: str, back: str) -> str:
    if not count:
        return ""
    return f"\x1b[{abs(count) if abs(count) > 1 else ''}{forward if count > 0 else back}"


@lru_cache(4096)
def _cells(text: str) -> list[str]:
    """Divide a text into cells: a wide character takes one and an empty one, a combining character joins the last."""
    cells: list[str] = []
    for start, end, width in split_graphemes(text)[0]:
        piece = text[start:end].translate(_controls)
        if cells and "\U0001f1e6" <= piece <= "\U0001f1ff" and "\U0001f1e6" <= cells[-1] <= "\U0001f1ff":
            cells[-1:] = [cells[-1] + piece, ""]  # two regional indicators make a flag
        elif width:
            cells += [piece or " ", *[""] * (width - 1)]
        elif cells:
            cells[-2 if not cells[-1] else -1] += piece
    return cells


class TerminalCells:
    """The cells that the terminal should show, and those that it was last sent (None where that is unknown)."""

    def __init__(self) -> None:
        self.width = self.height = 0
        self.cursor: tuple[int, int] | None = None
        self.forget()

    def forget(self) -> None:
        """Know nothing of what the terminal shows: all of it is sent again."""
        self.cursor = None
        self._text: list[list[str | None]] = [[None] * self.width for _ in range(self.height)]
        self._pens: list[list[Pen]] = [[PLAIN] * self.width for _ in range(self.height)]
        self._sent = [(text.copy(), pens.copy()) for text, pens in zip(self._text, self._pens, strict=True)]
        self._dirty: set[int] = set()
        self._disputed: set[int] = set()  # rows with characters whose width terminals do not agree on

    def apply(self, update: ChopsUpdate | LayoutUpdate, colors: ColorSystem) -> None:
        """Carry out an update of Textual's on the cells."""
        if isinstance(update, LayoutUpdate):
            self._resize(update.region.right, update.region.bottom)
            for y, strips in enumerate(update.strips, update.region.y):
                x = update.region.x
                for strip in strips:
                    self._put(x, y, strip, colors)
                    x += strip.cell_length
        else:
            self._resize(update.chop_ends[0][-1] if update.chop_ends else 0, len(update.chops))
            for y, left, right in update.spans:
                for end, (x, chop) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                    if chop is not None and x < right and end > left:
                        self._put(x, y, chop, colors)

    def _resize(self, width: int, height: int) -> None:
        if (width, height) != (self.width, self.height):
            self.width, self.height = width, height
            self.forget()

    def _put(self, x: int, y: int, strip: Strip, colors: ColorSystem) -> None:
        text: list[str | None] = []
        pens: list[Pen] = []
        for piece, style, control in strip:
            if control or not piece:
                continue
            drawn, blank = _pens(style, colors)
            if _single_cells.fullmatch(piece):
                text += piece
            else:
                text += _cells(piece)
                if _disputed.search(piece):
                    self._disputed.add(y)
            if drawn is blank:
                pens += [drawn] * (len(text) - len(pens))
            else:
                pens += [blank if cell == " " else drawn for cell in text[len(pens) :]]
        row = self._text[y]
        end = min(x + len(text), self.width)
        if x and x < end and row[x] == "":  # half a wide character would remain on the left, or on the right
            row[x - 1] = " "
        if end < self.width and row[end] == "":
            row[end] = " "
        row[x:end] = text[: end - x]
        self._pens[y][x:end] = pens[: end - x]
        self._dirty.add(y)

    def encode(self) -> str:
        """Return what brings the terminal up to date; empty when it is."""
        out: list[str] = []
        pen, at = PLAIN, self.cursor
        for y in sorted(self._dirty):
            text, pens = self._text[y], self._pens[y]
            if (text, pens) == self._sent[y]:
                continue
            for start, end, is_disputed in self._runs(y):
                if at != (start, y):
                    out.append(self._bridge(at, start, y, pen))
                x = start
                for target, group in groupby(pens[start:end]):
                    stop = x + len(list(group))
                    if target is not pen:
                        codes, pen = _change(pen, target)
                        out.append(codes)
                    if is_disputed:  # it may be drawn narrower than it should
                        out.append(" " * (end - start) + _move(None, start, y))
                    out.append("".join(filter(None, text[x:stop])))
                    x = stop
                at = (-1 if is_disputed or end == self.width else end, y)
            self._sent[y] = text.copy(), pens.copy()
        self._dirty.clear()
        self.cursor = at
        out.append(_change(pen, PLAIN)[0])
        return "".join(out)

    def _runs(self, y: int) -> Iterator[tuple[int, int, bool]]:
        """Return the changed runs of a row (start, end, whether its width is disputed); none divides a character."""
        if y in self._disputed:
            yield from self._disputed_runs(y)
            return
        text, (old_text, old_pens) = self._text[y], self._sent[y]
        differs = bytes(map(or_, map(ne, text, old_text), map(is_not, self._pens[y], old_pens)))
        for run in _marked.finditer(differs):
            start, end = run.span()
            while text[start] == "" and start:
                start -= 1
            while end < self.width and text[end] == "":
                end += 1
            yield start, end, False

    def _disputed_runs(self, y: int) -> Iterator[tuple[int, int, bool]]:
        """Return all of a row, divided where a terminal may be at another column than we think."""
        text = self._text[y]
        start = 0
        for x, cell in enumerate(text):
            if cell is None or (cell and len(cell) > 1 and _disputed.search(cell)):
                if x > start:
                    yield start, x, False
                start = x + 1
                if cell is not None:
                    while start < self.width and text[start] == "":
                        start += 1
                    yield x, start, True
        if start < self.width:
            yield start, self.width, False
        if not any(cell and len(cell) > 1 and _disputed.search(cell) for cell in text):
            self._disputed.discard(y)

    def _bridge(self, at: tuple[int, int] | None, x: int, y: int, pen: Pen) -> str:
        """Return a move to a cell, or the unchanged cells on the way there where those are shorter."""
        move = _move(at, x, y)
        if at is not None and at[1] == y and 0 <= at[0] < x <= at[0] + LONGEST_GAP:
            cells = self._text[y][at[0] : x]
            if None not in cells and all(_change(pen, p) == ("", pen) for p in self._pens[y][at[0] : x]):
                text = "".join(filter(None, cells))
                return text if len(text.encode("utf-8", "replace")) <= len(move) else move
        return move


class _Encoded(CompositorUpdate):
    """An update that is already in the terminal's language."""

    def __init__(self, text: str) -> None:
        self._text = text

    def render_segments(self, console: Console) -> str:
        return self._text

    def __rich__(self) -> str:
        return ""


class CellDiffApp(App[ReturnType]):
    """An app that sends its terminal only what changed. With another driver than `MeteredDriver` it is as any App."""

    _cells: TerminalCells | None = None
    _generation = 0
    _is_late = False

    def _display(self, screen: Screen, renderable: RenderableType | None) -> None:
        draws = renderable is not None and not self._batch_count and self._running and not self._closed
        if not draws or not isinstance(self._driver, MeteredDriver):
            super()._display(screen, renderable)
            return
        if self._cells is None or self._generation != self._driver.generation:
            self._cells, self._generation = TerminalCells(), self._driver.generation
        if isinstance(renderable, ChopsUpdate | LayoutUpdate):
            self._cells.apply(renderable, COLOR_SYSTEMS[self.console.color_system or "truecolor"])
            self._send(screen)
        else:
            self._cells.forget()
            super()._display(screen, renderable)

    def _send(self, screen: Screen) -> None:
        driver, cells = self._driver, self._cells
        if not isinstance(driver, MeteredDriver) or cells is None:
            return
        if self._is_late or driver.is_behind:
            if not self._is_late:
                self._is_late = True
                self.set_timer(RETRY_SECONDS, self._send_late)
            super()._display(screen, None)
            return
        cursor = self.screen.outer_size.clamp_offset(self.cursor_position)
        text = cells.encode() if driver.is_active else ""
        # An update without a text still moves the cursor, where input methods open their window.
        super()._display(screen, _Encoded(text) if text or cursor != cells.cursor else None)
        cells.cursor = cursor

    def _send_late(self) -> None:
        self._is_late = False
        if self._running and not self._closed:
            self._send(self.screen)

    def on_resize(self, event: events.Resize) -> None:
        """Send all again where the size is as before: the terminal may have been another size in between."""
        if self._cells is not None and event.size == (self._cells.width, self._cells.height):
            self._cells.forget()
            self.screen.refresh()
