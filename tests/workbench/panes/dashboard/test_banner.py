"""The banner says what must be read first: the cause, the remedy, the key."""

import pytest

from tests.workbench import fake_run
from tui_gpt.workbench.panes.dashboard.banner import notice_for
from tui_gpt.workbench.state.pending_commands import PATIENCE_SECONDS, PendingCommand
from tui_gpt.workbench.state.preferences import Preferences
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.session import Session


@pytest.fixture
def shown(workspace):
    """Return a function that makes a session showing a run."""

    def show(run: fake_run.FakeRun) -> Session:
        session = Session(workspace, Preferences())
        session.show(run.folder)
        session.monitor.read_all()
        return session

    return show


def test_a_healthy_run_needs_no_banner(shown, workspace):
    assert notice_for(shown(fake_run.running(workspace / "runs", steps=20))) is None


def test_a_failure_has_cause_remedy_and_key(shown, workspace):
    run = fake_run.running(workspace / "runs", steps=812)
    run.checkpoint(step=500)
    run.fail("the loss is not a number at step 812")
    session = shown(run)
    text = notice_for(session).render(session.keymap).plain
    assert text.startswith("✗ Failed at step 812  the loss is not a number at step 812.")
    assert "Lower optimizer.learning_rate. It can be resumed from step 500." in text
    assert "r resume it" in text


def test_without_a_checkpoint_no_key_resumes(shown, workspace):
    run = fake_run.running(workspace / "runs", steps=20)
    run.fail()
    session = shown(run)
    text = notice_for(session).render(session.keymap).plain
    assert "r resume" not in text
    assert "n change the config" in text


def test_the_users_own_key_is_named(shown, workspace):
    run = fake_run.running(workspace / "runs", steps=20)
    run.set_status("paused", "paused")
    notice = notice_for(shown(run))
    assert "f9 lets it go on" in notice.render({"pause": ("f9",)}).plain


def test_a_pause_says_its_reason(shown, workspace):
    run = fake_run.running(workspace / "runs", steps=20)
    run.set_status("paused", "[Errno 28] No space left on device: metrics.jsonl")
    assert "No space left" in notice_for(shown(run)).text


def test_a_command_without_an_answer_offers_to_go_further(shown, workspace, monkeypatch):
    run = fake_run.running(workspace / "runs", steps=20)
    session = shown(run)
    session.commands.pending.append(PendingCommand("1", "stop", run.folder.id))
    assert notice_for(session) is None
    monkeypatch.setattr(PendingCommand, "age_seconds", PATIENCE_SECONDS + 2.5)
    assert notice_for(session).title == "No answer to stop for 10 s"


def test_a_silent_run_is_told(shown, workspace, monkeypatch):
    session = shown(fake_run.running(workspace / "runs", steps=20))
    monkeypatch.setattr(RunMonitor, "silent_seconds", lambda self: 34.0)
    assert notice_for(session).title == "Silent for 0:30"


def test_a_finished_run_says_what_to_do_with_it(shown, workspace):
    notice = notice_for(shown(fake_run.finished(workspace / "runs")))
    assert (notice.level, notice.title) == ("good", "Finished")
    assert notice.actions[0] == ("talk", "write with it")
