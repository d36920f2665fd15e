"""The app: which screen it opens on, how one gets from screen to screen, and what it tells the user."""

import pytest
from textual import events
from textual.widgets import Input, OptionList
from textual.widgets._footer import FooterKey

from tests.workbench import fake_run
from tests.workbench.conftest import settle, text_of, words_in
from tui_gpt.workbench import app_messages
from tui_gpt.workbench.dialogs.prompt import Prompt
from tui_gpt.workbench.dialogs.viewer import Viewer
from tui_gpt.workbench.palette import ActionPalette, ActionProvider
from tui_gpt.workbench.screens.work_screen import WorkScreen


@pytest.fixture
def runs(workspace):
    return workspace / "runs"


async def press(app, pilot, *keys):
    await pilot.press(*keys)
    await settle(app, pilot)


async def test_it_opens_on_the_live_run(opened, runs):
    fake_run.finished(runs, "20261121-000000-pico-newer")
    live = fake_run.running(runs, steps=30)
    async with opened() as (app, _):
        assert app.current_mode == "dashboard"
        assert app.session.monitor.folder.id == live.folder.id
        assert "● 1 live" in text_of(app)


async def test_without_a_live_run_it_opens_on_the_newest(opened, runs):
    fake_run.finished(runs, "20261119-000000-pico-older")
    newest = fake_run.finished(runs, "20261120-000000-pico-newer")
    async with opened() as (app, _):
        assert app.current_mode == "dashboard"
        assert app.session.monitor.folder.id == newest.folder.id


async def test_several_live_runs_open_as_a_list(opened, runs):
    fake_run.running(runs, steps=5, name="one")
    fake_run.running(runs, steps=5, name="two")
    async with opened() as (app, _):
        assert app.current_mode == "runs"
        assert "● 2 live" in text_of(app)


async def test_a_run_named_on_the_command_line_opens_whatever_its_state(opened, runs):
    fake_run.finished(runs)
    fake_run.running(runs, steps=5)
    async with opened("tiny") as (app, _):
        assert app.session.monitor.folder.id.endswith("tiny")


async def test_a_run_that_is_not_there_is_said(opened):
    async with opened("nonsense") as (app, _):
        assert "nonsense" in words_in(text_of(app))


@pytest.mark.parametrize("what", ["a file", "unreadable"])
async def test_a_runs_folder_that_cannot_be_read_is_said(opened, workspace, monkeypatch, what):
    (workspace / "runs").rmdir()
    if what == "a file":
        (workspace / "runs").write_text("not a folder")
    else:

        def refuse(runs):
            raise PermissionError(13, "Permission denied", str(runs))

        for name in ("tui_gpt.workbench.app.list_runs", "tui_gpt.workbench.state.session.list_runs"):
            monkeypatch.setattr(name, refuse)
    async with opened() as (app, _):
        assert app.current_mode == "new_run"
        assert ("permission denied" in text_of(app)) == (what == "unreadable")


async def test_a_draft_that_is_damaged_is_said_and_the_default_shown(opened, workspace):
    (workspace / "configs").mkdir()
    (workspace / "configs" / "draft.toml").write_text("preset = [")
    async with opened() as (app, _):
        assert any("draft.toml" in notice.message for notice in app._notifications)
        assert app.session.draft.config.preset == "pico"


async def test_every_screen_is_reached_by_its_function_key(opened, runs):
    fake_run.finished(runs)
    async with opened() as (app, pilot):
        for number, name in enumerate(("dashboard", "new_run", "runs", "talk", "corpora"), 1):
            await press(app, pilot, f"f{number}")
            assert app.current_mode == name
            assert app.screen.query(FooterKey), f"the footer of {name} is empty"


@pytest.mark.parametrize("size", [(50, 24), (80, 24), (120, 40)])
async def test_the_footer_shows_whole_keys_and_always_help(opened, runs, size):
    fake_run.finished(runs)
    async with opened(size=size) as (app, pilot):
        for number in range(1, 6):
            await press(app, pilot, f"f{number}")
            footer = text_of(app).splitlines()[-1]
            for key in app.screen.query(FooterKey):
                assert f"{key.key_display} {key.description}" in footer
            assert "? help" in footer or number == 4  # a letter is text in Talk


