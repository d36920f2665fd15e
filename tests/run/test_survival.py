"""Runs survive their terminal, and resume bit-identically after any kill."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.live import SMALL, at_step, ended, losses, resume, start, until
from tui_gpt import launch
from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import load_model
from tui_gpt.run.folder import RunFolder, delete, list_runs

STEPS = 120
TRIALS = int(os.environ.get("GPT_TUI_KILL_TRIALS", "3"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("survival")


@pytest.fixture(scope="module")
def uninterrupted(workspace: Path) -> dict[int, float | None]:
    folder = start(workspace, f"training.duration={STEPS}")
    assert ended(folder).state == "finished"
    curve = losses(folder)
    assert sorted(curve) == list(range(1, STEPS + 1))
    return curve


def test_muon_wsd_and_the_guard_resume_bit_identically(workspace: Path) -> None:
    recipe = ("optimizer.name=muon", "schedule.name=wsd", "training.on_anomaly=skip", "training.duration=70")
    whole, folder = start(workspace, *recipe), start(workspace, *recipe, stop_at=33)
    assert ended(whole).state == "finished" and ended(folder).step == 33
    resume(folder)
    assert ended(folder).state == "finished"
    assert losses(folder) == losses(whole)


def test_a_cooldown_continues_the_trunk_bit_identically_and_ends_at_the_minimum(workspace: Path) -> None:
    trunk = start(workspace, "schedule.name=constant", "schedule.min_lr_ratio=0", "training.duration=30")
    assert ended(trunk).state == "finished"
    source = manifest.step_folder(trunk.checkpoints, 20)
    branch = launch.start(
        trunk.path.parent, workspace / "corpus", launch.cooldown_request(source, 8, {}), name="branch"
    )
    assert ended(branch).state == "finished"
    (info, lines), trunk_lines = (branch.read_info(), branch.read_metrics()), trunk.read_metrics()
    assert info is not None and info.parent == str(source)
    assert [line.step for line in lines] == list(range(21, 29))
    assert lines[0].loss == trunk_lines[20].loss and lines[0].tokens == trunk_lines[20].tokens
    peak = trunk_lines[20].learning_rate
    assert [line.learning_rate for line in lines] == pytest.approx([peak * left / 8 for left in range(7, -1, -1)])
    assert losses(branch)[22] != losses(trunk)[22]


def test_stop_at_and_resume_are_bit_identical(workspace: Path, uninterrupted: dict[int, float | None]) -> None:
    folder = start(workspace, f"training.duration={STEPS}", stop_at=53)
    status = ended(folder)
    assert (status.state, status.step) == ("stopped", 53)
    assert manifest.newest(folder.checkpoints, ["full"]).step == 53
    resume(folder)
    assert ended(folder).state == "finished"
    assert losses(folder) == uninterrupted


def test_another_split_of_the_step_differs_by_rounding_only(workspace: Path) -> None:
    curves = []
    for micro, accumulation in ((4, 1), (1, 4)):
        folder = start(
            workspace,
            "training.duration=30",
            "model.dropout=0",
            f"training.micro_batch_size={micro}",
            f"training.accumulation_steps={accumulation}",
        )
        assert ended(folder).state == "finished"
        curves.append(losses(folder))
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)


def test_a_run_resumed_at_another_split_differs_by_rounding_only(workspace: Path) -> None:
    settings = ("training.duration=60", "model.dropout=0", "optimizer.name=muon")
    whole, folder = start(workspace, *settings), start(workspace, *settings, stop_at=31)
    assert ended(whole).state == "finished" and ended(folder).step == 31
    resume(folder, {"training.micro_batch_size": 1, "training.accumulation_steps": 4})
    assert ended(folder).state == "finished"
    assert losses(folder) == pytest.approx(losses(whole), abs=1e-3)
    assert {step: loss for step, loss in losses(folder).items() if step <= 31} == {
        step: loss for step, loss in losses(whole).items() if step <= 31
    }


@pytest.mark.timeout(120 + 60 * TRIALS)
@pytest.mark.parametrize("trial", range(TRIALS))
def test_kill_9_at_a_random_time_loses_no_step_and_resumes_bit_identically(
    workspace: Path, uninterrupted: dict[int, float | None], trial: int
) -> None:
    chance = random.Random(trial)
    folder = start(workspace, f"training.duration={STEPS}")
    status = at_step(folder, chance.randint(0, STEPS - 30))
    victims = chance.choice(
        [status.trainer_pids, (status.supervisor_pid,), (status.supervisor_pid, *status.trainer_pids)]
    )
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not folder.is_locked(), "a free lock")
    assert folder.state() in ("crashed", "failed", "finished")
    newest = manifest.newest(folder.checkpoints, ["full"])
    if newest is not None:
        manifest.verify(newest.path)
        logged = {line.step for line in folder.read_metrics()}
        assert logged >= set(range(1, newest.step + 1)), "a step is missing before a checkpoint"
    if folder.state() != "finished":
        resume(folder)
        assert ended(folder).state == "finished"
    assert losses(folder) == uninterrupted
    assert not list(folder.path.glob(".partial-*"))


def test_kill_9_during_a_save_keeps_the_previous_checkpoint(
    workspace: Path, uninterrupted: dict[int, float | None]
) -> None:
    folder = start(workspace, f"training.duration={STEPS}", "checkpoints.every=2")
    status = at_step(folder, 10)
    while not any(folder.path.glob(".partial-*")):
        assert folder.is_locked(), "the run ended before a save was seen"
    for pid in (status.supervisor_pid, *status.trainer_pids):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not folder.is_locked(), "a free lock")
    newest = manifest.newest(folder.checkpoints, ["full"])
    assert newest is not None
    manifest.verify(newest.path)
    resume(folder)
    assert ended(folder).state == "finished"
    assert losses(folder) == uninterrupted
    assert not list(folder.path.glob(".partial-*"))


def test_a_killed_trainer_is_recorded_with_its_signal(workspace: Path) -> None:
    folder = start(workspace, "training.duration=100000")
    os.kill(at_step(folder, 1).trainer_pids[0], signal.SIGKILL)
    status = ended(folder)
    assert status.state == "failed"
    assert status.failure is not None and status.failure.signal == "SIGKILL"


def test_an_orphaned_trainer_saves_before_it_ends(workspace: Path) -> None:
    folder = start(workspace, "training.duration=100000", "checkpoints.every=0")
    os.kill(at_step(folder, 3).supervisor_pid, signal.SIGKILL)
    until(lambda: not folder.is_locked(), "a free lock")
    assert folder.state() == "crashed"
    newest = manifest.newest(folder.checkpoints, ["full"])
    assert newest is not None and newest.step == folder.read_metrics()[-1].step


def test_the_run_survives_the_session_that_started_it(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tui_gpt",
        "--workspace",
        str(tmp_path),
        "train",
        *SMALL,
        "training.duration=100000",
    ]
    shell = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    folder = until(lambda: (list_runs(tmp_path / "runs") or [None])[0], "a run")
    before = at_step(folder, 1).step
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()
    at_step(folder, before + 20)
    assert folder.state() == "running"
    _stop(folder)


def test_the_run_survives_its_terminal_and_attach_shows_it(tmp_path: Path) -> None:
    arguments = ["-m", "tui_gpt", "--workspace", str(tmp_path), "train", *SMALL, "training.duration=100000"]
    shell = pexpect.spawn(sys.executable, arguments, timeout=90)
    shell.expect("loss")
    shell.close()  # SIGHUP, and a terminal that is gone
    (folder,) = list_runs(tmp_path / "runs")
    at_step(folder, folder.read_status().step + 20)
    attached = pexpect.spawn(sys.executable, ["-m", "tui_gpt", "--workspace", str(tmp_path), "attach"], timeout=90)
    attached.expect("running.*step")
    attached.sendintr()
    attached.expect("the run continues")
    attached.wait()
    assert folder.state() == "running"
    _stop(folder)


def test_ctrl_c_saves_and_stops_with_exit_code_130(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tui_gpt",
        "--workspace",
        str(tmp_path),
        "train",
        *SMALL,
        "training.duration=100000",
    ]
    shell = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    folder = until(lambda: (list_runs(tmp_path / "runs") or [None])[0], "a run")
    at_step(folder, 3)
    shell.send_signal(signal.SIGINT)
    assert shell.wait(60) == 130
    status = ended(folder)
    assert status.state == "stopped" and status.by_signal
    assert manifest.newest(folder.checkpoints, ["full"]).step == status.step


def test_a_run_whose_folder_was_renamed_while_live_resumes_bit_identically(
    workspace: Path, uninterrupted: dict[int, float | None]
) -> None:
    folder = start(workspace, f"training.duration={STEPS}")
    at_step(folder, 10)
    moved = RunFolder(folder.path.rename(folder.path.with_name("renamed")))
    until(lambda: not moved.is_locked(), "a free lock")
    status = moved.read_status()
    assert status is not None and "was moved" in status.message and not folder.path.exists()
    assert manifest.newest(moved.checkpoints, ["full"]).step == status.step >= 10
    resume(moved)
    assert ended(moved).state == "finished"
    assert losses(moved) == uninterrupted


def test_a_run_whose_folder_was_deleted_while_live_can_be_resumed(
    workspace: Path, uninterrupted: dict[int, float | None]
) -> None:
    folder = start(workspace, f"training.duration={STEPS}")
    at_step(folder, 10)
    while folder.path.exists():  # files are written meanwhile
        shutil.rmtree(folder.path, ignore_errors=True)
    rescued = RunFolder(folder.path.with_name(f"{folder.id}-rescued"))
    until(lambda: rescued.status.exists() and not rescued.is_locked(), "the end of the run")
    status = rescued.read_status()
    assert status is not None and not folder.path.exists()
    resume(rescued)
    assert ended(rescued).state == "finished"
    assert losses(rescued) == {step: loss for step, loss in uninterrupted.items() if step > status.step}


def _stop(folder: RunFolder) -> None:
    from tui_gpt.run import command_files
    from tui_gpt.run.messages import Command

    command_files.send(folder, Command(name="stop"))
    assert ended(folder).state == "stopped"


def test_a_branch_needs_neither_its_parent_nor_its_place(tmp_path: Path) -> None:
    trunk = start(tmp_path / "before", "training.duration=10", "sampling.every=0")
    assert ended(trunk).state == "finished"
    request = launch.cooldown_request(manifest.step_folder(trunk.checkpoints, 5), 8, {"checkpoints": {"every": 0}})
    branch = launch.start(trunk.path.parent, trunk.path.parent.parent / "corpus", request, name="branch")
    status = ended(branch)
    assert status.state == "finished"
    whole = losses(branch)
    shutil.rmtree(manifest.newest(branch.checkpoints, ["full"]).path)  # as killed before it saved
    assert manifest.newest(branch.checkpoints, ["full"]).step == 5
    (tmp_path / "before").rename(tmp_path / "after")
    branch = RunFolder(tmp_path / "after" / "runs" / branch.id)
    delete(RunFolder(tmp_path / "after" / "runs" / trunk.id))
    assert str(tmp_path) not in branch.config.read_text().replace(str(tmp_path / "before" / "runs" / trunk.id), "")
    branch.status.unlink()
    resume(branch)
    assert ended(branch).state == "finished"
    assert losses(branch) == whole
    loaded = load_model(manifest.locate(branch.path))
    assert loaded.tokenizer.decode(loaded.tokenizer.encode("Lily")) == "Lily"
