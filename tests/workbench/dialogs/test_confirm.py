"""A question changes nothing unless one of its answers is given."""

from __future__ import annotations

import pytest

from tests.workbench.dialogs.dialog_app import shown, text_of
from tui_gpt.workbench.dialogs.confirm import Answer, Confirm

ANSWERS = [Answer("y", "delete it", "delete", is_destructive=True), Answer("w", "wait", "wait")]


def question(text: str = "It is 3 GB.", title: str = "Delete the run") -> Confirm:
    return Confirm(title, text, ANSWERS)


@pytest.mark.parametrize("keys", [["enter"], ["escape"], ["x", "d", "q", "enter"], ["tab", "escape"]])
async def test_cancel_is_the_default(keys):
    async with shown(question()) as (app, pilot):
        await pilot.press(*keys)
        assert app.results == [""]
        assert app.focused is not None and app.focused.id == "beneath"


@pytest.mark.parametrize(("keys", "value"), [(["y"], "delete"), (["w"], "wait"), (["up", "enter"], "wait")])
async def test_an_answer_is_given_by_its_key_or_button(keys, value):
    async with shown(question()) as (app, pilot):
        await pilot.press(*keys)
        assert app.results == [value]


async def test_an_answer_can_be_clicked():
    async with shown(question()) as (app, pilot):
        await pilot.click("#answer-wait")
        assert app.results == ["wait"]


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (24, 8)])
async def test_a_long_text_scrolls_and_every_answer_stays_in_sight(size):
    async with shown(question("A sentence that says what happens. " * 60), size) as (app, pilot):
        await pilot.pause()
        text = text_of(app)
        assert "[y] delete it" in text and "[w] wait" in text and "[esc] cancel" in text
        before = text
        await pilot.press("pagedown")
        assert text_of(app) != before
        await pilot.resize_terminal(60, 12)
        await pilot.pause()
        assert "[esc] cancel" in text_of(app)


async def test_text_from_outside_is_shown_as_it_is():
    evil = "[red]name[/red] [/] \x1b[2J 雨" + "x" * 300
    async with shown(Confirm(evil, evil, [Answer("y", evil, "yes")])) as (app, _):
        text = text_of(app)
        assert "[red]name[/red] [/] �[2J 雨" in text and "\x1b" not in text
        assert "[y] [red]name" in text
