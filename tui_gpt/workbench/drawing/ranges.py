"""Ranges and ticks of axes: round, and moving in coarse steps, so that a redraw leaves most cells as they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Range = tuple[float, float]

_STEPS = (1.0, 2.0, 2.5, 5.0)
_ENDS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
_LOG_ENDS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
_LOG_TICKS = ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_SLACK = 1e-9  # for the last digits of a quotient


def _rounded_up(value: float, digits: Sequence[float]) -> float:
    """Return the least of `digits` × 10ⁿ that is no less than `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return next((digit * power for digit in digits if digit * power >= value * (1 - _SLACK)), 10 * power)


def _rounded_down(value: float, digits: Sequence[float]) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next((digit * power for digit in reversed(digits) if digit * power <= value * (1 + _SLACK)), power)


def fitted_end(reached: float, least: float = 10.0) -> float:
    """Return a round end of an axis for data that grows: at most a third beyond `reached`, and seldom another."""
    return _rounded_up(reached, _ENDS) if least < reached < math.inf else least


def robust_range(columns: Sequence[tuple[float, float, float]], *, share: float = 0.1, ratio: float = 1.3) -> Range:
    """Return the range of (least, middle, greatest) values for each column, without what would squash the rest.

    That is the first fall and single spikes: the `share` of columns with the greatest middles is left out where the
    rest then is `ratio` times as tall; likewise with the least. The newest columns are never left out.
    """
    low = min(column[0] for column in columns)
    high = max(column[2] for column in columns)
    out = int(len(columns) * share)
    if out < 1:
        return low, high
    newest = [column[1] for column in columns[-max(1, len(columns) // 50) :]]
    lows, middles, highs = (sorted(values) for values in zip(*columns, strict=True))
    top = max(highs[-1 - out], middles[-1 - out], *newest)
    bottom = min(lows[out], middles[out], *newest)
    if high - low > ratio * (top - low):
        high = top
    if high - low > 2 * ratio * (high - bottom):
        low = bottom
    return low, high


def round_range(low: float, high: float, *, is_log: bool = False, from_zero: bool = False) -> Range:
    """Return round bounds around `low` and `high`, never equal."""
    if is_log:
        return _rounded_down(low, _LOG_ENDS), _rounded_up(max(high, low * 1.01), _LOG_ENDS)
    if from_zero:
        low, high = min(0.0, low), max(0.0, high)
    if not high - low > max(1e-12 * max(abs(low), abs(high)), 1e-290):
        room = abs(high) * 0.1 or 1.0
        low, high = (min(0.0, low), max(0.0, high + room)) if from_zero else (low - room, high + room)
    step = _rounded_up((high - low) / 10, _STEPS)
    return math.floor(low / step + _SLACK) * step, math.ceil(high / step - _SLACK) * step


def ticks(low: float, high: float, wanted: int, *, is_log: bool = False, is_time: bool = False) -> list[float]:
    """Return about `wanted` round values, or times in seconds, from `low` to `high`."""
    if is_log:
        return _log_ticks(low, high, wanted)
    raw = (high - low) / max(1, wanted)
    step = _rounded_up(raw, _STEPS)
    if is_time and raw >= 1:
        step = next((float(step) for step in _SECONDS if step >= raw), _rounded_up(raw / 86400, _STEPS) * 86400)
    first, last = math.ceil(low / step - _SLACK), math.floor(high / step + _SLACK)
    return [index * step for index in range(first, min(last, first + 2 * wanted + 1) + 1)]


def _log_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Return ticks of a logarithmic axis, as evenly apart as round numbers can be."""
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    for digits in _LOG_TICKS:
        found = [digit * power for power in powers for digit in digits]
        found = [tick for tick in found if low * (1 - _SLACK) <= tick <= high * (1 + _SLACK)]
        if len(found) <= wanted + 1:
            break
    found = found[:: max(1, -(-len(found) // (wanted + 1)))]  # many decades
    return found if len(found) >= 2 else [low, high]


def same_decimals(values: Iterable[float]) -> list[str]:
    """Return the values as text with as many decimals as tell them apart; `1.2k` from ten thousand on."""
    values = list(values)
    largest = max((abs(value) for value in values), default=0.0)
    if 0 < largest < 1e-3:
        return [f"{value:.1e}".replace("e-0", "e-") if value else "0" for value in values]
    units = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
    scale, unit = next(
        (each for each in units if largest >= 10 * each[0] or (largest >= each[0] and each[0] > 1e3)), (1.0, "")
    )
    values = [value / scale for value in values]
    decimals = next((count for count in range(6) if all(_is_round(value, count) for value in values)), 6)
    return [f"{value:.{decimals}f}{unit}" if value else "0" for value in values]


def _is_round(value: float, decimals: int) -> bool:
    return abs(value - round(value, decimals)) < 1e-9 + abs(value) * 1e-6
