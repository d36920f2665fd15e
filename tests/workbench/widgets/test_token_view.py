"""Nothing of a text is lost, obeyed or invisible as tokens, and the cursor goes from one to the next."""

from __future__ import annotations

import random

import pytest
from textual.app import App, ComposeResult

from tui_gpt.workbench.jobs.task_process import TokenizedText
from tui_gpt.workbench.widgets.token_view import BAR, END, TAB, TokenView, shown_text


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


class ViewApp(App[None]):
    def __init__(self, *, has_color: bool = True) -> None:
        super().__init__()
        self.view = TokenView(has_color=has_color)
        self.moves: list[int] = []

    def compose(self) -> ComposeResult:
        yield self.view

    def on_token_view_moved(self, message: TokenView.Moved) -> None:
        self.moves.append(message.index)


def styles(view: TokenView, y: int = 0) -> dict[str, str]:
    """Return the background of each text of a row."""
    return {
        segment.text: str(segment.style.bgcolor and segment.style.bgcolor.name)
        for segment in view.render_line(y)
        if segment.text.strip() and segment.style
    }


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        ("word", "word"), ("\t", TAB), ("\u200d", "\\u200d"), ("\u0301", "\\u0301"), ("\ufe0f", "\\ufe0f"), ("", "∅"),
        ("\r\n", "↵\n"), ("\n\n", "↵\n↵\n"), ("\x1b[2J", "\ufffd[2J"), ("雨", "雨"),
    ],
)  # fmt: skip
def test_a_token_that_would_not_be_seen_is_written_out(piece, shown):
    assert shown_text(piece) == shown


async def test_neighbours_differ_and_the_cursor_and_the_end_stand_out():
    app = ViewApp()
    async with app.run_test(size=(60, 10)) as pilot:
        app.view.show(tokens(["Once", " upon", " a", " time", None, "A", "\n", "b"]))
        app.view.move(1)
        await pilot.pause()
        shown = styles(app.view)
        texts = [text.strip() for text in shown]
        assert texts[:4] == ["Once", "upon", "a", "time"] and END in texts[-1]
        colors = [color for text, color in shown.items() if text.strip() in ("Once", "upon", "time", END)]
        assert len(set(colors)) == 4
        assert app.view.text == f"Once upon a time{END}\nA↵\nb" and app.view.counts[99] == 1


async def test_without_colors_bars_part_the_tokens_and_the_cursor_is_selected():
    app = ViewApp(has_color=False)
    async with app.run_test(size=(60, 10)):
        app.view.show(tokens(["Once", " upon", "\n", None]))
        assert app.view.text == f"Once{BAR} upon{BAR}↵{BAR}\n{END}{BAR}\n"
        assert app.view.selected_text == f"Once{BAR}"


async def test_the_cursor_is_always_on_a_whole_token_and_stays_in_sight():
    app, drawn = ViewApp(), random.Random(1)
    async with app.run_test(size=(40, 8)) as pilot:
        pieces = [drawn.choice(["word ", "雨雨", "\n", "x\x1b", "\n\n", "a long token of words "]) for _ in range(300)]
        app.view.show(tokens(pieces))
        app.view.focus()
        keys = ("left", "right", "up", "down", "pageup", "pagedown", "home", "end", "f6", "f7", "ctrl+right")
        for _ in range(40):
            await pilot.press(drawn.choice(keys))
            await pilot.pause()
            begins = app.view._begins
            assert app.view.text[begins[app.view.cursor] : begins[app.view.cursor + 1]] == app.view.selected_text
            assert app.moves[-1] == app.view.cursor
        await pilot.press("end")
        assert app.view.cursor == 299 and app.view.scroll_offset.y > 0
        await pilot.press("home", "right", "right")
        assert app.view.cursor == 2 and app.view.scroll_offset.y == 0
        for size in ((1, 1), (300, 100), (23, 5)):
            await pilot.resize_terminal(*size)
        assert app.view.cursor == 2


async def test_a_click_moves_the_cursor_and_another_text_begins_anew():
    app = ViewApp()
    async with app.run_test(size=(40, 8)) as pilot:
        app.view.show(tokens(["雨雨", "ab", "\n", "cd"]))
        await pilot.click(TokenView, offset=(5, 0))
        await pilot.pause()
        assert app.view.cursor == 1
        app.view.show(tokens(["new"]))
        assert (app.view.cursor, app.view.text) == (0, "new")
        app.view.show(tokens([]))
        app.view.move(3)
        await pilot.press("down", "right", "end")
        assert app.view.cursor == 0
