"""From what is known of runs to plots: loss, any other metric, and several runs in one picture."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from tui_gpt.workbench.drawing.decimation import Point, Range, Span
from tui_gpt.workbench.drawing.formatting import cut, format_count, format_duration, format_loss, format_short
from tui_gpt.workbench.drawing.metrics import METRICS, Metric
from tui_gpt.workbench.drawing.plot_model import Curve, Level, Mark, Plot
from tui_gpt.workbench.drawing.ranges import fitted_end
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.state.preferences import Preferences, Smoothing, XAxis
from tui_gpt.workbench.state.run_monitor import RunMonitor

LEAST_ENDS: dict[XAxis, float] = {"step": 10.0, "tokens": 1000.0, "time": 10.0}
LETTERS = "abcdefgh"
RUN_ROLES = 8
FLAGS_AT = (0.02, 0.2, 0.4, 0.6, 0.8)  # of the chart's width: the samples nearest to there are marked
FEW_EVALS = 3  # from so many on, the points of a metric of evaluations are joined; those beside the loss never are


@dataclass(frozen=True)
class View:
    """How the user looks at runs. `x_range`: what is zoomed to, None for all."""

    axis: XAxis = "step"
    smoothing: Smoothing = "auto"
    is_log: bool = False
    whole_plan: bool = False
    x_range: Range | None = None

    @property
    def words(self) -> str:
        """How the chart is looked at, for its border: `fit · smooth auto · linear`."""
        words = ["zoom" if self.x_range is not None else "whole plan" if self.whole_plan else "fit"]
        words += [] if self.axis == "step" else [self.axis]
        words += ["raw" if self.smoothing == "raw" else f"smooth {self.smoothing}", "log" if self.is_log else "linear"]
        return " · ".join(words)


def view_of(preferences: Preferences, x_range: Range | None = None) -> View:
    """Return the user's preferences as a view, zoomed to `x_range`."""
    return View(preferences.x_axis, preferences.smoothing, preferences.log_y, preferences.whole_plan, x_range)


# ── plots ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def loss_plot(run: RunMonitor, view: View) -> Plot | None:
    """Return training and validation loss with floor and marks; None while there is no number."""
    series, axis = run.series, view.axis
    train = series.smoothed("loss", view.smoothing, axis, view.x_range)
    val = eval_points(run, "val_loss", axis)
    if not train and not val:
        return None
    last = f"train {format_loss(series.smoothed_last('loss', view.smoothing))}"
    curves = (
        Curve(tuple(train), "train", last, _spans(run, METRICS["loss"], view), letter="*"),
        Curve(tuple(val), "val", f"val {format_loss(val[-1][1])}" if val else "", style="points"),
    )
    floor = run.info.corpus.floor_loss if run.info and run.info.corpus else None
    return _plot(
        [run],
        view,
        curves=curves,
        levels=(Level(floor, f"floor {format_loss(floor)}"),) if floor is not None else (),
        marks=(*_sample_marks(run, view, train), *_marks(run, view)),
        is_log=view.is_log,
    )


def metric_plot(run: RunMonitor, key: str, view: View, *, is_compact: bool = False) -> Plot | None:
    """Return the chart of one of `METRICS`; None while nothing of it was logged."""
    if key == "loss" and not is_compact:
        return loss_plot(run, view)
    metric = METRICS[key]
    curves = _block_curves(run, metric, view) if metric.kind == "blocks" else _curves(run, metric, view)
    if is_compact:
        curves = [replace(curve, label="", spans=()) for curve in curves[:1]]
    if not any(curve.points for curve in curves):
        return None
    return _plot(
        [run],
        view,
        curves=tuple(curves),
        marks=() if is_compact else tuple(_marks(run, view, with_best=key == "val_loss")),
        is_log=view.is_log and not is_compact,
        from_zero=metric.from_zero,
        y_format=metric.ticks,
        is_compact=is_compact,
    )


