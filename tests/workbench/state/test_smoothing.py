"""A smoothed curve follows trends without lag, up to both ends."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.workbench.state.smoothing import kernel_width, smooth


def smoothed(values, smoothing="auto"):
    widths = [kernel_width(smoothing, position, len(values)) for position in range(len(values))]
    return smooth(list(range(len(values))), values, [1.0] * len(values), widths)


@given(st.floats(-10, 10), st.floats(-1, 1), st.integers(1, 200), st.sampled_from(["light", "auto", "heavy"]))
def test_a_straight_line_stays_as_it_is(start, slope, count, smoothing):
    line = [start + slope * index for index in range(count)]
    assert smoothed(line, smoothing) == pytest.approx(line, abs=1e-6)


def test_a_falling_loss_is_followed_without_lag():
    truth = [0.4 + 2 * math.exp(-step / 100) for step in range(1000)]
    noisy = [value + 0.05 * math.sin(step * 2.4) for step, value in enumerate(truth)]
    worst = max(abs(fitted - value) for fitted, value in zip(smoothed(noisy)[20:], truth[20:], strict=True))
    assert worst < 0.03


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=100))
def test_the_curve_stays_within_the_values(values):
    assert all(min(values) <= value <= max(values) for value in smoothed(values, "heavy"))


def test_raw_is_raw_and_nothing_is_nothing():
    assert smoothed([3.0, 1.0, 2.0], "raw") == [3.0, 1.0, 2.0]
    assert smooth([], [], [], []) == []


def test_a_bucket_weighs_as_much_as_its_points():
    few = smooth([0.0, 10.0, 20.0], [1.0, 1.0, 5.0], [1.0, 1.0, 1.0], [50.0] * 3)
    many = smooth([0.0, 10.0, 20.0], [1.0, 1.0, 5.0], [1.0, 1.0, 100.0], [50.0] * 3)
    assert many[-1] > few[-1]
