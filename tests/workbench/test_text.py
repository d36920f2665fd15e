"""Text is safe, fits, and numbers read the same everywhere."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui_gpt.workbench.text import clean, clock, cut, cut_head, nats, one_line, short, size, to_ascii, width_of, wrap


@given(st.text())
def test_cleaned_text_holds_nothing_that_a_terminal_would_obey(text):
    for char in clean(text):
        assert char == "\n" or (ord(char) >= 0x20 and not 0x7F <= ord(char) <= 0x9F)
        assert char not in "\u202e\u200d\u2066\ufeff"


def test_escape_sequences_and_half_characters_leave_a_visible_sign():
    assert clean("a\x1b[31mred\x1b[0m") == "a\ufffd[31mred\ufffd[0m"
    assert clean("half \udce2 character") == "half \ufffd character"
    assert one_line("two\nlines") == "two¶lines"


@given(st.text(), st.integers(0, 40))
def test_cut_text_fits_and_says_that_it_was_cut(text, width):
    text = clean(text)
    short_text = cut(text, width)
    assert width_of(short_text) <= width
    if width_of(text) > width > 0:
        assert short_text.endswith("…")


@given(st.text(), st.integers(0, 40))
def test_text_cut_at_its_head_fits_and_keeps_its_end(text, width):
    text = clean(text)
    end = cut_head(text, width)
    assert width_of(end) <= width
    if width_of(text) > width > 0:
        assert end.startswith("…") and text.endswith(end[1:])
    elif width:
        assert end == text


@given(st.text(max_size=200), st.integers(2, 30))
def test_wrapped_lines_fit_and_lose_nothing_but_spaces(text, width):
    lines = wrap(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == clean(text).replace("\n", "").replace(" ", "")


def test_a_ten_thousand_character_line_wraps_within_its_limit():
    assert len(wrap("x" * 10_000, 50, limit=20)) == 20


@given(st.text())
def test_ascii_text_is_as_wide_as_what_it_stands_for(text):
    text = one_line(text)
    plain = to_ascii(text)
    assert plain.isascii()
    assert len(plain) == cell_len(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (12_345, "12.3k"), (999_960, "1M"), (1_048_576, "1.05M"), (0.5, "0.5")],
)
def test_short_numbers(value, text):
    assert short(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (math.inf, "–"), (5, "0:05"), (3723, "1:02:03"), (200_000, "2d 07h")]
)
def test_clocks(seconds, text):
    assert clock(seconds) == text


def test_losses_say_what_they_are_instead_of_a_number():
    assert [nats(None, "nan"), nats(None, "inf"), nats(math.nan), nats(3.21449)] == ["nan", "inf", "nan", "3.214"]


def test_sizes_are_binary():
    assert [size(0), size(1536), size(5 * 2**30)] == ["0 B", "1.5 KiB", "5 GiB"]