def _curves(run: RunMonitor, metric: Metric, view: View) -> list[Curve]:
    points = tuple(metric_points(run, metric, view))
    label = metric.format(points[-1][1]) if points else ""
    if metric.kind != "series":
        dots = Curve(points, "val", label, style="points")
        return [Curve(points, "val"), dots] if len(points) >= FEW_EVALS else [dots]
    if not metric.is_noisy:
        return [Curve(points, "train", label)]
    return [Curve(points, "train", label, _spans(run, metric, view))]


def _spans(run: RunMonitor, metric: Metric, view: View) -> tuple[Span, ...]:
    """Return the logged values behind a smoothed curve."""
    buckets = run.series.buckets(metric.key, view.axis, view.x_range)
    return tuple((item.x, item.low * metric.scale, item.high * metric.scale) for item in buckets if item.finite)


def overlay_plot(runs: Sequence[tuple[RunMonitor, str, int]], key: str, view: View) -> Plot | None:
    """Return several runs in one chart: each with its name and the number of its color, which the caller keeps."""
    metric = METRICS[key]
    curves = []
    for run, name, number in runs:
        points = metric_points(run, metric, view)
        if points:
            index = number % RUN_ROLES
            label = cut(one_line(name), 24)
            curves.append(Curve(tuple(points), f"run-{index}", label, letter=LETTERS[index]))
    if not curves:
        return None
    return _plot(
        [run for run, _, _ in runs],
        view,
        curves=tuple(curves),
        is_log=view.is_log,
        from_zero=metric.from_zero,
        y_format=metric.ticks,
    )


def _plot(runs: Sequence[RunMonitor], view: View, **fields: object) -> Plot:
    bounds = x_extent(runs, view)
    return Plot(
        x_range=view.x_range or bounds,
        x_bounds=bounds,
        x_is_time=view.axis == "time",
        x_format=format_duration if view.axis == "time" else format_short,
        **fields,  # type: ignore[arg-type]
    )


def x_extent(runs: Sequence[RunMonitor], view: View) -> Range:
    """Return the range of the x axis: what was reached, moving in steps while a run is live, or the whole plan."""
    return 0.0, max((_x_end(run, view) for run in runs), default=1.0)


def _x_end(run: RunMonitor, view: View) -> float:
    series = run.series
    steps = [item.step for item in (series.last, run.evals[-1] if run.evals else None) if item is not None]
    reached = series.x_at(max(steps, default=0), view.axis)
    total = run.status.total_steps if run.status else None
    plan = 0.0
    if total and series.last is not None and series.last.step:
        plan = reached * total / series.last.step if view.axis != "step" else float(total)
    if view.whole_plan and plan > reached:
        return plan
    if not run.is_live:
        return reached or 1.0
    end = fitted_end(reached, LEAST_ENDS[view.axis])
    return plan if reached <= plan < end else end


# ── points ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def metric_points(run: RunMonitor, metric: Metric, view: View) -> list[Point]:
    """Return the curve of a metric, smoothed where it is noisy."""
    axis = view.axis
    if metric.kind == "eval":
        return eval_points(run, metric.key, axis)
    if metric.kind == "gap":
        return gap_points(run, axis)
    smoothing: Smoothing = view.smoothing if metric.is_noisy else "raw"
    points = run.series.smoothed(metric.key, smoothing, axis, view.x_range)
    return points if metric.scale == 1 else [(x, y * metric.scale) for x, y in points]


def eval_points(run: RunMonitor, name: str, axis: XAxis) -> list[Point]:
    """Return `val_loss` or `bits_per_byte` of the evaluations along the axis."""
    values = ((item.step, getattr(item, name)) for item in run.evals)
    return [(run.series.x_at(step, axis), value) for step, value in values if value is not None]


def gap_points(run: RunMonitor, axis: XAxis) -> list[Point]:
    """Return by how many percent validation loss exceeds the smoothed training loss, at each evaluation."""
    train = run.series.smoothed("loss", "auto")
    found = []
    for item in run.evals:
        value = _at(train, item.step)
        if item.val_loss is not None and value:
            found.append((run.series.x_at(item.step, axis), 100 * (item.val_loss / value - 1)))
    return found


