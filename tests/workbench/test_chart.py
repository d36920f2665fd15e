"""Charts draw whatever a loss can be, in exactly the cells they were given."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_gpt.workbench.canvas import row_width
from tui_gpt.workbench.chart import Curve, Plot, doubling, draw, envelope, rasterise, y_range

anything = st.floats(allow_nan=True, allow_infinity=True, width=32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1000), anything), max_size=40),
    st.integers(1, 90),
    st.integers(1, 20),
    st.booleans(),
    st.sampled_from(["braille", "block", "ascii"]),
)
def test_any_values_at_any_size_draw_without_dying(points, width, height, log_y, glyphs):
    rows = draw(Plot([Curve(points, "train")], x_max=1000, log_y=log_y), width, height, glyphs)
    assert all(row_width(line) == width for line in rows)
    assert len(rows) in (0, height)


def text(rows):
    return ["".join(part for part, _ in line) for line in rows]


def test_a_falling_curve_falls():
    points = [(float(step), 8 * math.exp(-step / 200)) for step in range(1000)]
    lines = text(draw(Plot([Curve(points, "train")], x_max=1000), 60, 14))
    first = [next((x for x, char in enumerate(line) if 0x2800 < ord(char) <= 0x28FF), None) for line in lines]
    seen = [x for x in first if x is not None]
    assert seen == sorted(seen)
    assert len(seen) > 5


def test_only_values_that_are_no_numbers_draw_nothing():
    assert draw(Plot([Curve([(1, math.nan), (2, math.inf)], "train")], x_max=10), 60, 10) == []
    assert draw(Plot([Curve([(1, 0.0), (2, -1.0)], "train")], x_max=10, log_y=True), 60, 10) == []


def test_the_end_of_numbers_and_the_floor_are_marked():
    rows = draw(Plot([Curve([(1, 2.0), (5, 1.0)], "train")], levels=[(0.9, "floor")], breaks=[6.0], x_max=10), 60, 10)
    assert ("✗", "bad") in rows[0]
    assert any("┄" in part and role == "floor" for line in rows for part, role in line)


def test_curves_keep_their_roles():
    rows = draw(Plot([Curve([(0, 1.0), (10, 1.0)], "train"), Curve([(0, 2.0), (10, 2.0)], "val")], x_max=10), 40, 8)
    roles = {role for line in rows for _, role in line}
    assert {"train", "val"} <= roles


def test_ascii_charts_are_ascii_but_for_their_frame():
    rows = draw(Plot([Curve([(0, 1.0), (10, 2.0)], "train")], x_max=10), 40, 8, "ascii")
    drawn = "".join(part for line in rows for part, role in line if role == "train")
    assert set(drawn) == {"*"}


@pytest.mark.parametrize("log", [True, False])
@given(low=st.floats(1e-6, 1e6), span=st.floats(0, 1e6))
def test_y_bounds_hold_the_data(log, low, span):
    bottom, top = y_range([low, low + span], log=log)
    assert bottom <= low * (1 + 1e-6)
    assert top >= (low + span) * (1 - 1e-6)
    assert math.isfinite(bottom)
    assert math.isfinite(top)


def test_decimation_keeps_the_extremes_of_every_column():
    points = [(float(x), float(x % 7), float(x % 7)) for x in range(1000)]
    kept = envelope(points, 1000, 50)
    assert len(kept) <= 102
    assert min(y for _, y in kept) == 0
    assert max(y for _, y in kept) == 6


def test_a_range_without_an_end_doubles():
    assert [doubling(1), doubling(64), doubling(65), doubling(1000)] == [64, 64, 128, 1024]


@given(
    st.lists(st.tuples(st.integers(0, 39), st.integers(0, 19)), min_size=1, max_size=12).map(
        lambda dots: sorted(dots, key=lambda dot: dot[0])
    )
)
def test_a_rasterised_line_passes_its_points_and_has_no_gaps(dots):
    columns = rasterise(dots, 40, 20)
    for x, y in dots:
        assert columns[x] >> y & 1
    for x in range(dots[0][0], dots[-1][0] + 1):
        assert columns[x], "a column within the line is empty"
    for left, right in zip(columns[dots[0][0] :], columns[dots[0][0] + 1 : dots[-1][0] + 1], strict=False):
        near = left | left << 1 | left >> 1
        assert near & right, "neighbouring columns do not touch"


def test_dots_outside_are_left_out():
    assert rasterise([(-5, 3), (60, 3)], 10, 8) == [8] * 10
    assert rasterise([(2, -40), (2, 400)], 4, 8) == [0, 0, 255, 0]
