"""The dashboard, driven by keys on run folders that a fake trainer writes."""

import pytest
from textual.widgets import Input

from tests.workbench import fake_run
from tests.workbench.conftest import settle, text_of
from tui_gpt.run import command_files
from tui_gpt.workbench.dialogs import Picker, Question, Reader


@pytest.fixture
def runs(workspace):
    return workspace / "runs"


async def press(app, pilot, *keys):
    await pilot.press(*keys)
    await settle(app, pilot)


async def test_it_opens_on_the_draft_with_no_input_focused_and_says_what_starts(opened):
    async with opened() as (app, _):
        assert app.feed is None
        assert not isinstance(app.focused, Input)
        text = text_of(app)
        assert "○ no run · s starts pico on stories · 4000 steps" in text
        for name in ("Config", "Corpus", "Loss", "Throughput", "Gradient norm", "Machine", "Samples", "Events", "Plan"):
            assert name in text


async def test_it_opens_on_the_live_run(opened, runs):
    run = fake_run.running(runs, steps=300)
    async with opened() as (app, _):
        assert app.feed.folder.id == run.folder.id
        assert "● running · step 300/4000 · loss " in text_of(app)


@pytest.mark.parametrize("whole", [True, False])
async def test_how_far_above_the_floor_the_model_is_stands_beside_it_where_both_score_the_same(opened, runs, whole):
    run = fake_run.running(runs)
    run.introduce(floor_note="" if whole else fake_run.FLOOR_NOTE)
    async with opened(size=(120, 40)) as (app, _):
        above = run.folder.read_evals()[-1].val_loss / 0.92 - 1
        assert (f"floor 0.920   {above:+.1%} above it" in text_of(app)) == whole
        assert ("context holds less than a story" in text_of(app)) != whole


async def test_several_live_runs_open_as_a_list(opened, runs):
    fake_run.running(runs, steps=5, name="one")
    fake_run.running(runs, steps=5, name="two")
    async with opened() as (app, _):
        assert app.screen.place == "runs"


async def test_a_run_asked_for_by_name_opens_whatever_its_state(opened, runs):
    fake_run.finished(runs)
    async with opened("tiny") as (app, _):
        assert "✓ finished · step 600/600" in text_of(app)


async def test_a_run_that_is_not_there_is_said(opened):
    async with opened("nonsense") as (app, _):
        assert "matches 'nonsense'" in text_of(app)


async def test_pause_is_asked_shown_and_acknowledged(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "p")
        assert "pausing…" in text_of(app)
        assert [command.name for command in run.answer()] == ["pause"]
        run.say("paused")
        await settle(app, pilot)
        assert "⏸ paused" in text_of(app)
        await press(app, pilot, "p")
        assert [command.name for command in run.answer()] == ["resume"]


async def test_a_second_press_asks_nothing_twice(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "c", "c")
        assert len(run.answer()) == 1


@pytest.mark.parametrize(("key", "name"), [("c", "checkpoint"), ("g", "sample")])
async def test_keys_become_commands(opened, runs, key, name):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, key)
        assert [(command.name, command.sender) for command in run.answer()] == [(name, "workbench")]


async def test_a_refusal_is_shown(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "c")
        run.answer(ok=False, message="the disk is full")
        await settle(app, pilot)
        await pilot.pause()
        assert "the disk is full" in text_of(app)


async def test_commands_without_a_live_run_say_so(opened, runs):
    fake_run.finished(runs)
    async with opened("tiny") as (app, pilot):
        await press(app, pilot, "p")
        assert "cannot pause" in text_of(app)


async def test_stop_asks_saves_first_and_goes_further_only_when_told(opened, runs, monkeypatch):
    run = fake_run.running(runs, steps=20)
    killed = []
    monkeypatch.setattr(command_files, "signal_trainer", lambda folder, sig: killed.append(sig.name))
    async with opened() as (app, pilot):
        await press(app, pilot, "X")
        assert isinstance(app.screen, Question)
        await press(app, pilot, "escape")
        assert run.answer() == []
        await press(app, pilot, "X", "s")
        assert "stopping…" in text_of(app)
        await press(app, pilot, "X")
        assert "has not answered" in text_of(app)
        await press(app, pilot, "w")
        assert killed == []
        await press(app, pilot, "X", "t")
        assert killed == ["SIGTERM"]
        assert [(command.name, command.now) for command in run.answer()] == [("stop", False)]


