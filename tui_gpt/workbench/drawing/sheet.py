"""Draw curves with plotext into rows of cells, each a character and a role.

plotext colors its output with ANSI codes. We give it a palette number for each role, and read the roles back from the
codes, so that the theme decides about colors. plotext takes 0.3 s to import: `prewarm()` does that in a thread, after
the first frame.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from threading import Lock
from types import ModuleType
from typing import Any, NamedTuple

from tui_gpt.workbench.drawing.decimation import Point, Range

Row = tuple[list[str], list[str]]  # characters and their roles

_FIRST_COLOR = 16  # the sixteen before it have names and, on some terminals, styles
_CODES = re.compile(r"\x1b\[([\d;]*)m")
_plotext: ModuleType | None = None
_import_lock = Lock()
_HALF, _SLACK = 0.5016585662, 1.0031747182  # where plotext puts the first value, and how much less than all it spreads


class Signal(NamedTuple):
    """Points in one role, drawn with a character or one of plotext's markers (`braille`, `hd`)."""

    points: Sequence[Point]
    role: str
    marker: str
    is_joined: bool = True


class Axis(NamedTuple):
    """What an axis shows, and its ticks as (value, label)."""

    limits: Range
    ticks: Sequence[tuple[float, str]]


def prewarm() -> None:
    """Import plotext. Blocking."""
    global _plotext
    with _import_lock:
        import plotext

        plotext.terminal.limit(False, False)  # else it clamps sizes to those of the terminal it finds
        _plotext = plotext


def is_ready() -> bool:
    """Return whether plotext is imported, so that drawing does not wait for it."""
    return _plotext is not None


def position(value: float, limits: Range, cells: int) -> float:
    """Return where plotext puts `value` on an axis of `cells`, in cells from its beginning."""
    low, high = limits
    return _HALF + (cells - _SLACK) * (value - low) / (high - low)


def value_at(cell: float, limits: Range, cells: int) -> float:
    """Return the value at the middle of a cell: the inverse of `position`."""
    low, high = limits
    return low + (high - low) * (cell + 0.5 - _HALF) / max(1e-9, cells - _SLACK)


def draw(
    width: int, height: int, x: Axis, y: Axis, levels: Sequence[tuple[float, str]], signals: Sequence[Signal]
) -> list[Row]:
    """Return the rows of a chart: `levels` (y, role) behind `signals`. Blank cells have the role `text`."""
    if _plotext is None:
        prewarm()
    plotext: Any = _plotext
    roles = ["axis", *dict.fromkeys([role for _, role in levels] + [signal.role for signal in signals])]
    pixels = {role: plotext.pixel(_FIRST_COLOR + index) for index, role in enumerate(roles)}
    figure = plotext.figure
    figure.clear.data()
    figure.clear.settings()
    figure.plot_size(width, height)
    figure.canvas("default")
    figure.legend(False)
    figure.axes(False)
    if y.ticks:
        figure.axes(True, axis=1, side=0, pixel=pixels["axis"])
    for name, axis in (("x", x), ("y", y)):
        ruler = figure.ruler(name)
        ruler.lim(*axis.limits)
        ruler.pixel(pixels["axis"])
        ruler.ticks([value for value, _ in axis.ticks], [label for _, label in axis.ticks])
    for level, role in levels:
        figure.line(level, "horizontal", pixel=pixels[role], style="dotted")
    for points, role, marker, is_joined in signals:
        signal = figure.signal(
            [x for x, _ in points], [y for _, y in points], marker=plotext.marker(marker, pixels[role])
        )
        signal._get_unique_pixels = list  # to choose colors it would ask each point for its own: a third of the time
        figure.draw(signal.lines(is_joined))
    return [_row(line, roles) for line in figure.build().string().split("\n")[:height]]


def _row(line: str, roles: Sequence[str]) -> Row:
    """Split a line of plotext's output into its characters and their roles."""
    text, *coded = _CODES.split(line)
    characters, found, role = list(text), ["text"] * len(text), "text"
    for code, part in zip(coded[::2], coded[1::2], strict=True):
        if code.startswith("38;5;"):
            role = roles[int(code[5:]) - _FIRST_COLOR]
        elif code == "0":
            role = "text"
        characters += part
        found += [role] * len(part)
    return characters, found
