"""The token view of a corpus: from the key to the tokens, in a real child process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workbench.conftest import text_of, words_in
from tui_gpt.workbench.app_messages import ViewTokens
from tui_gpt.workbench.jobs.task import TaskRequest, TaskUpdate
from tui_gpt.workbench.screens import tokens as tokens_screen
from tui_gpt.workbench.screens.tokens import TokensScreen
from tui_gpt.workbench.widgets.token_view import END, TokenView


@pytest.fixture
def corpus(workspace: Path) -> Path:
    (workspace / "corpus").mkdir()
    (workspace / "corpus" / "rain.txt").write_text("It rained. 雨 \x07 <|endoftext|> " + "It was wet. " * 40)
    return workspace / "corpus"


async def until(app, pilot, condition: Callable[[], object]) -> None:
    for _ in range(3000):
        await pilot.pause()
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"did not happen:\n{text_of(app)}")


async def view(app, pilot, *, tokenizer: str = "byte") -> TokenView:
    """Show the tokens of the corpus `rain`."""
    app.session.draft.set({"data.tokenizer": tokenizer})
    app.post_message(ViewTokens("rain"))
    await until(app, pilot, lambda: isinstance(app.screen, TokensScreen) and app.screen.query_one(TokenView).tokens)
    await pilot.pause()
    return app.screen.query_one(TokenView)


async def test_every_token_is_seen_and_the_one_under_the_cursor_explained(opened, corpus):
    async with opened() as (app, pilot):
        beneath = app.screen
        await view(app, pilot)
        text = text_of(app)
        assert "Tokens of rain" in text and "vocabulary 257" in text
        assert END in text and "<|endoftext|>" in text  # the mark, and what is only text
        assert "\\xe9" in text and "\x07" not in text  # a part of a character by its bytes
        assert "id 73  'I'  1 byte  41 times here  token 1 of" in text
        await pilot.press("right")
        await until(app, pilot, lambda: "id 116  't'" in text_of(app))
        await pilot.press("end")
        await until(app, pilot, lambda: "end of text  1 time here" in text_of(app))
        await pilot.press("home", "down", "pagedown", "pageup", "up", "left")
        await until(app, pilot, lambda: "id 73 " in text_of(app))
        await pilot.press("escape")
        await until(app, pilot, lambda: app.screen is beneath)


async def test_a_tokenizer_is_trained_for_the_view_where_it_has_to_be(opened, corpus):
    async with opened() as (app, pilot):
        shown = await view(app, pilot, tokenizer="bpe:300")
        assert max(shown.tokens.ids) > 256
        assert list((corpus / ".cache" / "tokenizers").glob("*.json"))


async def test_a_text_that_cannot_be_tokenized_says_why(opened, corpus):
    (corpus / "rain.txt").write_bytes(b"\x00\x01" * 100)
    async with opened(size=(80, 24)) as (app, pilot):
        app.session.draft.set({"data.tokenizer": "byte"})
        app.post_message(ViewTokens("rain"))
        await until(app, pilot, lambda: "✗ " in text_of(app))
        assert "binary" in words_in(text_of(app))
        await pilot.press("right", "down", "end", "Y", "q")
        await until(app, pilot, lambda: not isinstance(app.screen, TokensScreen))


async def test_without_colors_the_view_shows_bars(opened, corpus, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened() as (app, pilot):
        await view(app, pilot)
        assert "I│t│ │r│a│i│n│e│d│" in text_of(app)


@pytest.mark.parametrize("size", [(40, 10), (80, 24), (200, 60)])
async def test_it_fits_every_size_and_keeps_its_token_through_resizes(opened, corpus, size):
    async with opened(size=size) as (app, pilot):
        shown = await view(app, pilot)
        shown.move(200)
        for other in ((1, 1), (300, 100), (23, 9), size):
            await pilot.resize_terminal(*other)
            await pilot.pause()
        await until(app, pilot, lambda: "token 201 of" in words_in(text_of(app)))
        assert shown.cursor == 200


async def test_closing_it_ends_the_child_that_tokenizes(opened, corpus, monkeypatch):
    ended = asyncio.Event()

    async def endless(request: TaskRequest, result_type: type, on_update: Callable[[TaskUpdate], object]) -> object:
        on_update(TaskUpdate(phase="training bpe:1024", fraction=0.5))
        try:
            return await asyncio.sleep(3600)
        finally:
            ended.set()

    monkeypatch.setattr(tokens_screen, "run_task", endless)
    async with opened() as (app, pilot):
        app.post_message(ViewTokens("[red]rain[/]"))
        await until(app, pilot, lambda: "training bpe:1024 50 %" in text_of(app))
        assert "Tokens of [red]rain[/]" in text_of(app)
        await pilot.press("escape")
        await asyncio.wait_for(ended.wait(), 5)
