"""A long text opens at once, is wrapped whole, and stays where the reader was."""

from __future__ import annotations

import time

from rich.text import Text

from tests.workbench.dialogs.dialog_app import shown, text_of
from tui_gpt.workbench.dialogs.viewer import Viewer, plain_lines
from tui_gpt.workbench.widgets.line_view import LineView


def numbered(count: int, text: str = "") -> str:
    return "\n".join(f"line {number}. {text}" for number in range(count))


async def test_fifty_thousand_lines_open_at_once_at_the_end():
    begun = time.process_time()
    async with shown(Viewer("log", plain_lines(numbered(50_000)), at_end=True)) as (app, pilot):
        await pilot.pause()
        assert "line 49999." in text_of(app)
        assert time.process_time() - begun < 2.0  # 58 s with a RichLog; 0.3 s


async def test_a_long_line_is_wrapped_and_nothing_is_lost():
    async with shown(Viewer("log", plain_lines("word " * 40 + "end")), (40, 24)) as (app, _):
        assert "end" in text_of(app)
        assert text_of(app).count("word") == 40


async def test_the_reader_stays_on_the_same_line_when_the_width_changes():
    viewer = Viewer("log", plain_lines(numbered(400, "some words that wrap " * 6)))
    async with shown(viewer, (120, 20)) as (app, pilot):
        view = app.screen.query_one(LineView)
        view.scroll_to(y=view.max_scroll_y // 2, animate=False, immediate=True)
        await pilot.pause()
        first = text_of(app).splitlines()[1].strip("│ ").split(".")[0]
        for width in (50, 33, 120):
            await pilot.resize_terminal(width, 20)
            await pilot.pause()
            assert first in text_of(app)


async def test_who_reads_the_end_stays_at_the_end():
    viewer = Viewer("log", plain_lines(numbered(400, "some words that wrap " * 6)), at_end=True)
    async with shown(viewer, (120, 20)) as (app, pilot):
        await pilot.resize_terminal(40, 12)
        await pilot.pause()
        assert "line 399." in text_of(app)


async def test_keys_scroll_and_close():
    async with shown(Viewer("log", plain_lines(numbered(300)))) as (app, pilot):
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
    lines = [Text(evil, "bold"), evil, "雨" * 100, "", "x" * 30_000]
    async with shown(Viewer("[/]" + evil, lambda width: lines), (40, 30)) as (app, pilot):
        text = text_of(app)
        assert "\x1b" not in text and "\x07" not in text and "[red]x[/]" in text
        await pilot.press("end")
        assert "xxx" in text_of(app)


async def test_styles_of_lines_are_kept_when_they_wrap():
    lines = [Text("title " * 20, "bold"), Text.assemble("plain ", ("marked", "italic"))]
    async with shown(Viewer("log", lambda width: lines), (40, 12)) as (app, _):
        view = app.screen.query_one(LineView)
        drawn = [[segment for segment in view.render_line(y) if segment.text.strip()] for y in range(5)]
        assert all(segment.style.bold for row in drawn[:4] for segment in row)
        assert [segment.style.italic for segment in drawn[4]] == [None, True]


async def test_an_empty_text_and_the_smallest_terminals():
    async with shown(Viewer("log", plain_lines(""))) as (app, pilot):
        for size in ((1, 1), (5, 3), (40, 10), (300, 100)):
            await pilot.resize_terminal(*size)
            await pilot.press("down", "end", "home")
    async with shown(Viewer("log", lambda width: [])) as (app, pilot):
        await pilot.press("pagedown", "escape")
        assert app.results == [None]


def test_a_line_without_end_is_cut_into_lines_that_wrap_fast():
    (lines,) = [plain_lines("x" * 1_000_000)(80)]
    assert "".join(map(str, lines)) == "x" * 1_000_000 and len(lines) == 250
