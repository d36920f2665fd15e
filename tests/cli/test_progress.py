"""Progress off a terminal, and --quiet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Result
from tui_gpt.cli.progress import ProgressLines
from tui_gpt.config import override
from tui_gpt.files import write_atomically
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Metrics, Status

Command = Callable[..., Result]


def test_a_phase_has_a_line_when_it_begins_and_its_percentage_every_few_seconds() -> None:
    lines: list[str] = []
    seconds = 0.0
    progress = ProgressLines(lines.append, lambda: seconds)
    for percent in range(101):
        progress("encoding", percent / 100)
        progress("waiting", None)
        seconds += 0.25
    assert lines[:3] == ["encoding", "waiting", "encoding 20%"]
    assert [line for line in lines if line != "waiting"][1:] == [f"encoding {n}%" for n in (20, 40, 60, 80, 100)]


@pytest.mark.parametrize("where", ["before", "after"])
def test_quiet_leaves_data_and_errors_only(where: str, tmp_path: Path, command: Command) -> None:
    def run(*arguments: str) -> Result:
        return command(tmp_path, *(("-q", *arguments) if where == "before" else (*arguments, "--quiet")))

    for arguments in (("runs",), ("train", "--dry-run"), ("corpus", "prepare", "tiny", "--tokenizer", "byte")):
        result = run(*arguments)
        assert result.returncode == 0 and not result.stderr and bool(result.stdout) is (arguments != ("runs",))
    result = run("status", "absent")
    assert result.returncode == 2 and "no run matches" in result.stderr
    assert "encoding tiny" in command(tmp_path, "corpus", "prepare", "tiny", "--tokenizer", "char").stderr


def test_corpus_info_shows_progress_while_it_reads(tmp_path: Path, command: Command) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "big.txt").write_text("All work and no play. " * 150_000)
    result = command(tmp_path, "corpus", "info", "big")
    assert result.stderr.startswith("reading big ") and result.stderr.endswith("%\n")


@pytest.fixture
def failed_run(tmp_path: Path) -> RunFolder:
    folder = folders.create(tmp_path / "runs", "run", override({}, []))
    status = Status(
        state="failed",
        phase="training",
        started=1.0,
        heartbeat=1.0,
        host="h",
        supervisor_pid=1,
        step=31,
        total_steps=100,
        message="no memory",
    )
    write_atomically(folder.status, msgspec.json.encode(status))
    line = Metrics(
        step=31, tokens=1, loss=2.5, learning_rate=1e-3, grad_norm=1.0, tokens_per_second=5.0, elapsed_seconds=1.0
    )
    folder.metrics.write_bytes(msgspec.json.encode(line) + b"\n")
    return folder


def test_a_followed_run_is_told_with_percentages_and_a_quiet_one_by_its_failure(
    failed_run: RunFolder, tmp_path: Path, command: Command
) -> None:
    loud = command(tmp_path, "attach", failed_run.id)
    assert loud.returncode == 1 and "step     31   31%  loss 2.5000" in loud.stderr
    quiet = command(tmp_path, "attach", failed_run.id, "--quiet")
    assert quiet.returncode == 1 and quiet.stderr == "gpt-tui: the run failed: no memory\n" and not quiet.stdout
