"""A long text opens at once, is wrapped whole, and is never obeyed; the help is never cut."""

from __future__ import annotations

import time

import pytest
from rich.text import Text
from textual.widgets import DataTable

from tests.workbench.dialogs.dialog_app import shown, text_of
from tui_gpt.workbench import keys
from tui_gpt.workbench.dialogs.viewer import MOST_LINES, Viewer, join_lines, key_table, log_text


def numbered(count: int, text: str = "") -> str:
    return "\n".join(f"line {number}. {text}" for number in range(count))


@pytest.mark.parametrize("words", ["", "雨雪 " * 20])
async def test_of_fifty_thousand_lines_the_end_opens_at_once(words):
    """Laid out whole, they took 28 s."""
    begun = time.process_time()
    async with shown(Viewer("log", log_text(numbered(50_000, words)), at_end=True)) as (app, pilot):
        await pilot.pause()
        assert "line 49999." in text_of(app)
        assert time.process_time() - begun < 5.0
        await pilot.press("g")
        assert f"line {50_000 - MOST_LINES}." in text_of(app)


async def test_a_long_line_is_wrapped_and_nothing_is_lost():
    async with shown(Viewer("log", log_text("word " * 40 + "end")), (40, 24)) as (app, pilot):
        assert "end" in text_of(app) and text_of(app).count("word") == 40
        await pilot.resize_terminal(60, 12)
        await pilot.pause()
        assert text_of(app).count("word") == 40


async def test_keys_scroll_copy_and_close():
    async with shown(Viewer("log", log_text(numbered(300)))) as (app, pilot):
        await pilot.press("G")
        assert "line 299." in text_of(app)
        await pilot.press("g")
        assert "line 0." in text_of(app)
        await pilot.press("j", "space", "k", "b", "pagedown", "down", "end", "home")
        assert "line 0." in text_of(app)
        await pilot.press("Y")
        assert app.copied == [numbered(300)]
        await pilot.press("q")
        assert app.results == [None] and app.focused.id == "beneath"


async def test_hostile_text_is_shown_and_not_obeyed():
    evil = "\x1b[2J [red]x[/] 雨\u200d \ud800 \t tab\x07"
    async with shown(Viewer("[/]" + evil, log_text(f"{evil}\n" + "x" * 30_000)), (40, 30)) as (app, pilot):
        text = text_of(app)
        assert "\x1b" not in text and "\x07" not in text and "[red]x[/]" in text
        await pilot.press("end")
        assert "xxx" in text_of(app)


async def test_an_empty_text_and_the_smallest_terminals():
    async with shown(Viewer("log", log_text(""))) as (app, pilot):
        for size in ((1, 1), (5, 3), (40, 10), (300, 100)):
            await pilot.resize_terminal(*size)
            await pilot.press("down", "end", "home")
        await pilot.press("pagedown", "escape")
        assert app.results == [None]


async def test_a_table_fills_the_box_and_is_copied_as_it_was_given():
    class Pair(DataTable[str]):
        def on_mount(self) -> None:
            self.add_columns("a", "b")
            self.add_row("one", "two")

    table = Pair()
    async with shown(Viewer("table", table, copied="one\ttwo")) as (app, pilot):
        assert app.focused is table and "two" in text_of(app)
        await pilot.press("j", "G", "Y", "escape")
        assert app.copied == ["one\ttwo"] and app.results == [None]


def test_lines_of_their_own_styles_are_joined():
    text = join_lines([Text("title", "bold"), Text("plain")])
    assert text.plain == "title\nplain" and [(span.start, span.end) for span in text.spans] == [(0, 5)]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
async def test_nothing_of_the_help_is_cut(width):
    groups = keys.grouped({})
    async with shown(Viewer("Keys", key_table(groups)), (width, 400)) as (app, _):
        text = text_of(app)
        for title, entries in groups:
            assert title in text
            for names, sentence in entries:
                assert all(word in text for word in [*names.split(), *sentence.split()])
