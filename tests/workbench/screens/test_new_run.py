"""New run: the form edits the draft, the plan follows, and what cannot stand is said and left out."""

import pytest
from textual.widgets import Button, Input, Select, Static, Switch, Tabs

from tests.workbench import fake_run
from tests.workbench.conftest import settle, text_of, words_in
from tui_gpt.config import to_toml
from tui_gpt.workbench.dialogs.confirm import Confirm
from tui_gpt.workbench.screens import new_run
from tui_gpt.workbench.widgets.setting_row import SettingRow


async def press(app, pilot, *keys):
    await pilot.press(*keys)
    await settle(app, pilot)


def row(app, key):
    return app.screen.query_one(f"#setting-{key.replace('.', '-')}", SettingRow)


async def enter(app, pilot, key, text):
    """Type `text` over the value of a setting."""
    field = row(app, key).query_one(Input)
    field.focus()
    await pilot.pause()
    field.clear()
    await press(app, pilot, *text)


def help_text(app):
    return str(app.screen.query_one("#help", Static).content)


async def test_an_empty_workspace_opens_on_it_with_no_input_focused(opened):
    async with opened() as (app, _):
        assert app.current_mode == "new_run"
        assert not isinstance(app.focused, Input)
        text = text_of(app)
        for name in ("preset", "pico", "corpus", "stories", "n_layer", "Plan", "parameters", "Start training"):
            assert name in text


async def test_a_value_that_is_typed_changes_the_draft_and_the_plan(opened):
    async with opened() as (app, pilot):
        before = app.session.estimate.parameters
        await enter(app, pilot, "model.n_layer", "8")
        assert app.session.draft.config.model.n_layer == 8
        assert app.session.estimate.parameters > before
        assert f"{app.session.estimate.parameters:,}" in text_of(app)


async def test_a_value_that_is_not_allowed_is_marked_said_and_left_out(opened, workspace):
    async with opened() as (app, pilot):
        await enter(app, pilot, "model.n_head", "0")
        assert row(app, "model.n_head").has_class("-invalid")
        assert "n_head" in help_text(app) and "at most 512" in words_in(help_text(app))
        assert app.session.draft.config.model.n_head == 4
        await press(app, pilot, "escape", "s")
        assert "cannot be used" in words_in(text_of(app))
        assert not list((workspace / "runs").iterdir())


async def test_two_values_that_are_right_only_together_are_taken_together(opened):
    async with opened() as (app, pilot):
        await enter(app, pilot, "model.n_head", "3")
        assert app.session.draft.config.model.n_head == 4  # 3 does not divide 128
        assert row(app, "model.n_head").has_class("-invalid")
        await enter(app, pilot, "model.n_embd", "192")
        assert (app.session.draft.config.model.n_head, app.session.draft.config.model.n_embd) == (3, 192)
        assert not row(app, "model.n_head").has_class("-invalid")


async def test_a_nonsense_tokenizer_is_refused(opened):
    async with opened() as (app, pilot):
        await enter(app, pilot, "data.tokenizer", "bananas")
        assert app.session.draft.config.data.tokenizer == "bpe:1024"
        assert row(app, "data.tokenizer").has_class("-invalid")


async def test_sections_hold_every_setting_with_the_control_of_its_kind(opened):
    async with opened() as (app, pilot):
        shown = set()
        for _ in new_run.SECTIONS:
            shown |= {line.field.key for line in app.screen.query(SettingRow)}
            for line in app.screen.query(SettingRow):
                kind = line.field.kind
                wanted = (
                    Switch if kind == "bool" else Select if line.field.choices or line.field.key == "preset" else Input
                )
                assert isinstance(line.control, wanted), line.field.key
            await press(app, pilot, "right")
        from tui_gpt.config import fields

        assert shown == set(fields())


async def test_a_switch_and_a_choice_change_the_draft(opened):
    async with opened() as (app, pilot):
        app.screen.query_one("#sections", Tabs).active = "model"
        await settle(app, pilot)
        row(app, "model.tied").query_one(Switch).focus()
        await press(app, pilot, "enter")
        assert app.session.draft.config.model.tied is True
        row(app, "model.mlp").query_one(Select).value = "swiglu"
        await settle(app, pilot)
        assert app.session.draft.config.model.mlp == "swiglu"


