"""Smooth a curve without lag: local-linear regression with a two-sided exponential kernel.

An exponential running mean trails a falling loss and starts biased. Fitting a line around each point instead follows a
trend up to both ends, needs no correction there, and costs one pass in each direction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tui_gpt.workbench.state.preferences import Smoothing

# Width of the kernel in points: at least, a share of the run (one in so many), at most.
_WIDTHS: dict[Smoothing, tuple[float, float, float]] = {
    "light": (2, 250, 100),
    "auto": (4, 60, 500),
    "heavy": (8, 15, 2000),
}
_OF_THE_WAY = 1 / 8  # no wider than this share of the way from the start, so as to follow the first fall


def kernel_width(smoothing: Smoothing, position: float, total: int) -> float:
    """Return the kernel's width in points at `position` in a run of `total` points; 0 for raw."""
    if smoothing == "raw":
        return 0.0
    least, share, most = _WIDTHS[smoothing]
    return min(most, max(least, total / share), least / 2 + position * _OF_THE_WAY)


def smooth(
    positions: Sequence[float], values: Sequence[float], weights: Sequence[float], widths: Sequence[float]
) -> list[float]:
    """Return the smoothed value at each of the growing `positions`."""
    if not values or not all(widths):
        return list(values)
    steps = [
        (after - before, math.exp((before - after) * 2 / (width0 + width1)))
        for before, after, width0, width1 in zip(positions, positions[1:], widths, widths[1:], strict=False)
    ]
    ahead = _sums(values[::-1], weights[::-1], steps[::-1])[::-1]  # distances count positive to the right, too
    behind = _sums(values, weights, steps)
    low, high = min(values), max(values)
    smoothed = []
    for value, weight, (a0, a1, a2, b0, b1), (c0, c1, c2, d0, d1) in zip(values, weights, behind, ahead, strict=True):
        s0, s1, s2 = a0 + c0 - weight, c1 - a1, a2 + c2  # of weight, weight × distance, weight × distance²
        t0, t1 = b0 + d0 - weight * value, d1 - b1  # of weight × value, weight × distance × value
        determinant = s0 * s2 - s1 * s1
        fitted = (s2 * t0 - s1 * t1) / determinant if determinant > 1e-9 * s0 * s2 else t0 / s0
        smoothed.append(min(high, max(low, fitted)))
    return smoothed


def _sums(
    values: Sequence[float], weights: Sequence[float], steps: Sequence[tuple[float, float]]
) -> list[tuple[float, float, float, float, float]]:
    """Return for each point the sums over it and those before it, weighted by the kernel around it."""
    s0, t0 = weights[0], weights[0] * values[0]
    s1 = s2 = t1 = 0.0
    sums = [(s0, s1, s2, t0, t1)]
    for value, weight, (distance, decay) in zip(values[1:], weights[1:], steps, strict=True):
        s2 = decay * (s2 + distance * (2 * s1 + distance * s0))
        s1, t1 = decay * (s1 + distance * s0), decay * (t1 + distance * t0)
        s0, t0 = decay * s0 + weight, decay * t0 + weight * value
        sums.append((s0, s1, s2, t0, t1))
    return sums
