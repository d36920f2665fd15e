"""Draw curves with plotext into rows of cells, each a character and a role.

plotext colors its output with ANSI codes. We give it a palette number for each role, and read the roles back from the
codes, so that the theme decides about colors. plotext takes 0.3 s to import: `prewarm()` does that in a thread, after
the first frame.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from types import ModuleType
from typing import Any

from tui_gpt.workbench.drawing.decimation import Point, Range

_FIRST_COLOR = 16  # the sixteen before it have names and, on some terminals, styles
_CODES = re.compile(r"\x1b\[([\d;]*)m")
_MARKERS = {"braille": "braille", "block": "hd"}
_plotext: ModuleType | None = None
_import_lock = Lock()
_HALF, _SLACK = 0.5016585662, 1.0031747182  # where plotext puts the first value, and how much less than all it spreads


@dataclass
class Signal:
    """Points in one role, joined unless `is_scatter`, drawn with `character` or with the glyph set's dots."""

    points: Sequence[Point]
    role: str
    character: str = ""
    is_scatter: bool = False


@dataclass
class Sheet:
    """What plotext draws at once. Levels are (y, role); ticks are (value, label)."""

    width: int
    height: int
    x_range: Range
    y_range: Range
    signals: list[Signal] = field(default_factory=list)
    levels: list[tuple[float, str]] = field(default_factory=list)
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)


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


def position(value: float, value_range: Range, cells: int) -> float:
    """Return where plotext puts `value` on an axis of `cells`, in cells from its beginning."""
    low, high = value_range
    share = (value - low) / (high - low) if high != low else 0.5
    return _HALF + (cells - _SLACK) * share


def value_at(cell: float, value_range: Range, cells: int) -> float:
    """Return the value at the middle of a cell: the inverse of `position`."""
    low, high = value_range
    return low + (high - low) * (cell + 0.5 - _HALF) / max(1e-9, cells - _SLACK)


def draw(sheet: Sheet, glyphs: str) -> list[tuple[list[str], list[str]]]:
    """Return the characters and roles of each row; blank cells have the role `text`."""
    if _plotext is None:
        prewarm()
    plotext: Any = _plotext
    figure = plotext.figure
    figure.clear.data()
    figure.clear.settings()
    figure.plot_size(sheet.width, sheet.height)
    figure.canvas("default")
    figure.legend(False)
    figure.axes(False)
    roles: list[str] = []

    def pixel(role: str) -> Any:
        if role not in roles:
            roles.append(role)
        return plotext.pixel(_FIRST_COLOR + roles.index(role))

    for axis, name, limits, ticks in ((0, "x", sheet.x_range, sheet.x_ticks), (1, "y", sheet.y_range, sheet.y_ticks)):
        ruler = figure.ruler(name)
        ruler.lim(*limits)
        ruler.pixel(pixel("axis"))
        ruler.ticks([value for value, _ in ticks], [label for _, label in ticks])
        if axis == 1 and ticks:
            figure.axes(True, axis=1, side=0, pixel=pixel("axis"))
    for level, role in sheet.levels:
        figure.line(level, "horizontal", pixel=pixel(role), style="dotted")
    for item in sheet.signals:
        marker = plotext.marker(item.character or _MARKERS[glyphs], pixel(item.role))
        signal = figure.signal([x for x, _ in item.points], [y for _, y in item.points], marker=marker)
        if not item.is_scatter:
            signal.lines(True)
        signal._get_unique_pixels = list  # to choose colors it would ask each point for its own: a third of the time
        figure.draw(signal)
    return [_cells(line, roles) for line in figure.build().string().split("\n")[: sheet.height]]


def _cells(line: str, roles: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a line of plotext's output into its characters and their roles."""
    characters: list[str] = []
    found: list[str] = []
    role = "text"
    for index, part in enumerate(_CODES.split(line)):
        if index % 2 == 0:
            characters += part
            found += [role] * len(part)
        elif part.startswith("38;5;"):
            role = roles[int(part[5:]) - _FIRST_COLOR]
        elif part == "0":
            role = "text"
    return characters, found
