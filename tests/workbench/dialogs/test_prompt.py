"""A prompt takes a line that is right, and says what is wrong with one that is not."""

from __future__ import annotations

import pytest
from textual import events
from textual.widgets import Input

from tests.workbench.dialogs.dialog_app import shown, text_of
from tui_gpt.workbench.dialogs.picker import Picker
from tui_gpt.workbench.dialogs.prompt import Prompt


def check(text: str) -> str:
    return "" if text.isdigit() else f"{text!r} is not a number [red]\x1b"


async def test_what_is_wrong_is_said_while_typing_and_cannot_be_entered():
    async with shown(Prompt("Steps", value="1", hint="how many", validate=check)) as (app, pilot):
        assert "how many" in text_of(app) and "Steps" in text_of(app)
        await pilot.press("x", "enter")
        assert app.results == []
        assert "✗ '1x' is not a number [red]�" in text_of(app)
        await pilot.press("backspace", "2", "enter")
        assert app.results == ["12"] and app.focused.id == "beneath"


async def test_each_valid_text_on_the_way_is_passed_on():
    seen: list[str] = []
    async with shown(Prompt("Filter", validate=check, on_change=seen.append)) as (_, pilot):
        await pilot.press("1", "2", "x", "backspace")
        assert seen == ["1", "12", "12"]


async def test_escape_cancels_and_other_keys_are_text():
    async with shown(Prompt("Filter")) as (app, pilot):
        await pilot.press("q", "colon", "question_mark", "slash", "tab")
        assert app.screen.query_one(Input).value == "q:?/"
        await pilot.press("escape")
        assert app.results == [None]


async def test_suggestions_are_accepted_with_the_right_key():
    async with shown(Prompt("Tag", suggestions=["baseline"])) as (app, pilot):
        await pilot.press("b", "a")
        await pilot.pause(0.05)
        await pilot.press("right", "enter")
        assert app.results == ["baseline"]


async def test_a_hostile_title_and_value_are_shown_safely_in_a_small_terminal():
    async with shown(Prompt("[/x] " + "y" * 300, value="a\x1b[2Jb\nc", hint="[bold]"), (40, 10)) as (app, pilot):
        text = text_of(app)
        assert "[/x] yyy" in text and "\x1b" not in text and "[bold]" in text
        assert app.screen.query_one(Input).value == "a�[2Jb¶c"
        await pilot.resize_terminal(1, 1)
        await pilot.resize_terminal(80, 24)
        await pilot.press("escape")
        assert app.results == [None]


@pytest.mark.parametrize("dialog", [Prompt("Filter"), Picker("Theme", [])])
async def test_a_letter_with_alt_is_no_text(dialog):
    """Terminals without the kitty protocol send alt+r as the letter r with a prefix."""
    async with shown(dialog) as (app, pilot):
        app.post_message(events.Key("alt+r", "r"))
        await pilot.press("x")
        assert app.screen.query_one(Input).value == "x"
