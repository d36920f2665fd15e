"""Few points stand for many, and none of the extremes is lost."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.workbench.drawing.decimation import clamped, extremes, runs_outside, thin, visible, zigzag

values = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=80)


@given(values, st.integers(1, 40))
def test_every_extreme_is_kept(ys, columns):
    spans = [(float(x), y, y) for x, y in enumerate(ys)]
    kept = extremes(spans, (0.0, 79.0), columns)
    finite = [y for y in ys if math.isfinite(y)]
    assert len(kept) <= max(columns + 1, len(finite) if len(finite) <= columns else 0)
    assert bool(kept) == bool(finite)
    if finite:
        assert max(high for _, _, high in kept) == max(finite)
        assert min(low for _, low, _ in kept) == min(finite)


def test_thinning_keeps_both_ends_and_the_order():
    points = [(float(x), x * 0.5) for x in range(1000)]
    few = thin(points, (0.0, 999.0), 40)
    assert few[0] == points[0] and few[-1] == points[-1]
    assert len(few) <= 43
    assert few == sorted(few)


def test_a_zoomed_line_reaches_both_borders():
    assert visible([(0, 0.0), (10, 10.0), (20, 20.0)], (5, 15)) == [(5, 5.0), (10, 10.0), (15, 15.0)]
    assert visible([(0, 0.0), (20, 20.0)], (5, 15)) == [(5, 5.0), (15, 15.0)]


@given(values, st.booleans())
def test_what_is_visible_can_be_drawn(ys, is_log):
    points = visible([(float(x), y) for x, y in enumerate(ys)], (10.0, 50.0), is_log=is_log)
    assert all(10 <= x <= 50 and math.isfinite(y) and (y > 0 or not is_log) for x, y in points)


def test_a_zigzag_covers_each_span():
    assert zigzag([(0, 1.0, 2.0), (1, 3.0, 3.0), (2, 0.0, 5.0)]) == [(0, 1.0), (0, 2.0), (1, 3.0), (2, 5.0), (2, 0.0)]


def test_a_far_point_costs_no_more_dots_than_one_just_outside():
    assert clamped([(0, 1e300), (1, -1e300), (2, 0.5)], (0.0, 1.0)) == [(0, 2.0), (1, -1.0), (2, 0.5)]


def test_each_stretch_outside_is_one_mark_at_its_farthest_point():
    points = [(0, 5.0), (1, 9.0), (2, 1.0), (3, 4.0), (4, 1.0)]
    assert runs_outside(points, 3.0, above=True) == [(1, 9.0), (3, 4.0)]
    assert runs_outside(points, 2.0, above=False) == [(2, 1.0), (4, 1.0)]
