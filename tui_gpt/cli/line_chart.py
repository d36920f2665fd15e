"""Line charts for the shell, drawn by plotext."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

COLOURS = ("blue+", "orange+", "green+", "magenta+", "cyan+", "red+")
MARKERS = ("braille", "o", "x", "+", "*", "#")  # without colours, curves are told apart by these
BRAILLE_KEY = "⣿"
POINTS_PER_COLUMN = 4


class Series(NamedTuple):
    """A curve. points: (step, value), by step; None where the value is not finite, which leaves a gap."""

    name: str
    points: Sequence[tuple[int, float | None]]


def draw(series: Sequence[Series], title: str, *, width: int, height: int, log_y: bool, colour: bool) -> str:
    """Return a chart of `width` columns and `height` lines, with a line below it for each curve.

    log_y: use a logarithmic y axis; values that are not positive are left out.
    """
    import plotext

    plotext.terminal.limit(False, False)  # the size is the caller's, whatever the terminal's is
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    figure.theme("colorless")
    figure.legend(False)
    figure.title(f"{title} (log)" if log_y else title)
    figure.label("step", axis="x")
    keys: list[str] = []
    drawn: list[float] = []
    for index, curve in enumerate(series):
        style = plotext.pixel(foreground=COLOURS[index % len(COLOURS)] if colour else None)
        symbol = MARKERS[0 if colour else index % len(MARKERS)]
        for steps, values in _segments(curve, width, log_y):
            drawn += values
            figure.draw(figure.signal(steps, values, marker=plotext.marker(symbol, style)).lines(True))
        key = plotext.colorize(BRAILLE_KEY if symbol == "braille" else symbol).fill(style)
        keys.append(f"{key.string() if colour else key.string(True)} {_summary(curve)}")
    if log_y and drawn and min(drawn) < max(drawn):  # plotext widens the range of a constant by 1, often below zero
        figure.ruler("y").scale("log")
    chart = figure.build().string(colorless=not colour)
    return "\n".join([*(line.rstrip() for line in chart.splitlines()), *keys])


def _segments(curve: Series, width: int, log_y: bool) -> list[tuple[list[int], list[float]]]:
    """Return the curve's runs of values that can be drawn, thinned to a few points per column."""
    segments: list[list[tuple[int, float]]] = [[]]
    for step, value in curve.points:
        if value is not None and math.isfinite(value) and (value > 0 or not log_y):
            segments[-1].append((step, value))
        elif segments[-1]:
            segments.append([])
    bucket = max(1, sum(map(len, segments)) // (POINTS_PER_COLUMN * width))
    found = []
    for segment in filter(None, segments):
        thinned = _thin(segment, bucket)
        found.append(([step for step, _ in thinned], [value for _, value in thinned]))
    return found


def _thin(points: list[tuple[int, float]], bucket: int) -> list[tuple[int, float]]:
    """Keep the lowest and the highest of each `bucket` consecutive points, so that no spike is lost."""
    if bucket < 3:
        return points
    kept = []
    for start in range(0, len(points), bucket):
        group = points[start : start + bucket]
        kept += sorted({min(group, key=lambda point: point[1]), max(group, key=lambda point: point[1])})
    return kept


def _summary(curve: Series) -> str:
    finite = [(step, value) for step, value in curve.points if value is not None]
    if not finite:
        return f"{curve.name}  no finite values"
    step, last = finite[-1]
    low = min(value for _, value in finite)
    return f"{curve.name}  {last:.4g} at step {step:,}, lowest {low:.4g}"
