"""Rows fit exactly, and the runs that are refreshed hold every cell that changed."""

from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.workbench.canvas import _cells, differences, fit, framed, row, row_width, sides
from tui_gpt.workbench.text import clean

spans = st.lists(
    st.tuples(st.text(alphabet="ab é漢│", max_size=12), st.sampled_from(["text", "dim", "bad"])), max_size=6
)


@given(spans, st.integers(0, 40))
def test_a_fitted_row_is_exactly_as_wide_as_asked(parts, width):
    assert row_width(fit(parts, width)) == width


@given(spans, spans, st.integers(1, 40))
def test_refreshed_runs_hold_every_changed_cell(before, after, width):
    old, new = fit(before, width), fit(after, width)
    covered = {x for start, end in differences(old, new) for x in range(start, end)}
    for x, (a, b) in enumerate(zip(_cells(old), _cells(new), strict=True)):
        assert a == b or x in covered


def test_one_changed_digit_refreshes_one_cell():
    assert differences(fit(row("step 120"), 20), fit(row("step 121"), 20)) == [(7, 8)]


def test_distant_changes_are_refreshed_apart_and_near_ones_together():
    assert differences(fit(row("a" + " " * 30 + "a"), 40), fit(row("b" + " " * 30 + "b"), 40)) == [(0, 1), (31, 32)]
    assert differences(fit(row("a  a"), 10), fit(row("b  b"), 10)) == [(0, 4)]


@given(st.text(max_size=60).map(clean), st.integers(1, 60), st.integers(1, 12))
def test_frames_have_the_size_asked_for_whatever_the_title(title, width, height):
    rows = framed([row("content")] * 3, width, height, title=row(title.replace("\n", " ")), active=True)
    assert all(row_width(line) == width for line in rows)
    assert len(rows) <= height


def test_the_right_side_stays_whole_where_both_do_not_fit():
    text = "".join(part for part, _ in sides(row("a long label"), row("1,234"), 12))
    assert text.endswith("1,234")
    assert "…" in text
