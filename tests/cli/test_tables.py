"""Tables on stdout: in full in a pipe, fitted to the width of a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import struct
import subprocess
import sys
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest
from click.testing import CliRunner, Result

from tests.cli.test_cli import gpt_tui
from tui_gpt.cli.root import gpt_tui as cli
from tui_gpt.cli.tables import Column, format_plain

LONG = "20300101-000000-nano-0.7-tinystories+0.3-shakespeare-a-name-that-says-everything"
SHORT = "20300102-000000-pico"


def write_run(workspace: Path, id: str, losses: list[float | None]) -> None:
    folder = workspace / "runs" / id
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('preset = "pico"\n')
    line = {"tokens": 1, "learning_rate": 1e-3, "grad_norm": 0.5, "tokens_per_second": 2e4, "elapsed_seconds": 1.0}
    metrics = [line | {"step": step, "loss": loss} for step, loss in enumerate(losses, 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    evals = {"step": 2, "val_loss": 1.25, "perplexity": 3.5, "bits_per_byte": None, "tokens": 9, "whole": True}
    (folder / "evals.jsonl").write_text(json.dumps(evals) + "\n")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write_run(tmp_path, LONG, [4.0, 3.0, None, 2.0, 1.5])
    write_run(tmp_path, SHORT, [5.0, 4.5, 4.0])
    return tmp_path


def run(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--workspace", str(workspace), *arguments], env={"COLUMNS": "80"})


def in_terminal(workspace: Path, *arguments: str, columns: int = 80, **environment: str) -> str:
    """Return what a command writes to a terminal of that width."""
    master, slave = pty.openpty()
    ioctl(slave, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "tui_gpt", "--workspace", str(workspace), *arguments]
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    environment = kept | {"TERM": "xterm-256color"} | environment
    process = subprocess.Popen(command, stdout=slave, stderr=subprocess.DEVNULL, env=environment)
    os.close(slave)
    output = b""
    try:
        while data := os.read(master, 65536):
            output += data
    except OSError:  # Linux raises EIO when the other end is closed
        pass
    os.close(master)
    assert process.wait(60) == 0
    return output.decode().replace("\r\n", "\n")


def test_runs_in_a_pipe_prints_full_names_aligned_without_colour(workspace: Path) -> None:
    done = gpt_tui(workspace, "runs")
    header, long, short = done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    assert long.endswith(f" MiB  {LONG}") and short.endswith(f" MiB  {SHORT}")
    assert header.startswith("state") and header.index("run") == long.index(LONG) == short.index(SHORT)
    assert header.index("run") + len(SHORT) <= 80  # a long name wraps alone


def test_runs_on_a_terminal_fits_the_width_without_losing_characters(workspace: Path) -> None:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", in_terminal(workspace, "runs")).splitlines()
    assert max(map(len, lines)) <= 80
    start = lines[0].rindex("run")
    assert LONG in "".join(line[start:].strip() for line in lines) and "MiB" in lines[1]


def test_a_table_without_titles_has_no_heading() -> None:
    rows = [["a", "10"], ["bcd", "5"]]
    assert format_plain([Column(), Column("", "right")], rows) == ["a    10", "bcd   5"]