async def test_quitting_with_a_live_run_asks_and_detaches_by_default(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "q")
        assert isinstance(app.screen, Question)
        await press(app, pilot, "escape")
        assert app.is_running
        await pilot.press("q", "enter")
        await pilot.pause()
    assert app.return_code == 0
    assert run.answer() == []


async def test_quitting_can_stop_the_run(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (_, pilot):
        await pilot.press("q", "s")
        await pilot.pause()
    assert [command.name for command in run.answer()] == ["stop"]


async def test_an_end_is_noticed_once(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        run.fail("out of memory")
        await settle(app, pilot)
        await pilot.pause()
        text = text_of(app)
        assert "✗ failed · step 20/4000" in text
        assert "failed: out of memory" in text
        await press(app, pilot, "l")
        assert isinstance(app.screen, Reader)
        assert "loss is nan" in text_of(app)


async def test_panes_are_focused_maximised_and_left_by_escape_in_order(opened, runs):
    fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "7")
        assert app.screen.active == "samples"
        await press(app, pilot, "z")
        assert [pane.key for pane in app.screen.panes.values() if pane.display] == ["samples"]
        await press(app, pilot, "/", "k")
        assert isinstance(app.focused, Input)
        await press(app, pilot, "escape")
        assert app.view.maximised
        assert app.focused is None
        await press(app, pilot, "escape")
        assert not app.view.maximised


async def test_letters_go_to_the_input_that_has_the_focus(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "8", "/")
        await press(app, pilot, "p", "c", "q")
        assert app.screen.query_one("#prompt-input", Input).value == "pcq"
        assert run.answer() == []


async def test_a_setting_is_edited_checked_as_typed_and_kept(opened):
    async with opened() as (app, pilot):
        await press(app, pilot, "1", "down", "down", "enter")
        assert "model.n_layer" in text_of(app)
        await press(app, pilot, "9", "9", "9")
        assert "at most 512" in text_of(app)
        await press(app, pilot, "enter")
        assert app.draft.config.model.n_layer == 4
        await press(app, pilot, "ctrl+u", "6", "enter")
        assert app.draft.config.model.n_layer == 6
        assert "•n_layer" in text_of(app)
        assert "1,441,792" in text_of(app)  # the plan follows: parameters of six layers
        await press(app, pilot, "backspace")
        assert app.draft.config.model.n_layer == 4


async def test_a_choice_is_picked_and_a_flag_is_flipped(opened):
    async with opened() as (app, pilot):
        await press(app, pilot, "1", "down", "enter")
        assert isinstance(app.screen, Picker)
        await press(app, pilot, "g", "p", "t", "enter")
        assert app.draft.config.model.architecture == "gpt2"
        app.screen.panes["config"].cursor = list(app.screen.panes["config"].shown).index(
            next(item for item in app.screen.panes["config"].shown if item.key == "checkpoints.best")
        )
        await press(app, pilot, "enter")
        assert app.draft.config.checkpoints.best is False


async def test_a_preset_is_chosen_from_a_list(opened):
    async with opened() as (app, pilot):
        await press(app, pilot, "1", "enter", "n", "a", "n", "o")
        assert "> nano" in text_of(app)  # what is typed is seen
        await press(app, pilot, "enter")
        assert app.draft.config.preset == "nano"


async def test_the_view_answers_its_keys(opened, runs):
    fake_run.running(runs, steps=300)
    async with opened() as (app, pilot):
        await press(app, pilot, "y", "x", "+")
        assert (app.view.log_y, app.view.axis, app.view.weight) == (True, "tokens", 0.97)
        assert "x tokens · smooth 0.97 · log-y" in text_of(app)
        await press(app, pilot, "0")
        assert "x tokens · raw · log-y" in text_of(app)


async def test_freezing_stops_the_picture_and_not_the_run(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "space")
        run.train(5)
        run.say("running", "training")
        await settle(app, pilot)
        assert "view frozen" in text_of(app)
        assert "step 20/4000" in text_of(app)
        await press(app, pilot, "space")
        assert "step 25/4000" in text_of(app)


async def test_hostile_samples_and_names_are_shown_harmless(opened, runs):
    run = fake_run.running(runs, steps=250)
    run.sample(text="\x1b[2J\x1b]0;owned\x07[bold red]markup[/] \u202eevil " + "x" * 10_000, prompt="[/]")
    run.tell("warning", "odd \x1b[31m message [/blink]", "warning")
    async with opened() as (app, pilot):
        await press(app, pilot, "7", "z")
        text = text_of(app)
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "[bold red]markup[/]" in text
        await press(app, pilot, "8")
        assert "message [/blink]" in text_of(app)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 0.0, -2.0])
