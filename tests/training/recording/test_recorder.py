"""The recorder keeps what a full disk refuses, and writes it in order once there is space."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.training.loop.harness import TrainerHarness
from tui_gpt.run import jsonl
from tui_gpt.run.jsonl import JsonlWriter, read_jsonl
from tui_gpt.run.messages import Command, Sample
from tui_gpt.training.recording import checkpoint_writer


class FullDisk:
    """Makes `os.write` of the output files store only a part of a line while `is_full`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self._write = os.write
        monkeypatch.setattr(jsonl.os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        return self._write(fd, data[:7] if self.is_full and data.startswith(b"{") else data)


def sample(step: int) -> Sample:
    return Sample(step=step, prompt="", text="text", seed=1, tokens=1, temperature=1.0)


def test_a_line_that_was_cut_off_is_written_again_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, writer = FullDisk(monkeypatch), JsonlWriter(tmp_path / "samples.jsonl")
    writer.append(sample(1))
    disk.is_full = True
    with pytest.raises(OSError, match="No space left"):
        writer.append(sample(2))
    disk.is_full = False
    writer.append(sample(2))
    assert [line.step for line in read_jsonl(tmp_path / "samples.jsonl", Sample)] == [1, 2]


def test_a_full_disk_pauses_the_run_and_no_line_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, disk = TrainerHarness(tmp_path), FullDisk(monkeypatch)
    control, step = run.trainer.control, run.trainer.state.train_step
    compute_gradients, next_command = step.compute_gradients, control.next_command
    asked: list[Command] = []

    def fill(number: int, micro_batches: list) -> object:
        disk.is_full = disk.is_full or (number == 12 and not asked)
        return compute_gradients(number, micro_batches)

    def commands(timeout_seconds: float | None = 0.0) -> Command | None:
        if not control.progress.phase.startswith("[Errno 28]"):
            return next_command(timeout_seconds)
        disk.is_full = len(asked) < 2  # the first resume comes too early
        asked.append(Command(name="sample" if not asked else "resume"))
        return asked[-1]

    monkeypatch.setattr(step, "compute_gradients", fill)
    monkeypatch.setattr(control, "next_command", commands)
    assert run.run().state == "finished"
    assert [command.name for command in asked] == ["sample", "resume", "resume"]
    lines = run.folder.read_metrics()
    assert [line.step for line in lines] == list(range(1, 31))
    assert len(run.notices("disk")) == 2


@pytest.mark.parametrize("is_paused_by_hand", [False, True])
def test_a_full_disk_is_tried_again_and_the_run_goes_on_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_paused_by_hand: bool
) -> None:
    run, disk, now = TrainerHarness(tmp_path), FullDisk(monkeypatch), [0.0]
    control, step = run.trainer.control, run.trainer.state.train_step
    compute_gradients, next_command = step.compute_gradients, control.next_command
    attempts: list[float] = []
    monkeypatch.setattr(run.trainer, "clock", lambda: now[0])
    retry = run.trainer.outputs.recorder.retry

    def fill(number: int, micro_batches: list) -> object:
        disk.is_full = disk.is_full or (number == 12 and not attempts)
        return compute_gradients(number, micro_batches)

    def retried() -> None:
        attempts.append(now[0])
        retry()

    def commands(timeout_seconds: float | None = 0.0) -> Command | None:
        if not timeout_seconds:
            return next_command(0.0)
        now[0] += timeout_seconds
        disk.is_full = now[0] < 80
        if is_paused_by_hand and now[0] in (3.0, 200.0):
            return Command(name="pause" if now[0] == 3.0 else "resume")
        return None

    monkeypatch.setattr(step, "compute_gradients", fill)
    monkeypatch.setattr(control, "next_command", commands)
    monkeypatch.setattr(run.trainer.outputs.recorder, "retry", retried)
    assert run.run().state == "finished"
    assert attempts[:5] == [5.0, 15.0, 35.0, 65.0, 95.0]
    assert [line.step for line in run.folder.read_metrics()] == list(range(1, 31))
    messages = [notice.message for notice in run.notices("disk")]
    assert "the run then goes on by itself" in messages[0]
    assert messages[1:] == ([] if is_paused_by_hand else ["resumed at step 12: there is room on the disk again"])
    assert now[0] == (200.0 if is_paused_by_hand else 95.0)


def test_a_checkpoint_that_does_not_fit_is_written_after_the_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TrainerHarness(tmp_path, "checkpoints.every=0", "checkpoints.best=false")
    write, control, failures = checkpoint_writer.write_checkpoint, run.trainer.control, []

    def full_once(*arguments: object) -> Path:
        if not failures:
            failures.append(arguments)
            raise OSError(28, "No space left on device")
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoint_writer, "write_checkpoint", full_once)
    resume = Command(name="resume")
    monkeypatch.setattr(control, "next_command", lambda **_: resume if control.progress.state == "paused" else None)
    assert run.run().state == "finished"
    assert (run.folder.checkpoints / "step-00000030").is_dir()
    (notice,) = run.notices("disk")
    assert "checkpoint at step 30 not saved" in notice.message
