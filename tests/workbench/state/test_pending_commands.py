"""A command is pending until the run has acknowledged it, and no longer than the run can answer."""

import threading

import pytest

from tests.workbench import fake_run
from tui_gpt.errors import RunError
from tui_gpt.workbench.state.pending_commands import PendingCommands
from tui_gpt.workbench.state.run_monitor import RunMonitor


@pytest.fixture
def run(runs):
    return fake_run.running(runs, steps=5)


@pytest.fixture
def monitor(run):
    monitor = RunMonitor(run.folder)
    monitor.read_all()
    return monitor


def test_a_command_is_pending_until_it_is_acknowledged(run, monitor):
    commands = PendingCommands()
    commands.send(run.folder, "pause")
    commands.send(run.folder, "checkpoint")
    assert (commands.state_word, commands.side_words) == ("pausing…", ["saving a checkpoint…"])
    assert commands.settle(monitor) == []
    assert [command.name for command in run.acknowledge(message="paused at step 5")] == ["pause", "checkpoint"]
    assert commands.waiting("pause") is not None
    monitor.read_all()
    assert [event.message for event in commands.settle(monitor)] == ["paused at step 5"] * 2
    assert (commands.waiting(), commands.state_word, commands.side_words) == (None, "", [])


def test_a_run_that_is_not_live_takes_no_command(run):
    run.unlock()
    commands = PendingCommands()
    with pytest.raises(RunError, match="cannot pause"):
        commands.send(run.folder, "pause")
    assert commands.pending == []


def test_a_disk_that_is_full_is_an_error_and_leaves_nothing_pending(run):
    run.folder.commands.rmdir()
    commands = PendingCommands()
    with pytest.raises(RunError, match="could not be written"):
        commands.send(run.folder, "stop")
    assert commands.pending == []


def test_nothing_stays_pending_once_the_run_has_ended_or_another_is_shown(run, monitor, runs):
    commands = PendingCommands()
    commands.send(run.folder, "stop")
    run.unlock()
    run.set_status("stopped")
    monitor.read_all()
    commands.settle(monitor)
    assert commands.waiting() is None
    other = fake_run.running(runs, steps=1, name="other")
    commands.send(other.folder, "pause")
    commands.settle(monitor)
    assert commands.waiting() is None


def test_sending_from_threads_loses_no_command(run, monitor):
    commands = PendingCommands()
    threads = [threading.Thread(target=commands.send, args=(run.folder, "sample")) for _ in range(8)]
    for thread in threads:
        thread.start()
        commands.settle(monitor)
    for thread in threads:
        thread.join()
    assert len(commands.pending) == 8
    assert len(run.acknowledge()) == 8
