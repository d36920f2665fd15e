"""Starting, resuming, stopping and quitting: what is asked first, and what is sent."""

import signal
import threading

import pytest

from tests.workbench import fake_run
from tests.workbench.conftest import settle, text_of, words_in
from tui_gpt.errors import ConfigError, CorpusError
from tui_gpt.run import command_files
from tui_gpt.workbench import app_messages
from tui_gpt.workbench.dialogs.confirm import Confirm
from tui_gpt.workbench.dialogs.viewer import Viewer
from tui_gpt.workbench.jobs.task import Task, TaskRequest


@pytest.fixture
def runs(workspace):
    return workspace / "runs"


@pytest.fixture
def starts(monkeypatch):
    """Return what was started or resumed, without a trainer."""
    calls = []

    def start(runs, corpus, asked, **_):
        calls.append("start")
        return fake_run.running(runs, steps=3, name=f"20261122-00000{len(calls)}-started").folder

    def resume(folder, corpus, **_):
        calls.append(f"resume {folder.id}")
        return folder

    monkeypatch.setattr("tui_gpt.launch.start", start)
    monkeypatch.setattr("tui_gpt.launch.resume", resume)
    return calls


async def press(app, pilot, *keys):
    await pilot.press(*keys)
    await settle(app, pilot)


async def test_s_starts_at_once_in_an_empty_workspace(opened, starts):
    async with opened() as (app, pilot):
        await press(app, pilot, "s")
        assert starts == ["start"]
        assert app.current_mode == "dashboard"


async def test_a_start_beside_a_live_run_asks_whichever_run_is_shown(opened, runs, starts):
    live = fake_run.running(runs, steps=5)
    fake_run.finished(runs)
    async with opened("tiny") as (app, pilot):
        await press(app, pilot, "s")
        assert isinstance(app.screen, Confirm)
        assert live.folder.id in words_in(text_of(app))
        await press(app, pilot, "enter")  # cancel has the focus
        assert starts == []
        await press(app, pilot, "s", "s")  # the key that opened it answers nothing
        assert starts == []
        await press(app, pilot, "y")
        assert starts == ["start"]


async def test_a_resume_beside_a_live_run_asks(opened, runs, starts):
    fake_run.running(runs, steps=5)
    ended = fake_run.finished(runs)
    ended.set_status("stopped")
    async with opened("tiny") as (app, pilot):
        app.post_message(app_messages.ResumeRun(ended.folder))
        await settle(app, pilot)
        await press(app, pilot, "escape")
        assert starts == []
        app.post_message(app_messages.ResumeRun(ended.folder))
        await settle(app, pilot)
        await press(app, pilot, "y")
        assert starts == [f"resume {ended.folder.id}"]


async def test_a_start_asked_for_twice_starts_once(opened, monkeypatch, runs):
    """The first worker was cancelled while its thread went on, and its run was started but not shown."""
    released, calls = threading.Event(), []

    def start(runs, corpus, asked, **_):
        calls.append("start")
        released.wait(10)
        return fake_run.running(runs, steps=3).folder

    monkeypatch.setattr("tui_gpt.launch.start", start)
    async with opened() as (app, pilot):
        app.post_message(app_messages.StartRun())
        app.post_message(app_messages.StartRun())
        await pilot.pause()
        released.set()
        await settle(app, pilot)
        assert calls == ["start"] and app.session.is_live


async def test_a_question_asked_twice_is_open_once_and_its_answer_counts(opened, runs):
    """ctrl+c in the question of quit cancelled the worker that waited for its answer."""
    fake_run.running(runs, steps=3)
    async with opened() as (app, pilot):
        await pilot.press("q", "ctrl+c", "ctrl+c")
        await pilot.pause()
        assert [type(screen) for screen in app.screen_stack[1:]] == [Confirm]
        await pilot.press("d")
        await pilot.pause()
        assert not app.is_running or app._exit


async def test_a_start_that_is_refused_says_why(opened, monkeypatch):
    def refuse(*_, **__):
        raise ConfigError("n_head must divide n_embd", where="config", do="Use 4")

    monkeypatch.setattr("tui_gpt.launch.start", refuse)
    async with opened() as (app, pilot):
        await press(app, pilot, "s")
        assert "config: n_head must divide n_embd. Use 4" in words_in(text_of(app))


async def test_a_start_that_is_done_leaves_an_open_dialog_alone(opened, monkeypatch, runs):
    import threading

    go = threading.Event()

    def start(runs, corpus, asked, **_):
        go.wait(10)
        return fake_run.running(runs, steps=3).folder

    monkeypatch.setattr("tui_gpt.launch.start", start)
    async with opened() as (app, pilot):
        await pilot.press("s")
        await pilot.press("?")
        await pilot.pause()
        assert isinstance(app.screen, Viewer)
        go.set()
        await settle(app, pilot)
        assert isinstance(app.screen, Viewer)
        await press(app, pilot, "escape", "f1")
        assert app.session.monitor is not None


