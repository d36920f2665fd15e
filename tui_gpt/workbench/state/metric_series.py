"""A run's metrics as columns of numbers, and as a bounded number of buckets to draw.

A run may log a million steps, so a redraw never walks the points: it walks at most 2,048 buckets, each the least, mean
and greatest of a power of two of successive points. The points stay too (24 MB a million), so that a rewind can cut
them and a zoom can show each one. Loss and gradient norm, where a single step matters, are kept for every line; the
rest (learning rate, memory, …) for every line of a live run, but of a long journal only for one line in 64 KiB, since
decoding everything takes half as long again. Plain arrays: the workbench loads no numpy.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

from tui_gpt.run.jsonl import JsonlReader
from tui_gpt.run.messages import Message, Metrics, Rewound
from tui_gpt.workbench.state.preferences import Smoothing, XAxis
from tui_gpt.workbench.state.smoothing import kernel_width, smooth

MAX_BUCKETS = 2048
CHUNK_BYTES = 1 << 22  # about 13,000 lines, which hold the interpreter for 8 ms
SAMPLE_BYTES = 1 << 16
EVERY_LINE = ("loss", "grad_norm")
SAMPLED = (
    "tokens",
    "elapsed_seconds",
    "learning_rate",
    "tokens_per_second",
    "data_wait_seconds",
    "memory_bytes",
    "mfu",
)
BY_BLOCK = ("grad_norms", "update_norms")  # metrics named `grad_norms.<block>`, every so many steps
AXIS_COLUMNS = {"tokens": "tokens", "time": "elapsed_seconds"}

_step_of = attrgetter("step")


class Point(Message, frozen=True, gc=False):
    """What every line of metrics.jsonl is decoded to."""

    step: int
    loss: float | None
    grad_norm: float | None
    grad_norms: dict[str, float | None] | None = None
    update_norms: dict[str, float | None] | None = None


Line = Point | Metrics


class MetricsReader(JsonlReader[Line]):
    """Follow metrics.jsonl: `Metrics` for the newest line, for every one when they are few, else mostly `Point`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Point, chunk_bytes=CHUNK_BYTES)
        self._in_full = JsonlReader(path, Metrics)

    def _lines(self, data: bytes) -> list[Line | Rewound]:
        if len(data) <= 2 * SAMPLE_BYTES:
            return list(self._in_full._lines(data))
        try:
            found: list[Line | Rewound] = self._decode_lines(data)  # type: ignore[assignment]
        except (msgspec.DecodeError, UnicodeDecodeError):  # a rewind or a torn line: one by one
            return list(self._in_full._lines(data))
        newest = data.rfind(b"\n", 0, len(data) - 1) + 1
        for offset in (*range(0, newest, SAMPLE_BYTES), newest):
            start = data.rfind(b"\n", 0, offset) + 1
            for line in self._in_full._lines(data[start : data.find(b"\n", start) + 1]):  # none where it is torn
                index = bisect_left(found, _step_of(line), key=_step_of)
                if index < len(found) and _step_of(found[index]) == _step_of(line):
                    found[index] = line
        return found


class Bucket(NamedTuple):
    """Successive points as one. `finite`: how many of its `points` are numbers; with none, the values are NaN."""

    x: float  # of the last point: a step, or where it is on another axis
    low: float
    mean: float
    high: float
    points: int
    finite: int


