"""Text fits its cells, and numbers read the same everywhere."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui_gpt.workbench.drawing.formatting import (
    cut,
    cut_head,
    format_bytes,
    format_duration,
    format_loss,
    format_short,
    width_of,
    wrap,
)
from tui_gpt.workbench.drawing.sanitizing import clean

texts = st.text() | st.text(st.sampled_from("ab 界😀\u200d\ufe0f❤क\u094d"))


@given(texts, st.integers(0, 40))
def test_cut_text_fits_and_says_that_it_was_cut(text, width):
    text = clean(text)
    short_text = cut(text, width)
    assert width_of(short_text) <= width
    if width_of(text) > width > 0:
        assert short_text.endswith("…")


@given(texts, st.integers(0, 40))
def test_text_cut_at_its_head_fits_and_keeps_its_end(text, width):
    text = clean(text)
    end = cut_head(text, width)
    assert width_of(end) <= width
    if width_of(text) > width > 0:
        assert end.startswith("…") and text.endswith(end[1:])
    elif width:
        assert end == text


@given(st.text(max_size=200) | st.text(st.sampled_from("ab 界😀\u200d\ufe0f❤"), max_size=200), st.integers(2, 30))
def test_wrapped_lines_fit_and_lose_nothing_but_spaces(text, width):
    lines = wrap(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == clean(text).replace("\n", "").replace(" ", "")


def test_a_ten_thousand_character_line_wraps_within_its_limit():
    assert len(wrap("x" * 10_000, 50, limit=20)) == 20


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (12_345, "12.3k"), (999_960, "1M"), (1_048_576, "1.05M"), (0.5, "0.5")],
)
def test_short_numbers(value, text):
    assert format_short(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (math.inf, "–"), (5, "0:05"), (3723, "1:02:03"), (200_000, "2d 07h")]
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


def test_losses_say_what_they_are_instead_of_a_number():
    losses = [format_loss(None, "nan"), format_loss(None, "inf"), format_loss(math.nan), format_loss(3.21449)]
    assert losses == ["nan", "inf", "nan", "3.214"]


def test_sizes_are_binary():
    assert [format_bytes(0), format_bytes(1536), format_bytes(5 * 2**30)] == ["0 B", "1.5 KiB", "5 GiB"]
