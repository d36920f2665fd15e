"""Ranges and ticks of axes: round, and moving in coarse steps, so that a redraw leaves most cells as they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Range = tuple[float, float]

_ENDS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_LOG_TICKS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def nice_step(raw: float) -> float:
    """Return the least of 1, 2, 2.5 or 5 × 10ⁿ that is no less than `raw`."""
    if not (raw > 0 and math.isfinite(raw)):
        return 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    if power == 0:
        return raw
    return next((step * power for step in (1, 2, 2.5, 5) if step * power >= raw * (1 - 1e-9)), 10 * power)


def fitted_end(reached: float, least: float = 10.0) -> float:
    """Return a round end of an axis for data that grows: at most a third beyond `reached`, and seldom another."""
    if not math.isfinite(reached) or reached <= least:
        return least
    power = 10.0 ** math.floor(math.log10(reached))
    return next((end * power for end in _ENDS if end * power >= reached * (1 - 1e-9)), 10 * power)


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
        return _log_bound(low, up=False), _log_bound(max(high, low * 1.01), up=True)
    if from_zero:
        low, high = min(0.0, low), max(0.0, high)
    if not high - low > max(1e-12 * max(abs(low), abs(high)), 1e-290):
        room = abs(high) * 0.1 or 1.0
        low, high = (min(0.0, low), max(0.0, high + room)) if from_zero else (low - room, high + room)
    step = nice_step((high - low) / 10)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def _log_bound(value: float, *, up: bool) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    steps = [step * power for step in (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)]
    if not all(steps):
        return value
    if up:
        return next((step for step in steps if step >= value * (1 - 1e-9)), steps[-1])
    return next((step for step in reversed(steps) if step <= value * (1 + 1e-9)), steps[0])


def ticks(low: float, high: float, wanted: int, *, is_log: bool = False) -> list[float]:
    """Return about `wanted` round values from `low` to `high`."""
    if is_log:
        return _log_ticks(low, high, wanted)
    step = nice_step((high - low) / max(1, wanted))
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [(first + index) * step for index in range(min(count, 2 * wanted + 2))]


def _log_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Return ticks of a logarithmic axis, as evenly apart as round numbers can be."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in (_LOG_TICKS, (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        found = [tick for tick in found if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(found) <= wanted + 1:
            break
    if len(found) > wanted + 1:  # many decades
        found = found[:: -(-len(found) // (wanted + 1))]
    return found if len(found) >= 2 else [low, high]


def time_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Return about `wanted` round times in seconds, from `low` to `high`."""
    raw = (high - low) / max(1, wanted)
    step = next((float(step) for step in _SECONDS if step >= raw), None) or nice_step(raw / 86400) * 86400
    if raw < 1:
        step = nice_step(raw)
    first = math.ceil(low / step - 1e-9)
    return [(first + index) * step for index in range(math.floor(high / step + 1e-9) - first + 1)]


def same_decimals(values: Iterable[float]) -> list[str]:
    """Return the values as text with as many decimals as tell them apart; `1.2k` from ten thousand on."""
    values = list(values)
    largest = max((abs(value) for value in values), default=0.0)
    for scale, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if largest >= 10 * scale or (largest >= scale and scale > 1e3):
            return [
                _text(value / scale, _decimals([v / scale for v in values])) + (unit if value else "")
                for value in values
            ]
    if 0 < largest < 1e-3:
        return [f"{value:.1e}".replace("e-0", "e-") if value else "0" for value in values]
    decimals = _decimals(values)
    return [_text(value, decimals) for value in values]


def _text(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if value else "0"


def _decimals(values: Sequence[float]) -> int:
    return next(
        (n for n in range(6) if all(abs(value - round(value, n)) < 1e-9 + abs(value) * 1e-6 for value in values)), 6
    )
