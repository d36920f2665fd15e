"""Reduce a curve to what a chart's columns can show: the least and greatest value of each, or the last point."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Point = tuple[float, float]  # x, y
Span = tuple[float, float, float]  # x, least, greatest
Range = tuple[float, float]


def visible(points: Iterable[Point], x_range: Range, *, is_log: bool = False) -> list[Point]:
    """Return the points within `x_range` that a chart can draw, and the one on each side, moved to the border."""
    left, right = x_range
    inside: list[Point] = []
    before: Point | None = None
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)) or (is_log and y <= 0):
            continue
        if x < left:
            before = x, y
        elif x <= right:
            if before is not None and not inside:
                inside.append((left, _between(before, (x, y), left)))
            inside.append((x, y))
        else:
            previous = inside[-1] if inside else before
            if previous is not None:
                if not inside:
                    inside.append((left, _between(previous, (x, y), left)))
                inside.append((right, _between(previous, (x, y), right)))
            break
    return inside


def _between(first: Point, second: Point, x: float) -> float:
    share = (x - first[0]) / (second[0] - first[0]) if second[0] > first[0] else 1.0
    return first[1] * (1 - share) + second[1] * share


def thin(points: Sequence[Point], x_range: Range, columns: int) -> list[Point]:
    """Return the mean of the points in each of `columns`; the first and the last point stay as they are."""
    if len(points) <= max(2, columns):
        return list(points)
    left, scale = x_range[0], columns / (x_range[1] - x_range[0])
    sums: dict[int, list[float]] = {}
    for x, y in points[1:-1]:
        known = sums.setdefault(int((x - left) * scale), [0.0, 0.0, 0.0])
        known[0] += x
        known[1] += y
        known[2] += 1
    return [points[0], *((x / count, y / count) for x, y, count in sums.values()), points[-1]]


def extremes(spans: Sequence[Span], x_range: Range, columns: int, *, is_log: bool = False) -> list[Span]:
    """Return a middle x, the least and the greatest value for each of `columns`."""
    left, right = x_range
    inside = [
        (x, low if low > 0 or not is_log else high, high)
        for x, low, high in spans
        if left <= x <= right and high - low < math.inf and (high > 0 or not is_log)
    ]
    if len(inside) <= columns:
        return inside
    scale = columns / (right - left)
    groups: dict[int, list[Span]] = {}
    for span in inside:
        groups.setdefault(int((span[0] - left) * scale), []).append(span)
    found = []
    for group in groups.values():
        xs, lows, highs = zip(*group, strict=True)
        found.append(((xs[0] + xs[-1]) / 2, min(lows), max(highs)))
    return found


def zigzag(spans: Sequence[Span]) -> list[Point]:
    """Return a line that covers each span, from its end that is nearer to where the line comes from."""
    line: list[Point] = []
    for x, low, high in spans:
        if low == high:
            line.append((x, low))
        elif line and line[-1][1] > (low + high) / 2:
            line += [(x, high), (x, low)]
        else:
            line += [(x, low), (x, high)]
    return line


def column_of(x: float, x_range: Range, columns: int) -> int:
    """Return the column from 0 to `columns` - 1 that holds `x`."""
    left, right = x_range
    share = (x - left) / (right - left) if right > left else 0.0
    return min(columns - 1, max(0, int(share * columns)))


def clamped(points: Iterable[Point], y_range: Range) -> list[Point]:
    """Return the points with y at most one height of the chart outside it: a far point costs as many dots."""
    low, high = y_range
    reach = high - low
    return [(x, min(high + reach, max(low - reach, y))) for x, y in points]


def runs_outside(points: Sequence[Point], limit: float, *, above: bool) -> list[Point]:
    """Return, for each stretch of points beyond `limit`, the point that is farthest out."""
    sign = 1 if above else -1
    farthest: list[Point] = []
    was_outside = False
    for x, y in points:
        is_outside = y * sign > limit * sign
        if is_outside and was_outside:
            if y * sign > farthest[-1][1] * sign:
                farthest[-1] = x, y
        elif is_outside:
            farthest.append((x, y))
        was_outside = is_outside
    return farthest
