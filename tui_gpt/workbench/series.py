"""A run's metrics as columns of numbers, and as a bounded number of buckets to draw.

A run may log a million steps and a redraw may take 20 ms, so the drawing never walks the points: it walks at most 2,048
buckets, each the least, mean and greatest value of a power of two of successive points. Points stay too (48 MB a
million), so that a rewind can cut them. Plain arrays: the workbench's interpreter loads no numpy.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Literal, NamedTuple

from tui_gpt.run.messages import Message, NonFinite, Rewound
from tui_gpt.workbench.memory import Axis

Quantity = Literal["loss", "grad_norm", "tokens_per_second"]
Reduced = tuple[float, float, float, int, int]  # low, mean, high, points, finite
MAX_BUCKETS = 2048


class Point(Message, frozen=True, gc=False):
    """What the charts need of a line of metrics.jsonl: decoding the rest takes half as long again."""

    step: int
    tokens: int
    loss: float | None
    learning_rate: float
    grad_norm: float | None
    tokens_per_second: float
    elapsed_seconds: float
    memory_bytes: int = 0
    mfu: float | None = None
    flops: float = 0.0
    grad_norms: dict[str, float | None] = {}
    update_norms: dict[str, float | None] = {}
    non_finite: NonFinite | None = None


class Bucket(NamedTuple):
    """Successive points as one. `finite`: how many of its `points` are numbers; with none, the values are NaN."""

    x: float
    low: float
    mean: float
    high: float
    points: int
    finite: int


class Series:
    """The points of one run that still stand, in order of steps."""

    def __init__(self) -> None:
        self.step, self.tokens, self.time = array("q"), array("q"), array("d")
        self.loss, self.grad_norm, self.tokens_per_second = array("d"), array("d"), array("d")
        self.last: Point | None = None
        self.with_norms: Point | None = None  # the last that has them by block
        self.first_non_finite: int | None = None  # its step
        self._width = 1
        self._reduced: dict[Quantity, list[Reduced]] = {}

    def __len__(self) -> int:
        return len(self.step)

    def extend(self, news: Sequence[Point | Rewound]) -> None:
        start = 0
        for end in [index for index, item in enumerate(news) if type(item) is Rewound]:
            self._append(news[start:end])  # type: ignore[arg-type]
            self._rewind(news[end].rewound_to)  # type: ignore[union-attr]
            start = end + 1
        self._append(news[start:] if start else news)  # type: ignore[arg-type]

    def _append(self, points: Sequence[Point]) -> None:
        for start in range(0, len(points), 8192):  # column by column within what the processor's cache holds
            self._append_some(points[start : start + 8192])
        while len(self) > self._width * MAX_BUCKETS:
            self._width *= 2
            self._reduced.clear()

    def _append_some(self, points: Sequence[Point]) -> None:
        self.step += array("q", [point.step for point in points])
        self.tokens += array("q", [point.tokens for point in points])
        self.time += array("d", [point.elapsed_seconds for point in points])
        losses = array("d", [math.nan if point.loss is None else point.loss for point in points])
        self.loss += losses
        self.grad_norm += array("d", [math.nan if point.grad_norm is None else point.grad_norm for point in points])
        self.tokens_per_second += array("d", [point.tokens_per_second for point in points])
        self.last = points[-1]
        self.with_norms = next((point for point in reversed(points) if point.grad_norms), self.with_norms)
        if self.first_non_finite is None and not math.isfinite(sum(losses)):
            self.first_non_finite = next((point.step for point in points if point.loss is None), None)

    def _rewind(self, step: int) -> None:
        keep = len(self.step)
        while keep and self.step[keep - 1] > step:
            keep -= 1
        if keep == len(self.step):
            return
        for column in (self.step, self.tokens, self.time, self.loss, self.grad_norm, self.tokens_per_second):
            del column[keep:]
        for reduced in self._reduced.values():
            del reduced[keep // self._width :]
        if self.first_non_finite is not None and self.first_non_finite > step:
            self.first_non_finite = None
        self.last = self._point(keep - 1) if keep else None
        if self.with_norms is not None and self.with_norms.step > step:
            self.with_norms = None

    def _point(self, index: int) -> Point:
        loss, norm = self.loss[index], self.grad_norm[index]
        return Point(
            step=self.step[index],
            tokens=self.tokens[index],
            loss=None if math.isnan(loss) else loss,
            learning_rate=math.nan,
            grad_norm=None if math.isnan(norm) else norm,
            tokens_per_second=self.tokens_per_second[index],
            elapsed_seconds=self.time[index],
        )

    def buckets(self, quantity: Quantity, axis: Axis = "step") -> list[Bucket]:
        """At most 4,096 buckets over the whole run, x in steps, tokens or seconds of training."""
        values: array[float] = getattr(self, quantity)
        width, total = self._width, len(self)
        known = self._reduced.setdefault(quantity, [])
        del known[max(0, len(known) - 1) :]  # the last one may have grown
        for start in range(len(known) * width, total, width):
            known.append(_reduce(values[start : start + width].tolist()))
        xs = getattr(self, axis)
        ends = [*xs[width - 1 :: width], *([xs[-1]] if total % width else [])]
        return [Bucket(float(x), *reduced) for x, reduced in zip(ends, known, strict=True)]


def _reduce(values: list[float]) -> Reduced:
    if len(values) == 1 and math.isfinite(values[0]):
        return values[0], values[0], values[0], 1, 1
    total = sum(values)
    if math.isfinite(total):
        return min(values), total / len(values), max(values), len(values), len(values)
    numbers = [value for value in values if math.isfinite(value)]
    if not numbers:
        return math.nan, math.nan, math.nan, len(values), 0
    return min(numbers), sum(numbers) / len(numbers), max(numbers), len(values), len(numbers)


def smoothed(buckets: list[Bucket], weight: float) -> list[tuple[float, float]]:
    """Exponential running mean over points (0 ≤ `weight` < 1), corrected for its start, over what is finite."""
    out: list[tuple[float, float]] = []
    running, norm = 0.0, 0.0
    for bucket in buckets:
        if not bucket.finite:
            continue
        keep = weight**bucket.finite
        running = running * keep + bucket.mean * (1 - keep)
        norm = norm * keep + (1 - keep)
        out.append((bucket.x, running / norm))
    return out