class Track:
    """Metrics that are logged at the same steps, as columns."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.steps = array("q")
        self.columns = {name: array("d") for name in names}
        self._width = 1  # points in a bucket over the whole run
        self._buckets: dict[str, list[Bucket]] = {}

    def __len__(self) -> int:
        return len(self.steps)

    def append(self, steps: list[int], columns: dict[str, list[float | None]]) -> None:
        """Append points; a column that is missing here or was missing so far is NaN there."""
        for name in columns.keys() - self.columns.keys():
            self.columns[name] = array("d", [math.nan]) * len(self)
        self.steps.fromlist(steps)
        for name, column in self.columns.items():
            values = columns.get(name) or [None] * len(steps)
            try:
                column.fromlist(values)  # type: ignore[arg-type]
            except TypeError:
                column.fromlist([math.nan if value is None else value for value in values])
        while len(self) > self._width * MAX_BUCKETS:
            self._width *= 2
            self._buckets.clear()

    def cut(self, step: int) -> None:
        """Drop the points after `step`."""
        keep = bisect_right(self.steps, step)
        del self.steps[keep:]
        for column in self.columns.values():
            del column[keep:]
        for buckets in self._buckets.values():
            del buckets[keep // self._width :]

    def buckets(self, name: str, start: int, stop: int) -> list[Bucket]:
        """Return the points from `start` to before `stop` as at most 2,049 buckets.

        They begin at a multiple of the points in each, so `start` may lie within the first.
        """
        width = self._width
        while width > 1 and (stop - start) * 2 <= width * MAX_BUCKETS:
            width //= 2
        if width < self._width:
            return [self._bucket(name, at, min(at + width, stop)) for at in range(start - start % width, stop, width)]
        known = self._buckets.setdefault(name, [])
        del known[max(0, len(known) - 1) :]  # the last one may have grown
        begins = range(len(known) * width, len(self), width)
        known += [self._bucket(name, at, min(at + width, len(self))) for at in begins]
        return known[start // width : -(-stop // width)]

    def _bucket(self, name: str, start: int, stop: int) -> Bucket:
        values = self.columns[name][start:stop].tolist()
        total = sum(values)
        if not math.isfinite(total):
            values = [value for value in values if math.isfinite(value)] or [math.nan]
            total = math.fsum(value / len(values) for value in values) * len(values)
        finite = 0 if math.isnan(total) else len(values)
        step = float(self.steps[stop - 1])
        return Bucket(step, min(values), total / len(values), max(values), stop - start, finite)


class MetricSeries:
    """The points of one run that still stand, in order of steps."""

    def __init__(self) -> None:
        self.last: Metrics | None = None
        self.first_non_finite: int | None = None  # the step where the loss was no number for the first time
        self._clear()

    def _clear(self) -> None:
        self._lines, self._samples, self._norms = Track(EVERY_LINE), Track(SAMPLED), Track()
        self._smoothed: dict[tuple[str, Smoothing], list[tuple[float, float]]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def blocks(self) -> list[str]:
        """The metrics by block that were logged: `grad_norms.<block>` and `update_norms.<block>`."""
        return list(self._norms.columns)

    def extend(self, updates: Sequence[Line | Rewound]) -> None:
        """Append lines and carry out rewinds, in order."""
        if updates:
            self._smoothed.clear()
        start = 0
        rewinds = [index for index, item in enumerate(updates) if type(item) is Rewound]
        for end in (*rewinds, len(updates)):
            for begin in range(start, end, 8192):  # column by column within what the processor's cache holds
                self._append(updates[begin : min(end, begin + 8192)])  # type: ignore[arg-type]
            if end < len(updates):
                self._rewind(updates[end].rewound_to)  # type: ignore[union-attr]
            start = end + 1

    def _append(self, lines: Sequence[Line]) -> None:
        losses = [line.loss for line in lines]
        columns = {"loss": losses, "grad_norm": [line.grad_norm for line in lines]}
        self._lines.append([line.step for line in lines], columns)
        special = [line for line in lines if line.grad_norms is not None]  # all `Metrics`, and points with norms
        full = [line for line in special if type(line) is Metrics]
        self._samples.append(
            [line.step for line in full], {name: [getattr(line, name) for line in full] for name in SAMPLED}
        )
        for line in special:
            if line.grad_norms:
                norms = {f"{kind}.{name}": [value] for kind in BY_BLOCK for name, value in getattr(line, kind).items()}
                self._norms.append([line.step], norms)
        newest = lines[-1]
        self.last = newest if isinstance(newest, Metrics) else self._line_at(len(self) - 1)
        if self.first_non_finite is None and None in losses:
            self.first_non_finite = lines[losses.index(None)].step

    def _rewind(self, step: int) -> None:
        if step <= 0:
            self._clear()
        for track in (self._lines, self._samples, self._norms):
            track.cut(step)
        if self.first_non_finite is not None and self.first_non_finite > step:
            self.first_non_finite = None
        self.last = self._line_at(len(self) - 1) if len(self) else None

    def _line_at(self, index: int) -> Metrics:
        """Return a point as the line it was, with what was not kept of it as in the line before it, or unknown."""
        step = self._lines.steps[index]
        every = {name: _number(column[index]) for name, column in self._lines.columns.items()}
        at = bisect_right(self._samples.steps, step) - 1
        sampled = {name: column[at] for name, column in self._samples.columns.items()} if at >= 0 else {}
        unknown = {"tokens": 0, "elapsed_seconds": 0.0, "learning_rate": math.nan, "tokens_per_second": math.nan}
        known = unknown | sampled
        known |= {"tokens": int(known["tokens"]), "memory_bytes": int(sampled.get("memory_bytes", 0))}
        return Metrics(step=step, **every | known | {"mfu": _number(sampled.get("mfu", math.nan))})  # type: ignore[arg-type]

    # ── along an axis ───────────────────────────────────────────────────────────────────────────────────────────────

    def x_at(self, step: float, axis: XAxis = "step") -> float:
        """Return where `step` is on the axis: steps, tokens, or seconds of training."""
        steps = self._samples.steps
        if axis == "step" or not steps:
            return float(step)
        values = self._samples.columns[AXIS_COLUMNS[axis]]
        return _interpolated(steps, values, step)

    def step_at(self, x: float, axis: XAxis = "step") -> float:
        """Return the step at `x` on the axis."""
        if axis == "step" or not self._samples.steps:
            return x
        return _interpolated(self._samples.columns[AXIS_COLUMNS[axis]], self._samples.steps, x)

    def _track(self, metric: str) -> Track | None:
        tracks = (self._lines, self._samples, self._norms)
        return next((track for track in tracks if metric in track.columns), None)

    def buckets(self, metric: str, axis: XAxis = "step", x_range: tuple[float, float] | None = None) -> list[Bucket]:
        """Return at most 2,050 buckets over the whole run, or over `x_range` and the bucket on each side of it."""
        track = self._track(metric)
        if track is None or not len(track):
            return []
        start, stop = 0, len(track)
        if x_range is not None:
            low, high = sorted(self.step_at(x, axis) for x in x_range)
            start = max(0, bisect_left(track.steps, low) - 1)
            stop = max(start, min(len(track), bisect_right(track.steps, high) + 1))
        buckets = track.buckets(metric, start, stop)
        if axis == "step":
            return buckets
        return [bucket._replace(x=self.x_at(bucket.x, axis)) for bucket in buckets]

    def smoothed(
        self,
        metric: str = "loss",
        smoothing: Smoothing = "auto",
        axis: XAxis = "step",
        x_range: tuple[float, float] | None = None,
    ) -> list[tuple[float, float]]:
        """Return the smoothed curve, or the part of it over `x_range` and half as much on each side."""
        track = self._track(metric)
        if track is None or not len(track):
            return []
        if x_range is None:
            curve = self._smoothed.get((metric, smoothing))
            if curve is None:
                curve = self._smoothed[metric, smoothing] = _smooth(self.buckets(metric), smoothing, 0, len(track))
        else:  # with what is beside it, so that the curve is the same as without the zoom
            margin = (x_range[1] - x_range[0]) / 2
            steps = self.step_at(x_range[0] - margin, axis), self.step_at(x_range[1] + margin, axis)
            buckets = self.buckets(metric, "step", steps)
            before = bisect_right(track.steps, buckets[0].x) - buckets[0].points
            curve = _smooth(buckets, smoothing, before, len(track))
        return curve if axis == "step" else [(self.x_at(step, axis), value) for step, value in curve]

    def smoothed_last(self, metric: str = "loss", smoothing: Smoothing = "auto") -> float | None:
        """Return where the smoothed curve ends: the number that the chart, the header and lists show."""
        curve = self.smoothed(metric, smoothing)
        return curve[-1][1] if curve else None

    def value_at(self, metric: str, x: float, axis: XAxis = "step") -> tuple[int, float] | None:
        """Return step and value of the point at `x` or before it, and of the first for an `x` before all."""
        track = self._track(metric)
        if track is None or not len(track):
            return None
        index = max(0, bisect_right(track.steps, self.step_at(x, axis)) - 1)
        return track.steps[index], track.columns[metric][index]


def _smooth(buckets: Sequence[Bucket], smoothing: Smoothing, before: int, total: int) -> list[tuple[float, float]]:
    """Smooth the buckets of a run of `total` points, of which `before` points come before them."""
    found = []
    for bucket in buckets:
        if bucket.finite:
            found.append((bucket.x, before + (bucket.points - 1) / 2, bucket.mean, float(bucket.finite)))
        before += bucket.points
    if not found:
        return []
    xs, positions, values, weights = zip(*found, strict=True)
    widths = [kernel_width(smoothing, position, total) for position in positions]
    return list(zip(xs, smooth(positions, values, weights, widths), strict=True))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _interpolated(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """Return y at `x` of the line through the points; it goes on straight from zero before, and level after them."""
    right = bisect_left(xs, x)
    if right == len(xs):
        return float(ys[-1])
    if right == 0:
        return ys[0] * x / xs[0] if xs[0] else float(ys[0])
    x0, x1, y0, y1 = xs[right - 1], xs[right], ys[right - 1], ys[right]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
