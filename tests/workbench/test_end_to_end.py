"""`gpt-tui` in a pty with the real trainer: `s` starts a run, the run outlives its terminal, and is found again."""

import os
import signal
import sys
from pathlib import Path

import pexpect
import pytest

from tui_gpt.config import to_toml
from tui_gpt.run.folder import list_runs

ROOT = Path(__file__).parents[2]
SMALL = {
    "preset": "pico",
    "model": {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 16},
    "data": {"corpus": "tiny", "tokenizer": "byte"},
    "training": {"duration": "4000 steps", "threads": 1, "compile": "off"},
}


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "draft.toml").write_text(to_toml(SMALL))
    yield tmp_path
    for folder in list_runs(tmp_path / "runs"):
        status = folder.read_status()
        if status is not None and folder.is_locked():
            os.kill(status.supervisor_pid, signal.SIGKILL)
            for pid in status.trainer_pids:
                os.kill(pid, signal.SIGKILL)


def opened(workspace: Path) -> pexpect.spawn:
    env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    argv = ["-m", "tui_gpt", "--workspace", str(workspace)]
    return pexpect.spawn(sys.executable, argv, dimensions=(40, 120), env=env, timeout=60, cwd=str(workspace))


def test_a_run_is_started_survives_its_terminal_and_is_stopped_from_the_next(workspace):
    first = opened(workspace)
    first.expect(b"Start training")
    first.send("s")
    first.expect(b"running")
    first.expect(rb"[\d,]+/4,000")
    first.kill(signal.SIGKILL)
    first.wait()
    (folder,) = list_runs(workspace / "runs")
    assert folder.is_locked()

    second = opened(workspace)
    second.expect(b"running")
    second.expect(rb"[\d,]+/4,000")
    second.send("X")
    second.expect(b"save and stop")
    second.send("y")
    second.expect(b"[Ss]topped")
    second.send("q")
    second.expect(pexpect.EOF)
    second.wait()
    assert second.exitstatus == 0
    assert not folder.is_locked()
    assert folder.state() == "stopped"
    steps = [line.step for line in folder.read_metrics()]
    assert steps == list(range(1, len(steps) + 1))
