"""Text from outside is safe to show, and keeps what emoji and scripts need."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui_gpt.workbench.drawing.sanitizing import clean, one_line, to_ascii


@given(st.text())
def test_cleaned_text_holds_nothing_that_a_terminal_would_obey(text):
    for char in clean(text):
        assert char == "\n" or (ord(char) >= 0x20 and not 0x7F <= ord(char) <= 0x9F)
        assert not 0xD800 <= ord(char) <= 0xDFFF
        assert char not in "\u2028\u2029\u202a\u202e\u2066\u2069"


@pytest.mark.parametrize("text", ["👩‍🚀 and ❤️", "1️⃣", "می‌خواهم", "क्‍ष", "👨‍👩‍👧‍👦", "葛\U000e0100", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"])
def test_joiners_and_variation_selectors_of_emoji_and_scripts_stay(text):
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [("a\u200db", "ab"), ("end\u200d", "end"), ("\u200d", ""), ("😀\u200d\u200d│", "😀│"), ("😀\u200d", "😀")],
)
def test_a_joiner_that_joins_nothing_cannot_swallow_the_next_cell(text, cleaned):
    assert clean(text) == cleaned


@given(st.text(st.sampled_from("a│ \u200d\ufe0f😀क\u094dم\x1b")))
def test_what_follows_cleaned_text_keeps_its_width(text):
    text = clean(text)
    assert cell_len(text + "│x") == cell_len(text) + 2


def test_escape_sequences_and_half_characters_leave_a_visible_sign():
    assert clean("a\x1b[31mred\x1b[0m") == "a\ufffd[31mred\ufffd[0m"
    assert clean("half \udce2 character") == "half \ufffd character"
    assert one_line("two\nlines") == "two¶lines"


@given(st.text() | st.text(st.sampled_from("a│ \u200d\ufe0f😀क\u094d1é")))
def test_ascii_text_is_as_wide_as_what_it_stands_for(text):
    text = one_line(text)
    plain = to_ascii(text)
    assert plain.isascii()
    assert len(plain) == cell_len(text)
