"""The dashboard, driven by keys and the mouse on run folders that a fake trainer writes."""

from __future__ import annotations

import threading

import pytest
from textual.widgets import Input, Tabs

from tests.workbench import fake_run
from tests.workbench.conftest import settle, text_of, words_in
from tui_gpt.workbench import app_messages, keys
from tui_gpt.workbench.dialogs.picker import Picker
from tui_gpt.workbench.dialogs.prompt import Prompt
from tui_gpt.workbench.dialogs.viewer import Viewer
from tui_gpt.workbench.panes.dashboard.events import EventsPane
from tui_gpt.workbench.panes.dashboard.samples import SamplesPane
from tui_gpt.workbench.panes.pane import Pane
from tui_gpt.workbench.screens.dashboard import PANES
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.widgets.chart import Chart
from tui_gpt.workbench.widgets.status_bar import StatusBar


@pytest.fixture
def runs(workspace):
    return workspace / "runs"


async def press(app, pilot, *pressed):
    await pilot.press(*pressed)
    await settle(app, pilot)


def footer(app) -> str:
    return text_of(app).splitlines()[-1]


# ── what is shown ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_without_a_run_it_says_what_to_press_and_claims_nothing(opened):
    async with opened() as (app, pilot):
        app.action_show_screen(keys.DASHBOARD)
        await settle(app, pilot)
        text = text_of(app)
        assert "s starts pico on stories" in text
        assert "n sets up another" in text
        assert "No run yet" not in text


async def test_it_opens_on_the_live_run_with_every_figure_whole(opened, runs):
    fake_run.running(runs)
    async with opened() as (app, _):
        status = text_of(app).splitlines()[1]
        for figure in ("● running", "step 1,200/4,000", "30 %", "ETA 3:52", "tok/s", "train 1.2", "↓ best @1,000"):
            assert figure in status
        for title in ("Loss", "Health", "Machine", "Gradient norm", "Learning rate", "Tokens/s", "Samples", "Events"):
            assert title in text_of(app)


@pytest.mark.parametrize("width", [100, 107, 113, 120, 131, 160, 200])
async def test_no_figure_is_ever_cut(opened, runs, width):
    fake_run.running(runs)
    async with opened(size=(width, 40)) as (app, _):
        status = text_of(app).splitlines()[1]
        assert "train 1.2" in status
        assert not status.rstrip().endswith(("@", "@1", "@1,", "train", "val", "…"))


async def test_the_loss_is_the_same_number_in_status_bar_and_chart(opened, runs):
    run = fake_run.running(runs, steps=300)
    async with opened() as (app, pilot):
        for _ in range(3):
            run.train(20)
            await settle(app, pilot)
            label = app.screen.query_one(Chart).plot.curves[0].label
            assert f" {label} " in text_of(app).splitlines()[1] + " "


async def test_a_failed_run_shows_cause_remedy_and_key_in_full(opened, runs):
    run = fake_run.running(runs, steps=20)
    run.checkpoint(step=10)
    cause = "CUDA out of memory: tried to allocate 2.50 GiB beside what the other run holds on this card " * 3
    run.fail(cause)
    for size in ((80, 24), (120, 40)):
        async with opened(size=size) as (app, _):
            text = words_in(text_of(app))
            assert cause.strip() in text
            assert "Lower optimizer.learning_rate. It can be resumed from step 10." in text
            assert "r resume it" in text


