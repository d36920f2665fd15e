"""Reduce a curve to what a chart's columns can show: the mean, or the least and the greatest value of each."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import itemgetter

Point = tuple[float, float]  # x, y
Span = tuple[float, float, float]  # x, least, greatest
Range = tuple[float, float]
_x = itemgetter(0)


def visible(points: Sequence[Point], x_range: Range) -> list[Point]:
    """Return the points within `x_range`, and those where the line crosses its ends."""
    left, right = x_range
    start, stop = bisect_left(points, left, key=_x), bisect_right(points, right, key=_x)
    inside = list(points[start:stop])
    if 0 < start < len(points) and points[start][0] > left:
        inside.insert(0, (left, value_at(points, left)))
    if 0 < stop < len(points):
        inside.append((right, value_at(points, right)))
    return inside


def value_at(points: Sequence[Point], x: float) -> float:
    """Return y of the line through two points or more, at an `x` between its ends."""
    index = max(1, bisect_left(points, x, key=_x))
    (x0, y0), (x1, y1) = points[index - 1], points[index]
    share = (x - x0) / (x1 - x0)
    return y0 * (1 - share) + y1 * share


def thin(points: Sequence[Point], x_range: Range, columns: int) -> list[Point]:
    """Return the mean of the points in each of `columns`; the first and the last point stay as they are."""
    if len(points) <= max(2, columns):
        return list(points)
    groups = _by_column(points[1:-1], x_range, columns)
    means = [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
    return [points[0], *means, points[-1]]


def extremes(spans: Sequence[Span], x_range: Range, columns: int) -> list[Span]:
    """Return a middle x, the least and the greatest value for each of `columns`."""
    inside = [span for span in spans if x_range[0] <= span[0] <= x_range[1]]
    if len(inside) <= columns:
        return inside
    return [
        ((group[0][0] + group[-1][0]) / 2, min(low for _, low, _ in group), max(high for _, _, high in group))
        for group in _by_column(inside, x_range, columns)
    ]


def _by_column(items: Iterable[tuple], x_range: Range, columns: int) -> Iterable[list[tuple]]:
    left, scale = x_range[0], columns / (x_range[1] - x_range[0])
    groups = defaultdict(list)
    for item in items:
        groups[int((item[0] - left) * scale)].append(item)
    return groups.values()


def zigzag(spans: Sequence[Span]) -> list[Point]:
    """Return a line that covers each span, from its end that is nearer to where the line comes from."""
    line: list[Point] = []
    for x, low, high in spans:
        is_from_above = bool(line) and line[-1][1] > (low + high) / 2
        line += [(x, high), (x, low)] if is_from_above else [(x, low), (x, high)]
    return line


def runs_outside(points: Sequence[Point], limit: float, *, above: bool) -> list[Point]:
    """Return, for each stretch of points beyond `limit`, the point that is farthest out."""
    sign = 1 if above else -1
    farthest: list[Point] = []
    was_outside = False
    for x, y in points:
        is_outside = y * sign > limit * sign
        if is_outside and not was_outside:
            farthest.append((x, y))
        elif is_outside and y * sign > farthest[-1][1] * sign:
            farthest[-1] = x, y
        was_outside = is_outside
    return farthest