async def test_a_preset_and_a_saved_config_are_chosen_from_one_list(opened, workspace):
    (workspace / "configs").mkdir()
    (workspace / "configs" / "mine.toml").write_text(to_toml({"preset": "nano", "model": {"n_layer": 2}}))
    async with opened() as (app, pilot):
        await press(app, pilot, "right", "left")  # builds the form anew, now that the saved configs are known
        row(app, "preset").query_one(Select).value = "nano"
        await settle(app, pilot)
        assert app.session.draft.config.preset == "nano"
        assert app.session.draft.config.model.n_layer == 6
        row(app, "preset").query_one(Select).value = "mine"
        await settle(app, pilot)
        assert app.session.draft.config.model.n_layer == 2


async def test_reset_puts_one_setting_back_and_asks_before_all_of_them(opened):
    async with opened() as (app, pilot):
        await enter(app, pilot, "model.n_layer", "8")
        await enter(app, pilot, "training.seed", "7")
        await press(app, pilot, "ctrl+r")
        assert app.session.draft.config.training.seed == 1
        assert app.session.draft.config.model.n_layer == 8
        await press(app, pilot, "escape", "ctrl+r")
        assert isinstance(app.screen, Confirm)
        await press(app, pilot, "y")
        assert app.session.draft.config.model.n_layer == 4


async def test_a_draft_is_kept_for_the_next_session(opened):
    async with opened() as (app, pilot):
        await enter(app, pilot, "training.seed", "42")
    async with opened() as (app, pilot):
        assert app.session.draft.config.training.seed == 42


async def test_finding_a_setting_shows_it_by_its_full_name(opened):
    async with opened() as (app, pilot):
        await press(app, pilot, "slash", *"clip", "enter")
        assert [line.field.key for line in app.screen.query(SettingRow)] == ["optimizer.grad_clip"]
        assert "optimizer.grad_clip" in text_of(app)
        await press(app, pilot, "escape")
        assert row(app, "preset")


async def test_saving_names_the_file_and_the_command(opened, workspace):
    async with opened(size=(160, 40)) as (app, pilot):
        await press(app, pilot, "S", *"mine", "enter")
        assert (workspace / "configs" / "mine.toml").exists()
        assert "gpt-tui train --config" in words_in(text_of(app))


@pytest.mark.parametrize("broken", ["preset = [", "[model]\nn_layer = 0\n", "x = " + "[" * 5000])
async def test_toml_from_the_editor_that_is_wrong_can_be_edited_again(opened, monkeypatch, broken):
    answers = [broken, "[model]\nn_layer = 7\n"]

    async def edited(app, text):
        return answers.pop(0)

    monkeypatch.setattr(new_run, "edit_text", edited)
    async with opened() as (app, pilot):
        await press(app, pilot, "e")
        assert isinstance(app.screen, Confirm)
        await press(app, pilot, "a")
        assert app.session.draft.config.model.n_layer == 7


@pytest.mark.parametrize("editor", ["no-such-editor", 'vim "'])
async def test_an_editor_that_cannot_run_is_said(opened, monkeypatch, editor):
    monkeypatch.setenv("VISUAL", editor)
    async with opened() as (app, pilot):

        class Suspended:
            def __enter__(self): ...
            def __exit__(self, *_): ...

        monkeypatch.setattr(app, "suspend", Suspended)
        await press(app, pilot, "e")
        assert editor.split()[0] in words_in(text_of(app))
        assert not isinstance(app.screen, Confirm)


async def test_start_is_a_button_too(opened, monkeypatch):
    started = []

    def start(runs, corpus, asked, **_):
        started.append(asked)
        return fake_run.running(runs, steps=3).folder

    monkeypatch.setattr("tui_gpt.launch.start", start)
    async with opened() as (app, pilot):
        await pilot.click(Button)
        await settle(app, pilot)
        assert len(started) == 1
        assert app.current_mode == "dashboard"


async def test_keys_reach_the_corpora_and_the_token_view(opened, monkeypatch):
    async with opened() as (app, pilot):
        await press(app, pilot, "b")
        assert app.current_mode == "corpora"
        await press(app, pilot, "escape", "v")
        assert type(app.screen).__name__ == "TokensScreen"
        await press(app, pilot, "escape")
        assert app.current_mode == "new_run"


@pytest.mark.parametrize("size", [(20, 6), (40, 10), (80, 24), (200, 60), (300, 100)])
async def test_it_fits_every_size(opened, size):
    async with opened(size=size) as (app, pilot):
        await press(app, pilot, "right", "tab", "tab")
        assert text_of(app)