async def test_a_failure_arrives_while_the_run_is_shown(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        run.fail("out of memory")
        await settle(app, pilot)
        assert "✗ failed" in text_of(app)
        assert "Failed at step 20 out of memory." in words_in(text_of(app))
        await press(app, pilot, "l")
        assert isinstance(app.screen, Viewer)
        assert "loss is nan" in text_of(app)


async def test_a_vanished_run_is_told_and_does_no_harm(opened, runs):
    import shutil

    run = fake_run.running(runs, steps=30)
    async with opened() as (app, pilot):
        shutil.rmtree(run.folder.path)
        await settle(app, pilot)
        assert "✗ gone" in text_of(app)
        assert "the run folder is gone" in text_of(app)
        await press(app, pilot, "p", "E")
        assert isinstance(app.screen, Viewer)


async def test_until_the_first_loss_it_says_what_happens_now_and_next(opened, runs):
    run = fake_run.FakeRun(runs)
    run.lock()
    run.set_status("starting", "encoding stories", fraction=0.45)
    async with opened() as (app, pilot):
        text = text_of(app)
        assert "● prepare stories  encoding stories" in text
        assert "45 %" in text
        assert "○ first loss" in text
        run.write_info()
        run.train(3)
        run.set_status("running", "training")
        await settle(app, pilot)
        assert "prepare stories" not in text_of(app)
        assert "● running" in text_of(app)


async def test_the_newest_sample_stands_beside_earlier_ones_and_keys_step_through_them(opened, runs):
    fake_run.running(runs)
    async with opened() as (app, pilot):
        assert "Samples ── ‹ 250 500 750 1,000 › same prompt, same seed" in text_of(app)
        assert words_in(text_of(app)).count("step 1,000") == 1
        await press(app, pilot, "comma", "comma")
        text = text_of(app)
        assert "step 1,000" not in text
        assert "step 500" in text
        await press(app, pilot, "full_stop", "full_stop", "full_stop")
        assert "step 1,000" in text_of(app)


async def test_samples_are_stepped_through_by_mouse(opened, runs):
    fake_run.running(runs)
    async with opened() as (app, pilot):
        pane = app.screen.query_one(SamplesPane)
        x = text_of(app).splitlines()[pane.region.y].index("‹")
        await pilot.click(offset=(x, pane.region.y))
        await settle(app, pilot)
        assert "step 1,000" not in text_of(app)


async def test_a_step_chosen_stays_while_new_samples_come(opened, runs):
    run = fake_run.running(runs)
    async with opened() as (app, pilot):
        await press(app, pilot, "comma")
        run.sample("a new one")
        await settle(app, pilot)
        assert "a new one" not in text_of(app)


async def test_hostile_samples_and_names_are_shown_harmless(opened, runs):
    run = fake_run.running(runs, steps=250)
    run.train(1)
    run.sample(text="\x1b[2J\x1b]0;owned\x07[bold red]markup[/] \u202eevil " + "x" * 10_000, prompt="[/]")
    run.event("warning", "odd \x1b[31m message [/blink]", "warning")
    async with opened() as (app, pilot):
        await press(app, pilot, "5", "z")
        text = text_of(app)
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "[bold red]markup[/]" in text
        await press(app, pilot, "6")
        assert "message [/blink]" in text_of(app)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 0.0, -2.0])
async def test_any_loss_is_drawn(opened, runs, loss):
    run = fake_run.running(runs, steps=30)
    run.train(3, loss=loss)
    run.set_status("running", "training")
    async with opened() as (app, pilot):
        await press(app, pilot, "y", "x", "x", "y")
        assert "step 33/4,000" in text_of(app)


async def test_a_run_without_a_number_says_so_in_health(opened, runs):
    run = fake_run.running(runs, steps=0)
    run.train(5, loss=float("nan"))
    async with opened() as (app, _):
        assert "not a number since step 1" in words_in(text_of(app))


# ── panes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_digits_tab_and_mouse_focus_the_panes(opened, runs):
    fake_run.running(runs)
    async with opened() as (app, pilot):
        for number, name in enumerate(PANES, 1):
            await pilot.press(str(number))
            assert app.screen.front == name
        await pilot.press("1")
        assert isinstance(app.focused, Chart)
        await pilot.press("tab")
        assert app.screen.front == "health"
        await pilot.click("#samples", offset=(5, 3))
        assert app.screen.front == "samples"


async def test_zoom_maximizes_the_focused_pane_and_escape_puts_it_back(opened, runs):
    fake_run.running(runs)
    async with opened() as (app, pilot):
        await press(app, pilot, "5", "z")
        assert "Health" not in text_of(app)
        assert app.screen.query_one(SamplesPane).size.height > 30
        await press(app, pilot, "6")
        assert app.screen.query_one(EventsPane).size.height > 30
        await press(app, pilot, "escape")
        assert "Health" in text_of(app)
        await press(app, pilot, "z", "z")
        assert "Health" in text_of(app)


async def test_a_narrow_screen_has_tabs_for_keys_and_mouse(opened, runs):
    fake_run.running(runs)
    async with opened(size=(80, 24)) as (app, pilot):
        assert "1 Loss" in text_of(app)
        shown = [pane.id for pane in app.screen.query(Pane) if pane.region.height]
        assert shown == ["chart"]
        await press(app, pilot, "5")
        assert "red kite" in text_of(app)
        assert app.screen.query_one("#pane-tabs", Tabs).active == "tab-samples"
        await pilot.click("#tab-machine")
        await settle(app, pilot)
        assert app.screen.front == "machine"
        assert "ram" in text_of(app)


async def test_short_screens_drop_the_gauges_first(opened, runs):
    fake_run.running(runs)
    async with opened(size=(120, 26)) as (app, _):
        shown = {pane.id for pane in app.screen.query(Pane) if pane.region.height}
        assert shown == set(PANES) - {"gauges"}


