"""The token view: boundaries that show with and without colours, and nothing of the text lost or obeyed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workbench.conftest import settle, text_of, words_in
from tui_gpt.workbench.chore_process import Tokens
from tui_gpt.workbench.token_lines import BAR, END, TokenLines
from tui_gpt.workbench.tokens_screen import TokensScreen


def tokens(pieces, end=99):
    """Tokens that spell `pieces`; None is an end of text."""
    known = {piece: id for id, piece in enumerate(dict.fromkeys(filter(None, pieces)))}
    return Tokens(
        tokenizer="byte",
        vocab_size=100,
        end_of_text=end,
        ids=[end if piece is None else known[piece] for piece in pieces],
        pieces=[piece or "" for piece in pieces],
        lengths=[len((piece or "").encode()) for piece in pieces],
        characters=sum(len(piece or "") for piece in pieces),
        documents=1,
        whole=True,
    )


def drawn(laid):
    return ["".join(text for _, text in line) for line in laid.lines]


def test_neighbours_differ_and_the_marked_one_stands_out():
    laid = TokenLines(tokens(["Once", " upon", " a", None]), 40, bars=False)
    assert laid.row(0, 1) == (("Once", "token-0"), (" upon", "token-mark"), (" a", "token-0"), (END, "token-end"))


def test_without_colours_a_bar_stands_between_tokens():
    assert drawn(TokenLines(tokens(["Once", " upon", " a"]), 40, bars=True)) == [f"Once{BAR} upon{BAR} a{BAR}"]


def test_a_newline_is_seen_and_breaks_the_line():
    assert drawn(TokenLines(tokens(["one", "\n\n", "two"]), 40, bars=False)) == ["one↵", "↵", "two"]


def test_control_characters_are_signs_and_wide_characters_fit():
    laid = TokenLines(tokens(["\x1b[2J", "雨" * 9]), 10, bars=False)
    assert drawn(laid) == ["�[2J", "雨" * 5, "雨" * 4]


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


@pytest.fixture
def corpus(workspace):
    (workspace / "corpus").mkdir()
    (workspace / "corpus" / "rain.txt").write_text("It rained. 雨 \x07 <|endoftext|> " + "It was wet. " * 40)
    return workspace / "corpus"


async def shown(app, pilot):
    await settle(app, pilot)
    assert isinstance(app.screen, TokensScreen)
    return text_of(app)


async def test_v_shows_the_tokens_of_the_drafts_corpus(opened, corpus):
    async with opened() as (app, pilot):
        app.draft.set("data.tokenizer", "byte")
        app.draft.set("data.corpus", "rain")
        await pilot.press("v")
        text = await shown(app, pilot)
        assert "Tokens of rain" in text and "vocabulary 257" in text
        assert END in text and "<|endoftext|>" in text  # the mark, and what is only text
        assert "\\xe9" in text and "\x07" not in text  # a part of a character by its bytes
        assert "id 73  'I'  1 byte  41 times here  token 1 of" in text
        await pilot.press("right")
        assert "id 116  't'" in text_of(app)
        await pilot.press("end")
        assert "end of text  1 time here" in text_of(app)
        await pilot.press("home")
        assert "id 73 " in text_of(app)
        await pilot.press("escape")
        assert app.screen.place == "dashboard"


async def test_a_tokenizer_is_trained_for_the_view_where_it_has_to_be(opened, corpus):
    async with opened() as (app, pilot):
        app.draft.set("data.corpus", "rain")
        await pilot.press("v")
        assert " vocabulary " in await shown(app, pilot)
        ids = app.screen.tokens.ids
        assert max(ids) > 256
        assert list((corpus / ".cache" / "tokenizers").glob("*.json"))


async def test_a_text_that_cannot_be_tokenised_says_why(opened, corpus):
    (corpus / "rain.txt").write_bytes(b"\x00\x01" * 100)
    async with opened() as (app, pilot):
        app.draft.set("data.corpus", "rain")
        await pilot.press("v")
        assert "binary file" in words_in(await shown(app, pilot))


async def test_without_colours_the_view_shows_bars(opened, corpus, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened() as (app, pilot):
        app.draft.set("data.tokenizer", "byte")
        app.draft.set("data.corpus", "rain")
        await pilot.press("v")
        assert "I│t│ │r│a│i│n│e│d│" in await shown(app, pilot)


def test_each_token_of_the_vocabulary_counts_once():
    assert TokenLines(tokens(["a", "b", "a", None, "b", None]), 40, bars=False).distinct == 3
