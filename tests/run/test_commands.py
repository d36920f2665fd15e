"""Commands: each is acknowledged once, in every phase of a run."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import msgspec
import pytest

from tests.live import at_step, ended, resume, start, until
from tui_gpt.checkpoints import manifest
from tui_gpt.errors import RunError
from tui_gpt.run import command_files
from tui_gpt.run.folder import RunFolder, take_lock
from tui_gpt.run.jsonl import JsonlReader
from tui_gpt.run.messages import Command, Event


def ask(folder: RunFolder, name: str, **fields: object) -> Event:
    reader = JsonlReader(folder.events, Event)
    reader.poll()
    id = command_files.send(folder, Command(name=name, **fields))
    event = command_files.wait_for_ack(folder, id, reader, 60)
    assert event is not None, f"{name} was not acknowledged"
    return event


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = start(tmp_path_factory.mktemp("commands"), "training.duration=1000000", "checkpoints.every=0")
    at_step(folder, 1)
    return folder


def test_pause_stops_stepping_and_resume_continues(run: RunFolder) -> None:
    paused = ask(run, "pause")
    assert paused.ok and run.state() == "paused"
    logged = run.read_metrics()[-1].step
    assert logged == paused.step
    time.sleep(0.5)
    assert run.read_metrics()[-1].step == logged
    assert "already" in ask(run, "pause").message
    assert ask(run, "resume").ok
    at_step(run, logged + 1)
    assert "already" in ask(run, "resume").message


def test_checkpoint_is_acknowledged_when_it_is_on_the_disk(run: RunFolder) -> None:
    event = ask(run, "checkpoint")
    newest = manifest.newest(run.checkpoints, ["full"])
    assert event.ok and newest is not None and newest.path.name in event.message
    manifest.verify(newest.path)


def test_a_paused_run_handles_checkpoint_and_sample(run: RunFolder) -> None:
    ask(run, "pause")
    samples = len(run.read_samples())
    assert ask(run, "sample").ok
    assert len(run.read_samples()) == samples + 1
    event = ask(run, "checkpoint")
    assert event.ok and f"{event.step:08d}" in event.message
    assert run.state() == "paused"
    ask(run, "resume")


def test_an_invalid_command_file_is_reported_and_deleted(run: RunFolder) -> None:
    (run.commands / "junk.json").write_text("{not json")
    until(lambda: not (run.commands / "junk.json").exists(), "the removal")
    assert any(event.kind == "refused" and "junk.json" in event.message for event in run.read_events())
    assert run.state() == "running"


def test_a_live_run_cannot_be_resumed_deleted_or_renamed(run: RunFolder) -> None:
    from tui_gpt.run import folder as folders

    with pytest.raises(RunError, match="already live"):
        resume(run)
    with pytest.raises(RunError, match="live"):
        folders.delete(run)
    with pytest.raises(RunError, match="live"):
        folders.rename(run, "other")


def test_stop_saves_first_and_an_ended_run_rejects_commands(tmp_path: Path) -> None:
    folder = start(tmp_path, "training.duration=1000000", "checkpoints.every=0")
    at_step(folder, 5)
    event = ask(folder, "stop")
    assert event.ok
    status = ended(folder)
    assert status.state == "stopped" and not status.by_signal
    assert manifest.newest(folder.checkpoints, ["full"]).step == status.step == folder.read_metrics()[-1].step
    with pytest.raises(RunError, match="is stopped, cannot pause"):
        command_files.send(folder, Command(name="pause"))


def test_commands_and_the_end_of_the_run_are_logged_once(tmp_path: Path) -> None:
    folder = start(tmp_path, "training.duration=1000000", "checkpoints.every=0", "training.eval_every=0")
    at_step(folder, 3)
    step = ask(folder, "pause").step
    ask(folder, "checkpoint")
    stop = ask(folder, "stop")
    ended(folder)
    messages = [event.message for event in folder.read_events() if event.step == step]
    assert len(messages) == 3, messages  # paused, saved, stopped
    assert sum("saved step-" in message for message in messages) == 1
    assert (stop.kind, stop.command, stop.message) == ("stopped", "stop", messages[-1])


def test_every_stop_command_is_acknowledged(tmp_path: Path) -> None:
    folder = start(tmp_path, "training.duration=1000000")
    at_step(folder, 1)
    ids = [command_files.send(folder, Command(name="stop")) for _ in range(2)]
    ended(folder)
    acknowledged = [event.command_id for event in folder.read_events() if event.command_id]
    assert sorted(acknowledged) == sorted(ids)


def test_stop_while_the_run_is_paused(tmp_path: Path) -> None:
    folder = start(tmp_path, "training.duration=1000000")
    at_step(folder, 1)
    ask(folder, "pause")
    assert ask(folder, "stop").ok
    assert ended(folder).state == "stopped"


def test_stop_now_ends_without_saving(tmp_path: Path) -> None:
    folder = start(tmp_path, "training.duration=1000000", "checkpoints.every=0", "checkpoints.best=false")
    at_step(folder, 5)
    ask(folder, "stop", now=True)
    assert ended(folder).state == "stopped"
    assert manifest.list_checkpoints(folder.checkpoints) == []


def test_stop_interrupts_a_long_evaluation(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("all work and no play makes a dull text\n" * 40_000)
    folder = start(
        tmp_path,
        f"data.corpus={tmp_path / 'long.txt'}",
        "data.val_fraction=0.5",
        "training.duration=1000000",
        "training.eval_every=3",
        "training.eval_tokens=0",
        "checkpoints.every=0",
    )
    until(lambda: (status := folder.read_status()) and status.phase == "evaluating", "an evaluation")
    assert ask(folder, "stop").ok
    assert ended(folder).state == "stopped"
    assert folder.read_evals() == []


def test_commands_before_the_first_step_are_acknowledged(tmp_path: Path) -> None:
    folder = start(tmp_path, "training.duration=1000000")
    assert folder.state() == "starting"
    assert ask(folder, "pause").ok
    assert folder.state() == "paused"
    ask(folder, "stop")
    assert ended(folder).state == "stopped"


def test_a_command_sent_while_the_run_was_not_live_is_rejected(tmp_path: Path) -> None:
    folder = start(tmp_path, "training.duration=200", stop_at=5)
    ended(folder)
    late = Command(name="stop")
    (folder.commands / f"{late.id}.json").write_bytes(msgspec.json.encode(late))
    resume(folder)
    assert ended(folder).state == "finished"
    answers = [event for event in folder.read_events() if event.command_id == late.id]
    assert len(answers) == 1 and not answers[0].ok


def test_extending_a_finished_run_reports_the_schedule_change(tmp_path: Path) -> None:
    folder = start(tmp_path, "training.duration=20")
    ended(folder)
    with pytest.raises(RunError, match="finished"):
        resume(folder)
    resume(folder, {"training.duration": "40 steps"})
    status = ended(folder)
    assert (status.state, status.step) == ("finished", 40)
    assert [line.step for line in folder.read_metrics()] == list(range(1, 41))
    extended = next(event for event in folder.read_events() if event.kind == "extended")
    assert "learning rate goes from" in extended.message


def test_sigterm_to_the_supervisor_saves_and_stops(tmp_path: Path) -> None:
    import os

    folder = start(tmp_path, "training.duration=1000000", "checkpoints.every=0")
    os.kill(at_step(folder, 2).supervisor_pid, signal.SIGTERM)
    status = ended(folder)
    assert status.state == "stopped" and status.by_signal
    assert manifest.newest(folder.checkpoints, ["full"]).step == status.step


def test_the_lock_is_exclusive(tmp_path: Path) -> None:
    import os

    folder = RunFolder(tmp_path)
    held = take_lock(folder)
    assert folder.is_locked()
    with pytest.raises(RunError, match="already live"):
        take_lock(folder)
    os.close(held)
    assert not folder.is_locked()


def test_stop_of_the_shared_run(run: RunFolder) -> None:
    assert ask(run, "stop").ok
    assert ended(run).state == "stopped"


def test_a_resume_on_a_changed_corpus_is_refused_and_says_that_it_would_be_again(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("all work and no play\n" * 500)
    folder = start(tmp_path, f"data.corpus={text}", "training.duration=200", stop_at=5)
    assert ended(folder).state == "stopped"
    text.write_text("no work and all play\n" * 500)
    resume(folder)
    status = ended(folder)
    assert status.state == "failed" and "has changed since the run started" in status.message
    assert status.failure is not None and status.failure.blocks_resume