async def test_any_size_and_back(opened, runs):
    fake_run.running(runs)
    async with opened() as (app, pilot):
        for size in ((20, 5), (1, 1), (80, 24), (300, 100), (120, 40)):
            await pilot.resize_terminal(*size)
            await pilot.press("5", "1")
        await settle(app, pilot)
        assert "● running" in text_of(app)
        assert "Gradient norm" in text_of(app)


async def test_the_wheel_scrolls_a_pane(opened, runs):
    run = fake_run.running(runs)
    for index in range(40):
        run.event("note", f"note {index}")
    async with opened() as (app, pilot):
        pane = app.screen.query_one(EventsPane)
        await pilot._post_mouse_events([__import__("textual.events").events.MouseScrollDown], "#events", offset=(3, 3))
        await settle(app, pilot)
        assert pane.scroll_offset.y > 0


# ── freeze, filter, dialogs ─────────────────────────────────────────────────────────────────────────────────────────


async def test_freezing_holds_the_dashboard_and_no_other_screen(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "space")
        assert "view frozen" in text_of(app)
        run.train(5)
        run.event("note", "came meanwhile")
        run.set_status("running", "training")
        await settle(app, pilot)
        assert "came meanwhile" not in text_of(app)
        assert app.session.monitor.step == 25  # the run is followed all the same, for every other screen
        await press(app, pilot, "space")
        assert "came meanwhile" in text_of(app)
        assert "view frozen" not in text_of(app)


async def test_the_filter_is_live_kept_by_enter_and_undone_by_escape(opened, runs):
    run = fake_run.running(runs)
    run.event("note", "the needle")
    async with opened() as (app, pilot):
        await press(app, pilot, "slash", *"needle")
        assert app.screen_stack[0].query_one(EventsPane).needle == "needle"
        await press(app, pilot, "escape")
        assert app.screen.query_one(EventsPane).needle == ""
        await press(app, pilot, "slash", *"needle", "enter")
        text = text_of(app)
        assert "the needle" in text
        assert "the best so far" not in text
        assert "no sample holds “needle”" in text


async def test_a_filter_asked_for_twice_opens_once(opened, runs):
    """`/`, then ctrl+p and "filter" ended the app with DuplicateIds."""
    fake_run.running(runs)
    async with opened() as (app, pilot):
        await press(app, pilot, "slash")
        await pilot.press("ctrl+p")
        await pilot.pause(0.1)
        await pilot.press(*"filter events")
        await pilot.pause(0.3)
        await pilot.press("enter")
        await pilot.pause(0.3)
        await pilot.press("slash")
        assert sum(isinstance(screen, Prompt) for screen in app.screen_stack) <= 1
        await press(app, pilot, "escape", "escape")
        assert app.is_running


async def test_letters_go_to_the_input_that_has_the_focus(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "slash", "p", "c", "q")
        assert app.screen.query_one(Input).value == "pcq"
        assert run.acknowledge() == []


async def test_files_are_read_in_threads(opened, runs, monkeypatch):
    fake_run.running(runs, steps=20)
    names = []
    tail = RunMonitor.log_tail
    monkeypatch.setattr(
        RunMonitor, "log_tail", lambda self: names.append(threading.current_thread().name) or tail(self)
    )
    async with opened() as (app, pilot):
        await press(app, pilot, "l")
        assert isinstance(app.screen, Viewer)
        assert names[0] != threading.main_thread().name


async def test_the_config_marks_what_differs_from_the_preset(opened, runs):
    run = fake_run.FakeRun(runs, asked={"preset": "pico", "optimizer": {"learning_rate": 0.01}})
    run.train(3)
    async with opened(size=(140, 60)) as (app, pilot):
        await press(app, pilot, "i")
        text = words_in(text_of(app))
        assert "Differs from preset pico" in text
        assert "• optimizer.learning_rate 0.01 preset: 0.003" in text


async def test_a_metric_is_chosen_from_a_list(opened, runs):
    fake_run.running(runs)
    async with opened() as (app, pilot):
        await press(app, pilot, "m")
        assert isinstance(app.screen, Picker)
        await press(app, pilot, *"gradient norm", "enter")
        assert app.session.preferences.metric == "grad_norm"


async def test_the_view_answers_its_keys(opened, runs):
    fake_run.running(runs)
    async with opened() as (app, pilot):
        assert "fit · smooth auto · linear" in text_of(app)
        await press(app, pilot, "y", "x", "w", "+")
        view = app.session.preferences
        assert (view.log_y, view.x_axis, view.whole_plan, view.smoothing) == (True, "tokens", True, "heavy")
        assert "whole plan · tokens · smooth heavy · log" in text_of(app)
        await press(app, pilot, "0")
        assert "raw" in text_of(app)


