"""The status line: state first, then step, loss and the rest, in every state a run can be in."""

import time

import pytest

from tests.workbench import fake_run
from tui_gpt.workbench.canvas import row_width
from tui_gpt.workbench.commander import PATIENCE_SECONDS, Commander
from tui_gpt.workbench.feed import RunFeed
from tui_gpt.workbench.status import STATES, status_line


def line(feed, commander=None, width=160):
    spans = status_line(feed, commander or Commander(), width)
    assert row_width(spans) == width
    return "".join(text for text, _ in spans)


def fed(run):
    feed = RunFeed(run.folder)
    feed.poll()
    return feed


def test_it_reads_state_step_loss(workspace):
    run = fake_run.running(workspace / "runs", steps=120, total=3000)
    text = line(fed(run))
    assert text.startswith("● running · step 120/3000 · loss ")
    assert "ETA 3:52" in text
    assert "4 %" in text


@pytest.mark.parametrize("state", ["starting", "running", "paused", "stopping", "finished", "stopped", "failed"])
def test_every_state_has_a_word_and_a_glyph(workspace, state):
    run = fake_run.running(workspace / "runs", steps=20)
    run.say(state)
    glyph, _ = STATES[state]
    assert line(fed(run)).startswith(f"{glyph} {state}")


def test_a_loss_that_is_no_number_is_said(workspace):
    run = fake_run.running(workspace / "runs", steps=20)
    run.train(1, loss=float("inf"))
    assert "loss inf" in line(fed(run))


def test_an_unanswered_command_is_shown_until_its_ack_and_the_watchdog_with_it(workspace):
    run = fake_run.running(workspace / "runs", steps=20)
    feed, commander = fed(run), Commander()
    ask = commander.send(feed, "pause")
    assert "pausing…" in line(feed, commander)
    ask.sent = time.monotonic() - PATIENCE_SECONDS - 5
    assert "no answer for 15 s" in line(feed, commander)
    run.answer(message="paused at step 20")
    run.say("paused")
    feed.poll()
    answers = commander.settle(feed)
    assert [answer.message for answer in answers] == ["paused at step 20"]
    assert line(feed, commander).startswith("⏸ paused")


def test_commands_of_a_run_that_ended_are_not_waited_for(workspace):
    run = fake_run.running(workspace / "runs", steps=20)
    feed, commander = fed(run), Commander()
    commander.send(feed, "checkpoint")
    run.fail()
    feed.poll()
    commander.settle(feed)
    assert commander.waiting() is None


def test_a_silent_supervisor_is_noticed(workspace):
    run = fake_run.running(workspace / "runs", steps=20)
    run.say("running", "training", heartbeat=time.time() - 40)
    assert "no sign of life" in line(fed(run))


def test_why_it_failed_is_on_the_line(workspace):
    run = fake_run.running(workspace / "runs", steps=20)
    run.fail("out of memory")
    assert "✗ failed" in line(fed(run))
    assert "out of memory" in line(fed(run))