async def test_the_footer_follows_the_terminal_s_width(opened, runs):
    fake_run.finished(runs)
    async with opened(size=(60, 24)) as (app, pilot):
        await press(app, pilot, "f3")
        assert "metric" not in text_of(app).splitlines()[-1]
        await pilot.resize_terminal(160, 24)
        await settle(app, pilot)
        assert "m metric" in text_of(app).splitlines()[-1]


async def test_tabs_can_be_clicked_and_stay_right_when_one_comes_back(opened, runs):
    fake_run.finished(runs)
    async with opened() as (app, pilot):
        await pilot.click("HeaderBar #runs")
        await settle(app, pilot)
        assert app.current_mode == "runs"
        await press(app, pilot, "f1")
        assert app.screen.query_one("HeaderBar Tabs").active == "dashboard"


async def test_the_palette_finds_a_command_by_its_usual_words(opened):
    async with opened() as (app, pilot):
        await pilot.press("ctrl+p", *"colour")
        for _ in range(100):
            await pilot.pause(0.02)
            if "Choose the theme" in text_of(app):
                break
        assert "Choose the theme" in text_of(app)
        await pilot.press("enter")
        for _ in range(100):
            await pilot.pause(0.02)
            if "paper" in text_of(app):
                break
        assert "paper" in text_of(app)
        await pilot.press(*"paper", "enter")
        await settle(app, pilot)
        assert app.theme == app.session.preferences.theme == "paper"


async def test_a_theme_is_kept_for_the_next_session(opened):
    async with opened() as (app, _):
        app.theme = app.session.preferences.theme = "paper"
    from tui_gpt.workbench.state.preferences import load_preferences, preferences_path

    assert load_preferences(preferences_path()).theme == "paper"


async def test_help_shows_the_users_own_keys_and_is_never_cut(opened, tmp_path):
    keys_file = tmp_path / "config" / "gpt-tui" / "keys.toml"
    keys_file.parent.mkdir(parents=True)
    keys_file.write_text('prepare = "f12"\nnonsense = "x"\n')
    async with opened(size=(80, 24)) as (app, pilot):
        assert "unknown action 'nonsense'" in words_in(text_of(app))
        await press(app, pilot, "?")
        assert isinstance(app.screen, Viewer)
        assert "f12" in text_of(app)
        await press(app, pilot, "?", "q")
        assert app.current_mode == "new_run"


async def test_keys_pressed_twice_open_one_dialog(opened, runs):
    fake_run.finished(runs)
    async with opened() as (app, pilot):
        for keys in (("colon", "colon"), ("?", "?"), ("slash", "slash")):
            await pilot.press(*keys)
            await settle(app, pilot)
            await pilot.press("escape", "escape", "escape")
            await settle(app, pilot)
            assert app.screen is app.screen_stack[0]


async def test_a_filter_a_palette_and_a_filter_again(opened, runs):
    fake_run.finished(runs)
    async with opened() as (app, pilot):
        await pilot.press("slash")
        await settle(app, pilot)
        assert isinstance(app.screen, Prompt)
        await pilot.press("ctrl+p")
        await settle(app, pilot)
        await pilot.press("escape", "escape")
        await settle(app, pilot)
        await pilot.press("slash")
        await settle(app, pilot)
        assert isinstance(app.screen, Prompt)


async def test_a_notice_is_made_safe(opened):
    async with opened() as (app, pilot):
        app.notify("[red]x[/red] \x1b[31m\u202egpj", severity="error")
        await pilot.pause()
        assert "✗ [red]x[/red]" in text_of(app)
        assert "\x1b" not in text_of(app) and "\u202e" not in text_of(app)