# ── the run ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_pause_is_asked_shown_and_acknowledged(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        assert "p pause" in footer(app)
        await press(app, pilot, "p")
        assert "pausing…" in text_of(app)
        assert [command.name for command in run.acknowledge()] == ["pause"]
        run.set_status("paused", "paused")
        await settle(app, pilot)
        assert "‖ paused" in text_of(app)
        assert "p resume" in footer(app)
        await press(app, pilot, "p")
        assert [command.name for command in run.acknowledge()] == ["resume"]


@pytest.mark.parametrize(("key", "name"), [("c", "checkpoint"), ("g", "sample")])
async def test_keys_become_commands(opened, runs, key, name):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, key)
        assert [(command.name, command.sender) for command in run.acknowledge()] == [(name, "workbench")]


async def test_the_footer_offers_what_can_be_done(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        assert "s start" not in footer(app)
        assert "r resume" not in footer(app)
        run.checkpoint()
        run.unlock()
        run.set_status("stopped", message="stopped")
        await settle(app, pilot)
        assert "r resume" in footer(app)
        assert "s start new" in footer(app)
        assert "p pause" not in footer(app)


async def test_panes_chosen_one_right_after_the_other_do_not_alternate(opened, runs):
    fake_run.finished(runs)
    async with opened("tiny", size=(80, 24)) as (app, pilot):
        chosen = []
        focus = app.screen._focus
        app.screen._focus = lambda name: (chosen.append(name), focus(name))
        await press(app, pilot, "2", "5", "3")
        assert chosen == ["health", "samples", "machine"] and app.screen.front == "machine"


async def test_a_footer_drawn_while_a_run_is_being_opened_is_drawn_again(opened, runs, monkeypatch):
    fake_run.finished(runs)
    async with opened("tiny") as (app, pilot):
        assert "r resume" in footer(app)
        with monkeypatch.context() as patch:
            patch.setattr(app.screen, "_footer_labels", dict)
            app.screen.refresh_bindings()
            await pilot.pause()
            assert "p pause" in footer(app)
        await settle(app, pilot)
        assert "r resume" in footer(app) and "p pause" not in footer(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_footer_fits_in_every_state(opened, runs, size):
    run = fake_run.running(runs, steps=20)
    async with opened(size=size) as (app, pilot):
        assert footer(app).rstrip().endswith("quit")
        run.fail()
        await settle(app, pilot)
        assert footer(app).rstrip().endswith("quit")


async def test_commands_that_cannot_be_done_say_why(opened, runs, monkeypatch):
    fake_run.finished(runs)
    async with opened("tiny") as (app, pilot):
        await press(app, pilot, "p")
        assert "the run is finished: there is nothing to pause" in text_of(app)


async def test_resume_is_for_ended_runs(opened, runs, monkeypatch):
    fake_run.running(runs, steps=20)
    posted = []
    monkeypatch.setattr(
        "tui_gpt.workbench.run_operations.RunOperations._resume_run", lambda self, message: posted.append(message)
    )
    async with opened() as (app, pilot):
        await press(app, pilot, "r")
        assert posted == []
        assert "only a run that has ended" in text_of(app)


async def test_a_runs_config_is_used_for_the_next(opened, runs):
    fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        posted = []
        monitor = app.session.monitor
        post = app.screen.post_message
        app.screen.post_message = lambda message: posted.append(message) or post(message)
        app.screen.action_use_config()
        assert [type(message) for message in posted] == [app_messages.UseConfig]
        assert posted[0].asked == monitor.asked
        await pilot.pause()


async def test_text_to_copy_is_that_of_the_focused_pane(opened, runs):
    fake_run.running(runs)
    async with opened() as (app, pilot):
        await press(app, pilot, "5")
        assert "red kite" in app.screen.text_to_copy()
        await press(app, pilot, "2")
        assert "gradient norm steady" in app.screen.text_to_copy()


async def test_nothing_is_drawn_again_while_nothing_changes(opened, runs, monkeypatch):
    fake_run.finished(runs)
    async with opened("tiny") as (app, pilot):
        await settle(app, pilot)
        updated = []
        from textual.widgets import Static

        update = Static.update
        monkeypatch.setattr(Static, "update", lambda self, *a, **k: updated.append(self) or update(self, *a, **k))
        app.screen.refresh_data()
        app.screen.refresh_data()
        assert [widget for widget in updated if widget.id != "header-run"] == []


async def test_ascii_terminals_get_ascii(opened, runs):
    fake_run.running(runs)
    async with opened(glyphs="ascii") as (app, _):
        assert app.screen.query_one(StatusBar).display
