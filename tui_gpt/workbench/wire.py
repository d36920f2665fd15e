"""What travels to the terminal when cells change: those cells, and as few escape codes as they need.

Textual 8 sends a changed run together with everything to its left in the widget's row, and resets the style after each
segment. On the running dashboard that is 3.1 kB/s at 2 Hz; cropping at both ends and naming a style only where it
changes makes it a tenth. This leans on names inside Textual (`_compositor`, `App._display`), hence the pin to one
major version; the test that counts bytes would notice their change.
"""

from __future__ import annotations

from functools import lru_cache

from rich.color import ColorSystem
from rich.console import Console
from rich.control import Control
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

RESET = "\x1b[0m"


@lru_cache(4096)
def _change(before: Style | None, after: Style | None, colors: ColorSystem | None) -> str:
    """The codes from one style to another: the foreground alone where nothing else differs."""
    if after is None or colors is None:
        return RESET
    if before is not None and before.bgcolor == after.bgcolor and before.without_color == after.without_color:
        return _codes(Style(color=after.color or "default"), colors)
    codes = _codes(after, colors)
    return codes.replace("\x1b[", "\x1b[0;", 1) if codes else RESET


def _codes(style: Style, colors: ColorSystem) -> str:
    return style.render("\0", color_system=colors).partition("\0")[0]


def tight(update: CompositorUpdate) -> CompositorUpdate:
    """The same update in fewer bytes."""
    if isinstance(update, ChopsUpdate):
        return TightCells(update.chops, update.spans, update.chop_ends)
    if isinstance(update, LayoutUpdate):
        return TightScreen(update.strips, update.region)
    return update


class _Pen:
    """Collects text and names a style only where it changes."""

    def __init__(self, console: Console) -> None:
        self._colors = console._color_system
        self._out: list[str] = []
        self._style: Style | None = None

    def move(self, x: int, y: int) -> None:
        self._out.append(Control.move_to(x, y).segment.text)

    def draw(self, strip: Strip) -> None:
        for text, style, _ in strip:
            if style != self._style:
                self._out.append(_change(self._style, style, self._colors))
                self._style = style
            self._out.append(text)

    def finished(self) -> str:
        return "".join(self._out) + ("" if self._style is None else RESET)


class TightCells(ChopsUpdate):
    """Runs of cells, cropped at both ends."""

    def render_segments(self, console: Console) -> str:
        pen = _Pen(console)
        for y, x1, x2 in self.spans:
            at: int | None = None
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= x2 or end <= x1:
                    continue
                start, stop = max(x, x1), min(end, x2)
                if at != start:
                    pen.move(start, y)
                pen.draw(strip.crop(start - x, stop - x))
                at = stop
        return pen.finished()


class TightScreen(LayoutUpdate):
    """Whole rows of a region."""

    def render_segments(self, console: Console) -> str:
        pen = _Pen(console)
        for y, line in enumerate(self.strips, self.region.y):
            pen.move(self.region.x, y)
            for strip in line:
                pen.draw(strip)
        return pen.finished()
