"""Nothing of a text is lost, obeyed or invisible when it is laid out as tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.workbench.jobs.task_process import TokenizedText
from tui_gpt.workbench.state.corpora.token_lines import BAR, END, TAB, TokenLines


def tokens(pieces: list[str | None], end: int = 99) -> TokenizedText:
    """Return tokens that spell `pieces`; None is an end of text."""
    known = {piece: id for id, piece in enumerate(dict.fromkeys(filter(None, pieces)))}
    return TokenizedText(
        tokenizer="byte",
        vocab_size=100,
        end_of_text=end,
        ids=[end if piece is None else known.get(piece, 98) for piece in pieces],
        pieces=[piece or "" for piece in pieces],
        lengths=[len((piece or "").encode()) for piece in pieces],
        characters=sum(len(piece or "") for piece in pieces),
        documents=1,
        whole=True,
    )


def drawn(laid: TokenLines) -> list[str]:
    return ["".join(text for _, text in line) for line in laid.lines]


def test_an_end_of_text_is_a_mark_of_its_own_and_ends_the_line():
    laid = TokenLines(tokens(["Once", " upon", None, "A"]), 40, bars=False)
    assert drawn(laid) == [f"Once upon{END}", "A"]


def test_without_colors_a_bar_stands_between_tokens():
    assert drawn(TokenLines(tokens(["Once", " upon", " a"]), 40, bars=True)) == [f"Once{BAR} upon{BAR} a{BAR}"]


def test_a_newline_is_seen_and_breaks_the_line():
    assert drawn(TokenLines(tokens(["one", "\n\n", "two"]), 40, bars=False)) == ["one↵", "↵", "two"]


def test_control_characters_are_signs_and_wide_characters_fit():
    laid = TokenLines(tokens(["\x1b[2J", "雨" * 9]), 10, bars=False)
    assert drawn(laid) == ["�[2J", "雨" * 5, "雨" * 4]


@pytest.mark.parametrize(
    ("piece", "shown"),
    [("\t", TAB), ("\u200d", "\\u200d"), ("\u0301", "\\u0301"), ("\ufe0f", "\\ufe0f"), ("", "∅"), ("\r\n", "↵")],
)
def test_a_token_that_would_not_be_seen_is_written_out(piece, shown):
    assert drawn(TokenLines(tokens(["a", piece, "b"]), 40, bars=False))[0].startswith(f"a{shown}")


@given(st.lists(st.text("ab \n雨\x1b", min_size=1, max_size=30), max_size=40), st.integers(8, 50), st.booleans())
def test_every_token_is_drawn_once_in_order_and_found_on_its_line(pieces, width, bars):
    laid = TokenLines(tokens(pieces), width, bars=bars)
    seen = [index for line in laid.lines for index, _ in line]
    assert seen == sorted(seen) and set(seen) == set(range(len(pieces)))
    text = "".join(drawn(laid)).replace(BAR, "").replace("↵", "\n").replace("�", "\x1b")
    assert text == "".join(pieces)
    for index in range(len(pieces)):
        line = laid.line_of(index)
        assert index in [each for each, _ in laid.lines[line]]
        assert not any(index == each for lower in laid.lines[:line] for each, _ in lower)


@given(st.lists(st.text(min_size=1, max_size=9), max_size=20), st.integers(1, 30))
def test_any_text_can_be_moved_in(pieces, width):
    laid = TokenLines(tokens(pieces), width, bars=False)
    assert {index for line in laid.lines for index, _ in line} == set(range(len(pieces)))
    for index in range(len(pieces)):
        for by in (-100, -1, 0, 1, 100):
            assert 0 <= laid.beside(index, by) < len(pieces)


def test_a_cell_finds_its_token_behind_wide_characters():
    laid = TokenLines(tokens(["雨雨", "ab"]), 40, bars=False)
    assert [laid.token_at(0, x) for x in (0, 3, 4, 5, 6)] == [0, 0, 1, 1, None]
    assert laid.token_at(1, 0) is None and laid.token_at(-1, 0) is None


def test_each_token_of_the_vocabulary_counts_once():
    laid = TokenLines(tokens(["a", "b", "a", None, "b", None]), 40, bars=False)
    assert laid.distinct == 3 and laid.occurrences(0) == 2 and laid.occurrences(3) == 2
