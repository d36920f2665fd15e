"""Few points stand for many, and none of the extremes is lost."""

from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.workbench.drawing.decimation import extremes, runs_outside, thin, visible, zigzag


@given(st.lists(st.floats(-1e9, 1e9), max_size=80), st.integers(1, 40))
def test_every_extreme_is_kept(ys, columns):
    kept = extremes([(float(x), y, y) for x, y in enumerate(ys)], (0.0, 79.0), columns)
    assert len(kept) <= columns + 1
    if ys:
        assert max(high for _, _, high in kept) == max(ys)
        assert min(low for _, low, _ in kept) == min(ys)


def test_thinning_keeps_both_ends_and_the_order():
    points = [(float(x), x * 0.5) for x in range(1000)]
    few = thin(points, (0.0, 999.0), 40)
    assert few[0] == points[0] and few[-1] == points[-1]
    assert len(few) <= 43
    assert few == sorted(few)


def test_a_zoomed_line_reaches_both_borders():
    assert visible([(0, 0.0), (10, 10.0), (20, 20.0)], (5, 15)) == [(5, 5.0), (10, 10.0), (15, 15.0)]
    assert visible([(0, 0.0), (20, 20.0)], (5, 15)) == [(5, 5.0), (15, 15.0)]


def test_a_zoom_beyond_the_line_shows_nothing_of_it():
    assert visible([(0, 0.0), (20, 20.0)], (25, 35)) == visible([(40, 0.0), (50, 20.0)], (25, 35)) == []


def test_a_zigzag_covers_each_span():
    line = zigzag([(0, 1.0, 2.0), (1, 3.0, 3.0), (2, 0.0, 5.0)])
    assert line == [(0, 1.0), (0, 2.0), (1, 3.0), (1, 3.0), (2, 5.0), (2, 0.0)]


def test_each_stretch_outside_is_one_mark_at_its_farthest_point():
    points = [(0, 5.0), (1, 9.0), (2, 1.0), (3, 4.0), (4, 1.0)]
    assert runs_outside(points, 3.0, above=True) == [(1, 9.0), (3, 4.0)]
    assert runs_outside(points, 2.0, above=False) == [(2, 1.0), (4, 1.0)]