async def test_pause_is_sent_shown_and_acknowledged(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "p")
        assert "pausing…" in text_of(app)
        assert [command.name for command in run.acknowledge()] == ["pause"]
        run.set_status("paused")
        await settle(app, pilot)
        assert "paused" in text_of(app)
        await press(app, pilot, "p")
        assert [command.name for command in run.acknowledge()] == ["resume"]


async def test_a_command_that_waits_is_not_sent_twice(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "c")
        await press(app, pilot, "c")
        assert len(run.acknowledge()) == 1
        assert "not answered yet" in words_in(text_of(app))


async def test_a_refusal_is_said(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "c")
        run.acknowledge(ok=False, message="no space left on device")
        await settle(app, pilot)
        assert "checkpoint: no space left on device" in words_in(text_of(app))


async def test_stop_asks_and_neither_enter_nor_its_own_key_stops(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "X")
        assert "saves a full checkpoint at step 20" in words_in(text_of(app))
        await press(app, pilot, "X", "enter")
        assert run.acknowledge() == []
        await press(app, pilot, "X", "y")
        assert [(command.name, command.now) for command in run.acknowledge()] == [("stop", False)]


async def test_a_silent_trainer_can_be_terminated(opened, runs, monkeypatch):
    signals = []
    monkeypatch.setattr(command_files, "signal_trainer", lambda folder, number: signals.append(number))
    fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await press(app, pilot, "X", "y")
        await press(app, pilot, "X")
        assert "has not answered" in words_in(text_of(app))
        await press(app, pilot, "t")
        assert signals == [signal.SIGTERM]


async def test_the_end_of_a_run_is_said(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        run.fail()
        await settle(app, pilot)
        assert "failed: the loss is not a number at step 812" in words_in(text_of(app))


async def test_quit_asks_about_a_live_run_and_detaches(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await pilot.press("q")
        await settle(app, pilot)
        assert isinstance(app.screen, Confirm)
        await pilot.press("d")
        await pilot.pause()
    assert app.return_value == 0
    assert run.acknowledge() == []


async def test_quit_can_stop_the_run(opened, runs):
    run = fake_run.running(runs, steps=20)
    async with opened() as (app, pilot):
        await pilot.press("q")
        await settle(app, pilot)
        await pilot.press("s")
        await pilot.pause()
    assert [command.name for command in run.acknowledge()] == ["stop"]


async def test_without_a_live_run_q_quits(opened):
    async with opened() as (app, pilot):
        await pilot.press("q")
        await pilot.pause()
    assert app.return_value == 0


@pytest.fixture
def slow_task(monkeypatch):
    """Make tasks wait until they are cancelled."""
    import asyncio

    async def run_task(request, result_type, on_update=None):
        await asyncio.sleep(60)

    monkeypatch.setattr("tui_gpt.workbench.jobs.task.run_task", run_task)


def task_message(done=print):
    return app_messages.RunTask(TaskRequest(task="check", reference="x", corpus_dir="."), "checking x", str, done)


async def started(app, pilot):
    app.post_message(task_message())
    for _ in range(200):
        await pilot.pause(0.01)
        if app.session.task is not None:
            return


async def test_quit_asks_about_a_task_that_is_running(opened, slow_task):
    async with opened() as (app, pilot):
        await started(app, pilot)
        await pilot.press("q")
        await pilot.pause(0.1)
        assert "checking x is running" in words_in(text_of(app))
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert app.session.task is not None
        await pilot.press("q")
        await pilot.pause(0.1)
        await pilot.press("y")
        await pilot.pause(0.1)
    assert app.return_value == 0


async def test_one_task_at_a_time_and_it_can_be_cancelled(opened, slow_task):
    async with opened() as (app, pilot):
        await started(app, pilot)
        app.post_message(task_message())
        await pilot.pause(0.1)
        assert "one task at a time" in words_in(text_of(app))
        app.session.task.cancel()
        await settle(app, pilot)
        assert app.session.task is None
        assert "cancelled: checking x" in words_in(text_of(app))


async def test_a_task_that_fails_says_why_and_one_that_ends_hands_on_its_result(opened, monkeypatch):
    results = []

    async def run(self, result_type):
        if results:
            raise CorpusError("cannot be read", where="x")
        return "done"

    monkeypatch.setattr(Task, "run", run)
    async with opened() as (app, pilot):
        app.post_message(task_message(results.append))
        await settle(app, pilot)
        assert results == ["done"]
        app.post_message(task_message(results.append))
        await settle(app, pilot)
        assert "x: cannot be read" in words_in(text_of(app))
        assert app.session.task_error == "x: cannot be read"
