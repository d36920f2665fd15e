"""Line charts for the shell, drawn as the workbench draws its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tui_gpt.workbench.drawing.plot_model import Curve, Plot
from tui_gpt.workbench.drawing.rendering import render
from tui_gpt.workbench.drawing.sanitizing import one_line

COLOURS = (33, 208, 41, 170, 44, 196)  # of the terminal's palette
LETTERS = "abcdef"  # without colours, curves are told apart by these
FAINT = 244


class Series(NamedTuple):
    """A curve. points: (step, value), by step; None where the value is not finite."""

    name: str
    points: Sequence[tuple[int, float | None]]


def draw(series: Sequence[Series], title: str, *, width: int, height: int, log_y: bool, colour: bool) -> str:
    """Return a chart of `width` columns and `height` lines, with a line below it for each curve.

    log_y: use a logarithmic y axis; values that are not positive are left out.
    """
    curves, keys = [], []
    codes = {}
    for index, curve in enumerate(series):
        role, letter = f"run-{index}", LETTERS[index % len(LETTERS)]
        codes[role] = COLOURS[index % len(COLOURS)]
        points = [(float(step), value) for step, value in curve.points if value is not None and math.isfinite(value)]
        spans = [(x, y, y) for x, y in points]  # so that no spike is lost where a column holds many points
        curves.append(Curve(points, role, spans=spans, letter=letter if len(series) > 1 else ""))
        keys.append(f"{_coloured('━━', codes[role]) if colour else letter} {one_line(curve.name)}  {_summary(points)}")
    drawing = render(Plot(tuple(curves), is_log=log_y), width, height - 1, has_color=colour)
    rows = [[_coloured(text, codes.get(role, FAINT)) if colour else text for text, role in row] for row in drawing.rows]
    lines = ["".join(row).rstrip() for row in rows]
    return "\n".join([f"{title} (log)" if log_y else title, *lines, *keys])


def _coloured(text: str, code: int) -> str:
    return f"\x1b[38;5;{code}m{text}\x1b[0m" if text.strip() else text


def _summary(points: Sequence[tuple[float, float]]) -> str:
    if not points:
        return "no finite values"
    step, last = points[-1]
    return f"{last:.4g} at step {step:,.0f}, lowest {min(value for _, value in points):.4g}"