async def test_copying_goes_to_a_file_too_and_a_read_only_home_is_no_error(opened, monkeypatch, tmp_path):
    async with opened() as (app, pilot):
        app.post_message(app_messages.CopyText("some text"))
        await settle(app, pilot)
        assert (tmp_path / "state" / "gpt-tui" / "copied.txt").read_text() == "some text"
        monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
        app.post_message(app_messages.CopyText("more text"))
        await settle(app, pilot)
        assert "copied 9 characters" in words_in(text_of(app))


async def test_the_theme_picker_lists_textuals_themes_and_ours(opened):
    async with opened() as (app, pilot):
        app.action_change_theme()
        await settle(app, pilot)
        assert app.screen.query_one(OptionList).option_count == len(app.available_themes)


async def test_a_damaged_theme_file_of_the_users_is_said(opened, tmp_path):
    folder = tmp_path / "config" / "gpt-tui" / "themes"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('primary = "no color"')
    (folder / "good.toml").write_text('base = "nord"\nprimary = "#ff0000"')
    async with opened() as (app, _):
        assert any("mine.toml" in notice.message for notice in app._notifications)
        assert "good" in app.available_themes


async def test_closing_a_dialog_twice_never_closes_the_screen_below(opened):
    async with opened() as (app, pilot):
        app.action_command_palette()
        await pilot.pause()
        app.pop_screen()
        app.pop_screen()
        await pilot.pause()
        assert app.current_mode == "new_run" and len(app.screen_stack) == 1


async def test_page_keys_in_the_palette_before_it_lists_anything_are_no_error(opened):
    async with opened() as (app, pilot):
        await pilot.press("ctrl+p", "pageup", "pagedown", "pageup")
        await settle(app, pilot)
        assert app.is_running


@pytest.mark.parametrize("keys", [("ctrl+p", *"theme", "enter", "enter"), ("slash", "x", "enter", "enter")])
async def test_a_dialog_that_is_answered_twice_takes_the_first_answer(opened, runs, keys):
    fake_run.finished(runs)
    async with opened() as (app, pilot):
        await pilot.press(*keys)
        await settle(app, pilot)
        assert app.is_running


async def test_a_second_answer_before_the_dialog_has_gone_is_ignored(opened):
    async with opened() as (app, pilot):
        answers = []
        dialog = Prompt("A name")
        app.push_screen(dialog, answers.append)
        await pilot.pause()
        dialog.dismiss("one")
        dialog.dismiss("two")
        await pilot.pause()
        assert answers == ["one"]


async def test_what_is_typed_while_the_palette_closes_starts_no_search(opened, monkeypatch):
    searched = []

    async def search(self, query):
        searched.append(query)
        return
        yield

    monkeypatch.setattr(ActionProvider, "search", search)
    async with opened() as (app, pilot):
        app.action_command_palette()
        await pilot.pause()
        palette = app.screen
        palette.dismiss()
        palette.post_message(Input.Changed(palette.query_one(Input), "theme"))
        await settle(app, pilot)
        assert not searched


async def test_a_palette_left_open_on_another_screen_is_no_error(opened):
    async with opened() as (app, pilot):
        await press(app, pilot, "ctrl+p")
        app.action_show_screen("runs")
        await settle(app, pilot)
        await press(app, pilot, "ctrl+p")
        assert app.is_running and app.current_mode == "runs" and isinstance(app.screen, ActionPalette)


async def test_a_palette_that_a_screen_covers_at_once_is_closed_when_one_comes_back(opened):
    async with opened() as (app, pilot):
        app.action_command_palette()
        app.action_show_screen("runs")
        await settle(app, pilot)
        assert app.is_running and app.current_mode == "runs"
        await press(app, pilot, "f2")
        assert isinstance(app.screen, WorkScreen)
        await press(app, pilot, "ctrl+p")
        assert isinstance(app.screen, ActionPalette)


async def test_a_click_from_before_the_terminal_shrank_is_no_error(opened):
    async with opened() as (app, pilot):
        await press(app, pilot, "ctrl+p")
        palette = app.screen
        palette.post_message(events.Click(palette, 5, 90, 0, 0, 1, False, False, False, screen_x=5, screen_y=90))
        await settle(app, pilot)
        assert app.is_running
