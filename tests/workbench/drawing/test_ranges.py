"""Axes are round, seldom move, and are not squashed by what is far off."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.workbench.drawing.ranges import (
    fitted_end,
    robust_range,
    round_range,
    same_decimals,
    ticks,
)


@given(st.floats(10, 1e15))
def test_a_fitted_end_is_no_less_and_at_most_a_third_more(reached):
    assert reached * (1 - 1e-9) <= fitted_end(reached) <= reached * 1.34


def test_a_fitted_end_moves_seldom():
    assert len({fitted_end(step) for step in range(100, 1001)}) == 11


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=1, max_size=100))
def test_a_robust_range_lies_within_the_data(pairs):
    columns = [(min(pair), sum(pair) / 2, max(pair)) for pair in pairs]
    low, high = robust_range(columns)
    assert min(column[0] for column in columns) <= low <= high <= max(column[2] for column in columns)


def test_the_first_fall_does_not_squash_the_rest():
    columns = [(y - 0.02, y, y + 0.02) for y in (0.4 + 5.6 * math.exp(-i / 8) for i in range(200))]
    low, high = robust_range(columns)
    assert low == pytest.approx(0.38, abs=0.01)
    assert high < 1.0


def test_a_spike_within_a_column_is_cut_off_and_a_divergence_at_the_end_is_not():
    columns = [(0.4, 0.5, 0.6)] * 200
    spiked = [*columns[:99], (0.4, 0.5, 50.0), *columns[100:]]
    assert robust_range(spiked) == (0.4, 0.6)
    diverged = [*columns[:-2], (3.0, 5.0, 6.0), (6.0, 8.0, 9.0)]
    assert robust_range(diverged)[1] >= 8.0


def test_few_columns_are_shown_in_full():
    assert robust_range([(6.0, 6.0, 6.0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)]) == (1.0, 6.0)


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12), st.booleans())
def test_round_bounds_hold_the_values_and_have_a_height(low, height, from_zero):
    high = low + height
    bottom, top = round_range(low, high, from_zero=from_zero)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert bottom <= low + slack and top >= high - slack
    assert top > bottom
    if from_zero:
        assert bottom <= 0 <= top


@given(st.floats(1e-9, 1e9), st.floats(1, 1e6))
def test_logarithmic_bounds_and_ticks_are_positive_and_hold_the_values(low, factor):
    bottom, top = round_range(low, low * factor, is_log=True)
    assert 0 < bottom <= low * 1.001 and top >= low * factor * 0.999 and top > bottom
    found = ticks(bottom, top, 5, is_log=True)
    assert 2 <= len(found) <= 8
    assert all(bottom * 0.999 <= tick <= top * 1.001 for tick in found)


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9), st.integers(1, 8))
def test_ticks_lie_within_the_range(low, height, wanted):
    found = ticks(low, low + height, wanted)
    assert len(found) <= 2 * wanted + 2
    assert all(low - height * 0.01 <= tick <= low + height * 1.01 for tick in found)


def test_times_are_counted_in_minutes_and_hours():
    assert ticks(0, 600, 5, is_time=True) == [0, 120, 240, 360, 480, 600]
    assert ticks(0, 7200, 4, is_time=True) == [0, 1800, 3600, 5400, 7200]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0, 0.5, 1.0], ["0", "0.5", "1.0"]),
        ([0.25, 0.5], ["0.25", "0.50"]),
        ([0, 10_000, 20_000], ["0", "10k", "20k"]),
        ([0, 250_000, 1_250_000], ["0", "0.25M", "1.25M"]),
        ([0, 1e-4], ["0", "1.0e-4"]),
        ([], []),
    ],
)
def test_labels_of_one_axis_have_the_same_decimals(values, texts):
    assert same_decimals(values) == texts
