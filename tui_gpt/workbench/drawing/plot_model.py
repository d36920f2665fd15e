"""A chart as data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tui_gpt.workbench.drawing.decimation import Point, Range, Span
from tui_gpt.workbench.drawing.formatting import format_short
from tui_gpt.workbench.drawing.ranges import same_decimals


@dataclass(frozen=True)
class Curve:
    """A line, or points that are not joined. `spans`: (x, least, greatest) of the values behind it, drawn faintly."""

    points: Sequence[Point]
    role: str
    label: str = ""  # at its right end
    spans: Sequence[Span] = ()
    style: Literal["line", "points"] = "line"
    letter: str = ""  # tells it from others where there are no colors


@dataclass(frozen=True)
class Level:
    """A horizontal line; only its label at the margin where it is far outside the range."""

    y: float
    label: str
    role: str = "floor"


@dataclass(frozen=True)
class Mark:
    """A glyph at a value, above the curve there, or at an edge of the chart."""

    x: float
    glyph: str
    role: str = "mark"
    label: str = ""
    y: float = math.nan  # for "at" and "above"
    place: Literal["at", "above", "top", "bottom"] = "bottom"


@dataclass(frozen=True)
class Plot:
    """What to draw. Without a range of x it holds all points; y holds what `robust_range` keeps of those within x."""

    curves: tuple[Curve, ...] = ()
    levels: tuple[Level, ...] = ()
    marks: tuple[Mark, ...] = ()
    x_range: Range | None = None
    x_bounds: Range | None = None  # what zooming out and panning can show
    is_log: bool = False
    from_zero: bool = False
    is_compact: bool = False  # a gauge: no x axis, and as y axis only its ends
    x_is_time: bool = False
    x_format: Callable[[float], str] = format_short
    y_format: Callable[[Iterable[float]], list[str]] = same_decimals
