"""No text makes a cleaning step take longer than its length."""

from __future__ import annotations

import time

import pytest

from tui_gpt.corpora.cleaning import text_steps

START = "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n"
HOSTILE = {
    "a million newlines": START + "a" + "\n" * 1_000_000 + "b",
    "a million blanks": START + " " * 1_000_000 + "b",
    "blank lines": START + "a" + (" " * 999 + "\n") * 1_000 + "b",
    "beginnings": "***START OF THE PROJECT GUTENBERG EBOOK" * 25_000,
    "small print": "*END*THE SMALL PRINT!" * 50_000,
    "credits": START + "Produced by x" + "\n." * 290 + "\n" + " " * 1_000_000 + "y",
    "mojibake": "â€œ" * 300_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_megabyte_of_anything_is_cleaned_in_seconds(text: str) -> None:
    """The first took hours, and so did the small print."""
    started = time.process_time()
    text_steps.strip_gutenberg(text)
    text_steps.fix_mojibake(text)
    text_steps.normalise_unicode(text_steps.normalise_line_ends(text))
    text_steps.rejection_reason(text)
    assert time.process_time() - started < 10


def test_the_end_is_found_behind_blanks_and_blank_lines() -> None:
    book = START + "\n\nChapter 1\n\n\n   End of the Project Gutenberg EBook of X\n\nlicence\n"
    assert text_steps.strip_gutenberg(book) == "Chapter 1\n"
