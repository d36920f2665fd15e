"""From a run's feed to the rows of a chart: loss, throughput and gradient norm, and several runs in one picture.

Imported when the first chart is drawn, not before the first frame.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from tui_gpt.workbench.canvas import Row
from tui_gpt.workbench.chart import FINENESS, Curve, Plot, doubling, draw, envelope, thin
from tui_gpt.workbench.feed import RunFeed
from tui_gpt.workbench.memory import Axis
from tui_gpt.workbench.series import Bucket, Quantity, Series, smoothed
from tui_gpt.workbench.text import clock, short

DOUBLE_FROM = {"step": 64.0, "tokens": 65536.0, "time": 30.0}
LETTERS = "abcdef"  # the overlay's markers where there are no colours


def x_extent(feed: RunFeed, axis: Axis) -> float:
    """The right end of the x axis: the run's planned end where it is known, else a range that doubles."""
    last, total = feed.series.last, feed.total_steps
    if last is None:
        return 1.0
    if total and total >= last.step > 0:
        if axis == "step":
            return float(total)
        if axis == "tokens":
            return last.tokens / last.step * total
    reached = {"step": float(last.step), "tokens": float(last.tokens), "time": last.elapsed_seconds}[axis]
    if not feed.is_live:
        return max(reached, 1.0)
    return doubling(reached, DOUBLE_FROM[axis])


def loss_rows(
    feed: RunFeed, floor: float | None, width: int, height: int, *, axis: Axis, weight: float, log_y: bool, glyphs: str
) -> list[Row]:
    """Training loss (raw behind, smoothed before it), validation, the floor, and where it stopped being a number."""
    extent, columns = x_extent(feed, axis), width * FINENESS[glyphs]
    buckets = feed.series.buckets("loss", axis)
    curves = [Curve(envelope(_bands(buckets, log_y), extent, columns), "raw" if weight else "train")]
    if weight:
        curves.append(Curve(thin(smoothed(buckets, weight), extent, columns), "train"))
    curves.append(Curve(thin(eval_points(feed, axis), extent, columns), "val"))
    plot = Plot(
        curves=curves,
        levels=[(floor, "floor")] if floor is not None else [],
        breaks=break_at(feed.series, axis),
        x_max=extent,
        log_y=log_y,
        x_label=clock if axis == "time" else short,
    )
    return draw(plot, width, height, glyphs)


def gauge_rows(feed: RunFeed, quantity: Quantity, width: int, height: int, *, axis: Axis, glyphs: str) -> list[Row]:
    """One quantity from zero."""
    extent = x_extent(feed, axis)
    bands = _bands(feed.series.buckets(quantity, axis), log_y=False)
    plot = Plot(
        curves=[Curve(envelope(bands, extent, width * FINENESS[glyphs]), "train")],
        x_max=extent,
        y_from_zero=True,
        x_label=clock if axis == "time" else short,
    )
    return draw(plot, width, height, glyphs)


def overlay_rows(
    feeds: Sequence[RunFeed], width: int, height: int, *, axis: Axis, weight: float, log_y: bool, glyphs: str
) -> list[Row]:
    """The smoothed training losses of several runs, each in its own role; letters instead of dots in ASCII."""
    extent = max((x_extent(feed, axis) for feed in feeds), default=1.0)
    columns = width * FINENESS[glyphs]
    curves = [
        Curve(
            thin(smoothed(feed.series.buckets("loss", axis), weight), extent, columns),
            f"run-{index % 6}",
            LETTERS[index % 6] if glyphs == "ascii" else "",
        )
        for index, feed in enumerate(feeds)
    ]
    plot = Plot(curves=curves, x_max=extent, log_y=log_y, x_label=clock if axis == "time" else short)
    return draw(plot, width, height, glyphs)


def _bands(buckets: Sequence[Bucket], log_y: bool) -> list[tuple[float, float, float]]:
    """(x, low, high) of what can be drawn; on a log axis a bucket with values ≤ 0 shows its positive part."""
    if not log_y:
        return [(b.x, b.low, b.high) for b in buckets if b.finite]
    return [(b.x, b.low if b.low > 0 else b.high, b.high) for b in buckets if b.finite and b.high > 0]


def eval_points(feed: RunFeed, axis: Axis) -> list[tuple[float, float]]:
    """Validation losses along the axis; tokens and time are those of the metrics line at or before the step."""
    series, points = feed.series, []
    for item in feed.evals:
        if item.val_loss is None:
            continue
        if axis == "step":
            points.append((float(item.step), item.val_loss))
            continue
        index = bisect_right(series.step, item.step) - 1
        points.append((float(getattr(series, axis)[index]) if index >= 0 else 0.0, item.val_loss))
    return points


def break_at(series: Series, axis: Axis) -> list[float]:
    """Where the loss stopped being a number."""
    if series.first_non_finite is None:
        return []
    index = bisect_left(series.step, series.first_non_finite)
    return [float(getattr(series, axis)[min(index, len(series) - 1)])]
