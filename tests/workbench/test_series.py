"""Points become buckets that keep every extreme, and a rewind takes them back."""

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.run.messages import Rewound
from tui_gpt.workbench.series import MAX_BUCKETS, Point, Series, smoothed


def point(step: int, loss: float | None) -> Point:
    return Point(
        step=step,
        tokens=step * 10,
        loss=loss,
        learning_rate=1e-3,
        grad_norm=loss,
        tokens_per_second=100.0,
        elapsed_seconds=step / 10,
        non_finite=None if loss is not None else "nan",
    )


def made(losses) -> Series:
    series = Series()
    series.extend([point(step, loss) for step, loss in enumerate(losses, 1)])
    return series


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=300))
def test_few_points_are_their_own_buckets(losses):
    buckets = made(losses).buckets("loss")
    assert [bucket.finite for bucket in buckets] == [int(loss is not None) for loss in losses]
    assert [bucket.mean for bucket in buckets if bucket.finite] == [loss for loss in losses if loss is not None]


def test_many_points_fit_into_few_buckets_that_keep_every_extreme():
    losses = [3.0] * 50_000
    losses[31_234], losses[40_000] = 99.0, -7.0
    series = made(losses)
    buckets = series.buckets("loss")
    assert len(buckets) <= MAX_BUCKETS
    assert max(bucket.high for bucket in buckets) == 99.0
    assert min(bucket.low for bucket in buckets) == -7.0
    assert sum(bucket.points for bucket in buckets) == 50_000
    assert buckets[-1].x == 50_000


def test_buckets_grow_with_the_points_as_if_made_at_once():
    grown = Series()
    losses = [math.sin(step / 50) for step in range(6000)]
    for start in range(0, 6000, 37):
        grown.extend([point(step + 1, losses[step]) for step in range(start, min(6000, start + 37))])
        grown.buckets("loss")
    assert grown.buckets("loss") == made(losses).buckets("loss")


def test_a_rewind_drops_what_came_after_and_the_end_of_numbers_with_it():
    series = made([3.0, 2.0, None, None])
    assert series.first_non_finite == 3
    series.buckets("loss")
    series.extend([Rewound(rewound_to=2), point(3, 1.5)])
    assert [bucket.mean for bucket in series.buckets("loss")] == [3.0, 2.0, 1.5]
    assert series.first_non_finite is None
    assert series.last is not None
    assert series.last.step == 3


def test_a_rewind_to_zero_leaves_nothing():
    series = made([3.0, 2.0])
    series.extend([Rewound(rewound_to=0)])
    assert len(series) == 0
    assert series.last is None
    assert series.buckets("loss") == []


def test_x_follows_the_axis():
    series = made([1.0, 2.0])
    assert [bucket.x for bucket in series.buckets("loss", "tokens")] == [10, 20]
    assert [bucket.x for bucket in series.buckets("loss", "time")] == [0.1, 0.2]


def test_smoothing_a_constant_changes_nothing_and_skips_what_is_no_number():
    assert all(abs(y - 2.5) < 1e-9 for _, y in smoothed(made([2.5, None, 2.5, 2.5]).buckets("loss"), 0.9))
    assert len(smoothed(made([2.5, None]).buckets("loss"), 0.9)) == 1


def test_smoothing_over_buckets_is_close_to_smoothing_over_points():
    losses = [5 * math.exp(-step / 2000) for step in range(10_000)]
    running, norm = 0.0, 0.0
    for loss in losses:
        running, norm = running * 0.99 + loss * 0.01, norm * 0.99 + 0.01
    assert abs(smoothed(made(losses).buckets("loss"), 0.99)[-1][1] - running / norm) < 0.01


def test_the_norms_by_block_are_the_last_ones_that_still_stand() -> None:
    series = Series()
    points = [point(step, 2.0) for step in range(1, 101)]
    norms = {"block 0": 1.0}
    points[49] = msgspec.structs.replace(points[49], grad_norms=norms)
    points[89] = msgspec.structs.replace(points[89], grad_norms=norms)
    series.extend(points)
    assert series.with_norms is not None and series.with_norms.step == 90
    series.extend([Rewound(rewound_to=60)])
    assert series.with_norms is None