@pytest.mark.parametrize("log_y", [False, True])
async def test_any_loss_is_drawn(opened, runs, loss, log_y):
    run = fake_run.running(runs, steps=30)
    run.train(3, loss=loss)
    async with opened() as (app, pilot):
        app.view.log_y = log_y
        await press(app, pilot, "x", "x", "y", "y")
        assert "step 33/4000" in text_of(app) or "step 30/4000" in text_of(app)


async def test_a_run_that_diverged_from_its_first_step_has_no_chart_but_words(opened, runs):
    run = fake_run.running(runs, steps=0)
    run.train(5, loss=float("nan"))
    async with opened() as (app, _):
        assert "no loss here is a number" in text_of(app)
        assert "not a number since step 1" in text_of(app)


async def test_a_vanished_run_is_said_and_does_no_harm(opened, runs):
    import shutil

    run = fake_run.running(runs, steps=30)
    async with opened() as (app, pilot):
        shutil.rmtree(run.folder.path)
        await settle(app, pilot)
        assert "✗ gone" in text_of(app)
        await press(app, pilot, "p")
        await press(app, pilot, "l")
        assert "no log yet" in text_of(app)


async def test_any_size_down_to_twenty_by_five_and_back(opened, runs):
    fake_run.running(runs, steps=300)
    async with opened() as (app, pilot):
        for size in ((20, 5), (1, 1), (80, 24), (33, 9), (200, 60), (120, 40)):
            await pilot.resize_terminal(*size)
            await settle(app, pilot)
            for key in "123456789":
                await pilot.press(key)
        assert "● running · step 300/4000" in text_of(app)
        assert "Gradient norm" in text_of(app)


async def test_eighty_by_twenty_four_has_the_panes_as_tabs(opened, runs):
    fake_run.running(runs, steps=300)
    async with opened(size=(80, 24)) as (app, pilot):
        assert "3 Loss" in text_of(app)
        assert "1,048,576" not in text_of(app)
        await press(app, pilot, "9")
        assert "1,048,576" in text_of(app)


async def test_ascii_terminals_get_ascii(opened, runs):
    fake_run.running(runs, steps=300)
    async with opened(glyphs="ascii") as (app, pilot):
        assert text_of(app).isascii()
        await press(app, pilot, "?")
        assert text_of(app).isascii()


async def test_help_names_every_key_and_the_palette_runs_what_is_found(opened):
    async with opened(size=(120, 60)) as (app, pilot):
        await press(app, pilot, "?")
        assert "save a full checkpoint now" in text_of(app)
        await press(app, pilot, "escape", ":")
        for char in "logarithmic":
            await pilot.press(char)
        await press(app, pilot, "enter")
        assert app.view.log_y


async def test_a_users_key_map_moves_a_key(opened, tmp_path):
    (tmp_path / "config" / "gpt-tui").mkdir(parents=True)
    (tmp_path / "config" / "gpt-tui" / "keys.toml").write_text('log_y = "f6"\nnonsense = "k"\n')
    async with opened() as (app, pilot):
        assert "nonsense is no action" in text_of(app)
        await press(app, pilot, "y")
        assert not app.view.log_y
        await press(app, pilot, "f6")
        assert app.view.log_y


async def test_the_view_is_remembered(opened):
    async with opened() as (app, pilot):
        await press(app, pilot, "y", "4", "q")
    async with opened() as (app, _):
        assert (app.view.log_y, app.view.pane) == (True, "throughput")


async def test_copying_leaves_a_file_for_terminals_without_a_clipboard(opened, runs, tmp_path):
    fake_run.running(runs, steps=250)
    async with opened() as (app, pilot):
        await press(app, pilot, "7", "Y")
        assert "red kite" in app.clipboard
        assert "red kite" in (tmp_path / "state" / "gpt-tui" / "copied.txt").read_text()


async def test_a_config_is_saved_under_a_name(opened, workspace):
    async with opened() as (app, pilot):
        await press(app, pilot, "w")
        for char in "mine":
            await pilot.press(char)
        await press(app, pilot, "enter")
        assert (workspace / "configs" / "mine.toml").exists()


async def test_themes_change_without_a_restart(opened, runs):
    fake_run.running(runs, steps=50)
    async with opened() as (app, pilot):
        for name in ("paper", "terminal", "dusk"):
            app.use_theme(name)
            await settle(app, pilot)
            assert "● running" in text_of(app)
