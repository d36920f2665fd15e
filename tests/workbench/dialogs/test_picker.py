"""A picker is narrowed by typing, and moved in by arrows, mouse and wheel."""

from __future__ import annotations

from textual.widgets import Input, OptionList

from tests.workbench.dialogs.dialog_app import shown, text_of
from tui_gpt.workbench.dialogs.picker import Item, Picker, matching, move_highlight

ITEMS = [Item(f"theme {n}", "dark" if n % 2 else "light", n) for n in range(60)]


def test_items_that_begin_with_the_text_come_first():
    items = [Item("val loss", "", 1), Item("loss", "train", 2), Item("other", "loss", 3)]
    assert [item.value for item in matching(items, "loss")] == [2, 1, 3]
    assert [item.value for item in matching(items, "TRAIN loss")] == [2]


async def test_it_opens_on_the_current_item_and_enter_chooses():
    async with shown(Picker("Theme", ITEMS, current=41)) as (app, pilot):
        assert "theme 41" in text_of(app)
        await pilot.press("down", "enter")
        assert app.results == [42]


async def test_typing_narrows_and_what_matches_nothing_chooses_nothing():
    async with shown(Picker("Theme", ITEMS)) as (app, pilot):
        await pilot.press(*"theme 17")
        await pilot.pause()
        assert "theme 18" not in text_of(app)
        await pilot.press(*"zzz")
        await pilot.press("enter", "down", "up", "pagedown", "enter")
        assert app.results == [] and "nothing matches" in text_of(app)
        await pilot.press("backspace", "backspace", "backspace", "enter")
        assert app.results == [17]


async def test_tab_keeps_the_focus_in_the_input_and_letters_are_text():
    async with shown(Picker("Theme", ITEMS)) as (app, pilot):
        await pilot.press("tab", "shift+tab", "q", "?", ":")
        assert app.screen.query_one(Input).value == "q?:"
        await pilot.press("escape")
        assert app.results == [None] and app.focused.id == "beneath"


async def test_a_click_chooses_and_the_input_keeps_the_focus_until_then():
    async with shown(Picker("Theme", ITEMS)) as (app, pilot):
        await pilot.click(OptionList, offset=(4, 3))
        assert app.results == [3]


async def test_an_empty_picker_can_be_left():
    async with shown(Picker("Checkpoint", [])) as (app, pilot):
        await pilot.press("enter", "down", "escape")
        assert app.results == [None]


async def test_details_stand_below_one_another_behind_wide_and_hostile_labels():
    items = [Item("雨雨", "one", 1), Item("[b]x\x1b[2J", "[red]two", 2), Item("y" * 300, "three", 3)]
    async with shown(Picker("[/oops]", items), (100, 24)) as (app, _):
        lines = text_of(app).splitlines()
        assert any("[/oops]" in line for line in lines)
        one, two = (next(line for line in lines if word in line) for word in ("one", "[red]two"))
        assert one.index("one") + len("雨雨") == two.index("[red]two")  # two cells for each of them
        assert "[b]x�[2J" in two
        assert sum("yyy" in line for line in lines) == 1


async def test_it_fits_a_small_terminal_and_a_resize():
    async with shown(Picker("Theme", ITEMS, current=30), (40, 10)) as (app, pilot):
        assert "theme 30" in text_of(app) and "esc cancels" in text_of(app)
        for size in ((20, 5), (1, 1), (120, 40), (40, 10)):
            await pilot.resize_terminal(*size)
        await pilot.press("enter")
        assert app.results == [30]


def test_a_page_key_that_comes_before_the_list_is_laid_out_moves_the_highlight():
    options = OptionList("one", "two", "three")
    move_highlight(options, 10)
    assert options.highlighted == 2
    move_highlight(options, -10)
    assert options.highlighted == 0
    move_highlight(OptionList(), 1)
