"""Damaged and hostile files and names: an error in one line, no traceback, and nothing that a terminal obeys."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli.conftest import Result
from tests.cli.test_cli import gpt_tui
from tui_gpt.config import override
from tui_gpt.files import write_atomically
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Event, Failure, Status
from tui_gpt.safe_text import UNSAFE

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\u202eevil\r\x00"
DEEP = "[" * 100_000


def assert_plain(result: Any) -> None:
    """Assert that a command printed no traceback and nothing that a terminal obeys."""
    for text in (result.stdout, result.stderr):
        assert "Traceback" not in text, text
        assert not (found := UNSAFE.findall(text)), f"{found} in {text!r}"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = folders.create(tmp_path / "runs", "run", override({}, []))
    status = Status(state="failed", phase="", started=1.0, heartbeat=1.0, host="h", supervisor_pid=1)
    write_atomically(folder.status, msgspec.json.encode(status))
    return folder


COMMANDS = [("runs",), ("runs", "--json"), ("status", "run"), ("status", "run", "--json"), ("attach", "run")]
COMMANDS += [("logs", "run"), ("plot", "run"), ("sample", "run"), ("eval", "run")]  # not resume: it would train
COMMANDS += [("verify", "run"), ("verify", "run", "--json"), ("gc", "--dry-run"), ("gc", "--yes"), ("archive", "run")]
COMMANDS += [("delete", "run"), ("rename", "run", HOSTILE.replace("\0", "")), ("pause", "run")]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: " ".join(arguments)[:20])
def test_hostile_text_in_every_field_reaches_no_terminal(
    run: RunFolder, command: Callable[..., Result], arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.path.parent.parent)  # where an archive is written
    failure = Failure(what=HOSTILE, where=HOSTILE, do=HOSTILE, signal=HOSTILE, log_tail=(HOSTILE,))
    status = Status(
        state="failed",
        phase=HOSTILE,
        started=1.0,
        heartbeat=1.0,
        host=HOSTILE,
        boot_id=HOSTILE,
        supervisor_pid=1,
        message=HOSTILE,
        failure=failure,
        device=HOSTILE,
        gpu_uuid=HOSTILE,
    )
    write_atomically(run.status, msgspec.json.encode(status))
    events = [Event(time=1.0, kind=HOSTILE, message=HOSTILE, level="warning", data={HOSTILE: HOSTILE})]
    run.events.write_bytes(b"\n".join(msgspec.json.encode(event) for event in events) + b"\n")
    run.log.write_text(HOSTILE, newline="")
    assert_plain(command(run.path.parent.parent, *arguments))


@pytest.mark.parametrize("name", ["config.toml", "status.json", "run.json", "metrics.jsonl", "events.jsonl"])
@pytest.mark.parametrize(
    "content",
    [DEEP, "a = " + DEEP, "\xff\xfe".encode("latin-1"), '{"step": ' + "9" * 5000 + "}", "x = " + "9" * 5000, "", None],
    ids=["deep JSON", "deep TOML", "bytes", "long JSON number", "long TOML number", "empty", "a folder"],
)
def test_a_damaged_file_of_a_run_is_an_error_in_one_line(
    run: RunFolder, command: Callable[..., Result], name: str, content: str | bytes | None
) -> None:
    path = run.path / name
    path.unlink(missing_ok=True)
    if content is None:
        path.mkdir()
    elif isinstance(content, str):
        path.write_text(content)
    else:
        path.write_bytes(content)
    assert command(run.path.parent.parent, "runs").returncode == 0
    result = command(run.path.parent.parent, "status", run.id)
    assert_plain(result)
    assert len(result.stderr.splitlines()) <= 1 and result.returncode in (0, 2)
    verified = command(run.path.parent.parent, "verify", run.id)
    assert_plain(verified)
    is_valid = content == "" and name == "config.toml"
    assert verified.returncode == int(not is_valid) or name.endswith(".jsonl"), verified
    assert "internal error" not in verified.stderr and len(verified.stdout.splitlines()) <= 1


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


STRANGE: dict[str, Callable[[Path], object]] = {
    "a file": lambda path: path.write_text("x"),
    "a loop": make_loop,
    "no UTF-8": lambda path: Path(os.fsdecode(os.fsencode(path) + b"\xff")).mkdir(),
    "hostile": lambda path: path.with_name("evil\x1b[2J").mkdir(),
    "a fifo for a config": lambda path: (path.mkdir(), os.mkfifo(path / "status.json"), (path / "config.toml").touch()),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_one_strange_entry_does_not_hide_the_other_runs(
    run: RunFolder, command: Callable[..., Result], kind: str
) -> None:
    STRANGE[kind](run.path.parent / "strange")
    result = command(run.path.parent.parent, "runs")
    assert_plain(result)
    assert result.returncode == 0 and run.id in result.stdout


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_any_text_can_be_printed_in_any_encoding(run: RunFolder, encoding: str) -> None:
    run.log.write_text("snowman ☃ 漢字\n")
    result = gpt_tui(run.path.parent.parent, "logs", "run", env={**os.environ, "PYTHONIOENCODING": encoding})
    assert result.returncode == 0 and "snowman" in result.stdout, result.stderr


def test_closed_standard_input_reads_as_empty(run: RunFolder) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tui_gpt", "--workspace", str(run.path.parent.parent), "delete", "run"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        preexec_fn=lambda: os.close(0),
    )
    assert_plain(result)
    assert result.returncode == 130 and run.config.exists()


def test_an_unexpected_error_is_one_line_and_its_details_are_in_a_file(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['gpt-tui', 'runs']\n"
        "import tui_gpt.run.folder as folders\n"
        "folders.list_runs = lambda runs: 1 / 0\n"
        "from tui_gpt.cli import main; main()"
    )
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False, env=environment
    )
    log = tmp_path / "gpt-tui" / "error.log"
    assert result.returncode == 1 and "internal error: ZeroDivisionError" in result.stderr and str(log) in result.stderr
    assert len(result.stderr.splitlines()) == 1 and "Traceback" in log.read_text()