def _at(points: Sequence[Point], x: float) -> float | None:
    """Return the value at the last point up to `x`."""
    index = bisect_right(points, x, key=itemgetter(0)) - 1
    return points[index][1] if index >= 0 else None


def _block_curves(run: RunMonitor, metric: Metric, view: View) -> list[Curve]:
    """Return the largest norms by block, at most as many as there are colors."""
    names = [name for name in run.series.blocks if name.startswith(f"{metric.key}.")]
    curves = []
    for name in names:
        points = run.series.smoothed(name, "raw", view.axis, view.x_range)
        if points:
            curves.append((points[-1][1], name.partition(".")[2], points))
    curves.sort(key=lambda item: item[0], reverse=True)
    return [
        Curve(tuple(points), f"run-{index}", f"{one_line(block)} {format_short(value)}", letter=LETTERS[index])
        for index, (value, block, points) in enumerate(curves[:RUN_ROLES])
    ]


# ── marks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _marks(run: RunMonitor, view: View, *, with_best: bool = True) -> Iterable[Mark]:
    """Yield checkpoints, resumes, anomalies, and where the loss stopped being a number."""
    series, axis = run.series, view.axis
    for checkpoint in run.checkpoints[-50:]:
        yield Mark(series.x_at(checkpoint.step, axis), "▴", "mark")
    is_resumed = False
    for event in run.events:
        is_resumed |= event.kind == "resumed"
        if event.step is not None and event.kind == "anomaly":
            yield Mark(series.x_at(event.step, axis), "✗", "bad", place="top")
        if event.step is not None and is_resumed:  # "resumed" itself has no step, the trainer's next event has
            yield Mark(series.x_at(event.step, axis), "↻", "mark")
            is_resumed = False
    if series.first_non_finite is not None:
        yield Mark(series.x_at(series.first_non_finite, axis), "✗", "bad", "not a number", place="top")
    best = run.best
    if with_best and best is not None and best.val_loss is not None and len(run.evals) > 1:
        yield Mark(series.x_at(best.step, axis), "★", "best", y=best.val_loss, place="at")


def _sample_marks(run: RunMonitor, view: View, train: Sequence[Point]) -> list[Mark]:
    """Return flags for some samples, the newest and those spread over what came before it."""
    by_step = {sample.step: sample for sample in run.samples if sample.step > 0}
    if not by_step or not train:
        return []
    left, right = view.x_range or (train[0][0], train[-1][0])
    at = {run.series.x_at(step, view.axis): step for step in by_step}
    nearest = (min(at, key=lambda x: abs(x - left - (right - left) * share)) for share in FLAGS_AT)
    flags = []
    for x in dict.fromkeys(nearest):
        y = _at(train, x)
        if y is not None and left <= x <= right:
            text = cut(one_line(by_step[at[x]].text).strip("¶ "), 18)
            flags.append(Mark(x, "⚑", "sample", f"{format_count(at[x])} “{text}”", y, "above"))
    return flags


# ── cursor ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def readout(run: RunMonitor, x: float, view: View) -> list[tuple[str, str]]:
    """Return (name, value) pairs of what is known at `x`: step, raw and smoothed loss, validation, learning rate."""
    series = run.series
    found = series.value_at("loss", x, view.axis)
    if found is None:
        return []
    step, loss = found
    pairs = [("step", format_count(step)), ("loss", format_loss(loss))]
    smooth = _at(series.smoothed("loss", view.smoothing), step)
    if smooth is not None and view.smoothing != "raw":
        pairs.append(("smoothed", format_loss(smooth)))
    evals = [item for item in run.evals if item.step <= step and item.val_loss is not None]
    if evals:
        pairs.append((f"val @{format_count(evals[-1].step)}", format_loss(evals[-1].val_loss)))
    for key, name in (("learning_rate", "lr"), ("grad_norm", "grad"), ("tokens_per_second", "tok/s")):
        value = series.value_at(key, x, view.axis)
        if value is not None and math.isfinite(value[1]):
            pairs.append((name, METRICS[key].format(value[1])))
    return pairs
