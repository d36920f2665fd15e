"""Whatever a run logged, at any size, becomes rows of exactly that size; and a picture that can be read."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tui_gpt.workbench.drawing.formatting import width_of
from tui_gpt.workbench.drawing.plot_model import Curve, Level, Mark, Plot
from tui_gpt.workbench.drawing.rendering import Drawing, render

numbers = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -1.0, 1e-300, 1e300, 2.5])
lines = st.lists(st.tuples(numbers, numbers), max_size=40)
FALL = tuple((float(step), 0.4 + 5.6 * math.exp(-step / 60)) for step in range(1, 1001))
EVALS = ((250.0, 0.55), (500.0, 0.45), (750.0, 0.44), (1000.0, 0.46))


def text_of(drawing: Drawing) -> list[str]:
    return ["".join(text for text, _ in row) for row in drawing.rows]


def roles_of(drawing: Drawing) -> set[str]:
    return {role for row in drawing.rows for _, role in row}


def loss(**changes: object) -> Plot:
    spans = tuple((x, y - 0.05, y + 0.05) for x, y in FALL)
    curves = (Curve(FALL, "train", "train 0.400", spans), Curve(EVALS, "val", "val 0.460", style="points"))
    return Plot(**({"curves": curves, "x_range": (0.0, 1000.0)} | changes))


@settings(max_examples=60, deadline=None)
@given(
    lines.map(lambda points: tuple(sorted(points, key=lambda point: (math.isnan(point[0]), point[0])))),
    lines,
    st.sampled_from(["braille", "block", "ascii"]),
    st.integers(1, 60) | st.integers(1, 300),
    st.integers(1, 20) | st.integers(1, 100),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
@example(((1.0, 1e300), (2.0, -1e300)), [], "braille", 80, 20, False, False, False)
@example(((1.0, 5e-324), (2.0, 1e308)), [], "braille", 80, 20, True, False, True)
@example(((1.0, 0.0), (2.0, 0.0)), [(1.0, 0.0)], "ascii", 80, 20, True, True, True)
def test_any_numbers_at_any_size_become_rows_of_that_size(points, marks, glyphs, width, height, is_log, zero, compact):
    spans = tuple((x, y, y + abs(y)) for x, y in points)
    plot = Plot(
        curves=(Curve(points, "train", "train", spans, letter="a"), Curve(points[:3], "val", "val", style="points")),
        levels=(Level(0.224, "floor 0.224"), Level(math.nan, "none")),
        marks=tuple(
            Mark(x, "⚑", "sample", "界 “text”", y, place)
            for x, y in marks
            for place in ("at", "above", "top", "bottom")
        ),
        is_log=is_log,
        from_zero=zero,
        is_compact=compact,
    )
    for has_color in (True, False):
        drawing = render(plot, width, height, glyphs, has_color=has_color)
        drawable = any(math.isfinite(x) and math.isfinite(y) and (y > 0 or not is_log) for x, y in points)
        assert bool(drawing.rows) == drawable or spans
        assert len(drawing.rows) in (0, height)
        assert all(width_of(row) == width for row in text_of(drawing))
        assert glyphs != "ascii" or all(row.isascii() for row in text_of(drawing))


def test_nothing_to_draw_is_no_rows():
    assert render(Plot(), 80, 20).rows == []
    assert render(Plot(curves=(Curve(((1.0, math.nan),), "train"),)), 80, 20).rows == []
    assert render(Plot(curves=(Curve(((1.0, -1.0),), "train"),), is_log=True), 80, 20).rows == []


def test_the_first_fall_is_cut_off_and_marked():
    text = text_of(render(loss(), 100, 20))
    assert "▲ 5.96" in text[0] or "▲ 6.01" in text[0]
    label = next(row for row in range(20) if "train 0.400" in text[row])
    assert label < 17  # the plateau is well above the bottom


def test_curves_are_labelled_at_their_ends_without_overlap():
    text = text_of(render(loss(), 100, 20))
    assert sum("train 0.400" in row for row in text) == 1
    assert sum("val 0.460" in row for row in text) == 1


def test_validation_points_are_marked_and_not_joined():
    text = text_of(render(Plot(curves=(Curve(EVALS, "val", style="points"),)), 80, 20))
    assert sum(row.count("◆") for row in text) == 4
    assert not any(0x2800 <= ord(char) < 0x2900 for row in text for char in row)


def test_a_near_level_is_a_line_and_a_far_one_a_label():
    near = text_of(render(loss(levels=(Level(0.3, "floor 0.300"),)), 100, 20))
    assert any("┈┈┈" in row and "floor 0.300" in row for row in near)
    low = loss(curves=(Curve(tuple((x, y + 3) for x, y in FALL), "train"),), levels=(Level(0.2, "floor 0.200"),))
    far = text_of(render(low, 100, 20))
    assert not any("┈" in row for row in far)
    assert any("floor 0.200 ↓" in row for row in far)


def test_curves_differ_in_ascii_and_without_colors():
    runs = tuple(
        Curve(tuple((x, y + number) for x, y in FALL), f"run-{number}", f"run {number}", letter="abc"[number])
        for number in range(3)
    )
    for drawing in (render(Plot(curves=runs), 100, 20, "ascii"), render(Plot(curves=runs), 100, 20, has_color=False)):
        text = "\n".join(text_of(drawing))
        assert all(f"{letter} run {number}" in text for number, letter in enumerate("abc"))
        assert all(text.count(letter) > 3 for letter in "abc")
    ascii_loss = "\n".join(text_of(render(loss(), 100, 20, "ascii")))
    assert "*" in ascii_loss and "." in ascii_loss and "o" in ascii_loss


def test_a_curve_of_few_points_has_its_letter_too():
    curve = Curve(((0.0, 1.0), (5.0, 3.0), (9.0, 2.0)), "run-0", letter="a")
    text = "\n".join(text_of(render(Plot(curves=(curve,)), 70, 14, has_color=False)))
    assert text.count("a") > 3


def test_roles_are_told_apart_for_the_theme():
    drawing = render(
        loss(levels=(Level(0.3, "floor"),), marks=(Mark(500, "▴"), Mark(600, "✗", "bad", place="top"))), 100, 20
    )
    assert {"train", "val", "band", "floor", "axis", "mark", "bad", "cut", "text"} <= roles_of(drawing)


def test_a_column_is_where_its_x_value_is():
    drawing = render(loss(), 100, 20)
    for x in (0.0, 123.0, 500.0, 1000.0):
        column = drawing.column_of(x)
        assert column is not None
        assert abs(drawing.x_at(column) - x) <= 1200 / drawing.columns
    assert drawing.column_of(5000.0) is None


def test_a_redraw_leaves_most_cells_as_they_are():
    curves = (Curve(FALL[:-20], "train", "train 0.400"),)
    before = text_of(render(loss(curves=curves), 100, 30))
    after = text_of(render(loss(curves=(Curve(FALL, "train", "train 0.400"),)), 100, 30))
    changed = sum(a != b for old, new in zip(before, after, strict=True) for a, b in zip(old, new, strict=True))
    assert changed < 60


@pytest.mark.parametrize("glyphs", ["braille", "block", "ascii"])
def test_a_gauge_has_no_x_axis_and_only_the_ends_of_y(glyphs):
    plot = Plot(curves=(Curve(FALL, "train"),), from_zero=True, is_compact=True)
    text = text_of(render(plot, 30, 6, glyphs))
    assert text[-1].lstrip().startswith("0")
    assert sum(row[0] != " " or row[1] != " " for row in text) <= 3
