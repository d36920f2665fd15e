"""What scripts rely on: exit codes, and one shape of JSON for everything that is done to a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from tests.cli.conftest import Result
from tui_gpt import launch
from tui_gpt.cli.root import gpt_tui
from tui_gpt.config import override
from tui_gpt.errors import RunError
from tui_gpt.files import write_atomically
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Status
from tui_gpt.run.supervisor import StartRequest

Command = Callable[..., Result]


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


LEAVES = dict(leaves(gpt_tui))
REFUSED: dict[str, tuple[str, ...]] = {
    "train": ("--resume", "absent"),
    "delete": ("absent", "--yes"),
    "kill": ("absent", "--yes"),
    "rename": ("absent", "name"),
    "export": ("absent", "out"),
    "import": ("absent",),
    "bench": ("--corpus", "absent"),
    "corpus add": ("name", "absent"),
    "corpus fetch": ("absent",),
    "corpus make": ("absent",),
    "completion": ("tcsh",),
}
WITHOUT_ARGUMENTS = ("runs", "doctor", "corpus list")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = folders.create(tmp_path / "runs", "run", override({}, []))
    status = Status(
        state="failed", phase="", started=1.0, heartbeat=1.0, host="h", supervisor_pid=1, message="no memory"
    )
    write_atomically(folder.status, msgspec.json.encode(status))
    return folder


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_refuses_wrong_options_and_names_with_exit_code_2(
    path: tuple[str, ...], tmp_path: Path, command: Command
) -> None:
    result = command(tmp_path, *path, "--no-such-option")
    assert result.returncode == 2 and not result.stdout and "--no-such-option" in result.stderr
    name = " ".join(path)
    if name not in WITHOUT_ARGUMENTS:
        result = command(tmp_path, *path, *REFUSED.get(name, ("absent",)))
        assert result.returncode == 2 and not result.stdout and "Traceback" not in result.stderr
        assert "absent" in result.stderr or "is not one of" in result.stderr, result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_that_prints_data_or_changes_a_run_takes_json(path: tuple[str, ...]) -> None:
    options = {name for parameter in LEAVES[path].params for name in parameter.opts}
    assert "--json" in options or path in (("logs",), ("completion",))
    assert "--workspace" in options


@pytest.mark.parametrize("folder", ["runs", "corpus"])
def test_a_workspace_that_cannot_be_read_is_an_error_in_one_line(folder: str, tmp_path: Path, command: Command) -> None:
    (tmp_path / folder).symlink_to(tmp_path / folder)
    for arguments in (("status",), ("runs",), ("corpus", "list"), ("corpus", "info", "absent")):
        result = command(tmp_path, *arguments)
        assert result.returncode in (0, 1, 2) and len(result.stderr.splitlines()) <= 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RunError("is refused"), 2),
        (KeyboardInterrupt(), 130),
        (OSError(5, "Input/output error"), 1),
        (ValueError("unexpected"), 1),
        (click.Abort(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_exit_code_of_each_kind_of_error(
    error: BaseException, code: int, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def fail(runs: Path) -> None:
        raise error

    monkeypatch.setattr(folders, "list_runs", fail)
    result = command(tmp_path, "runs", "--json")
    assert result.returncode == code and not result.stdout
    assert len(result.stderr.strip().splitlines()) == 1


def test_what_is_done_to_a_run_is_told_in_one_shape(run: RunFolder, tmp_path: Path, command: Command) -> None:
    def act(*arguments: str, code: int = 0) -> dict[str, Any]:
        result = command(tmp_path, *arguments, "--json")
        assert result.returncode == code, result.stderr
        (line,) = result.stdout.splitlines()
        told = json.loads(line)
        assert list(told)[:4] == ["run", "command", "ok", "message"]
        assert told["command"] == arguments[0] and told["ok"] is (code == 0)
        return told

    waited = act("wait", run.id, code=1)
    assert (waited["state"], waited["exit_code"], waited["message"]) == ("failed", 1, "no memory")
    renamed = act("rename", run.id, "other")
    assert renamed["run"].endswith("-other") and run.id in renamed["message"] and Path(renamed["path"]).is_dir()
    assert act("delete", "other", "--yes")["size_bytes"] > 0
    assert not any((tmp_path / "runs").iterdir())


def test_commands_to_a_live_run_are_told_in_json(tmp_path: Path, command: Command) -> None:
    folder = folders.create(tmp_path / "runs", "run", override({}, []))
    launch.start_supervisor(folder, StartRequest(corpus_dir=str(tmp_path), trainer="tests.run.fake_trainer:run"))
    waiting = json.loads(command(tmp_path, "wait", "run", "--timeout", "0", "--json").stdout)
    assert (waiting["ok"], waiting["exit_code"]) == (False, 124)
    killed = json.loads(command(tmp_path, "kill", "run", "--yes", "--json").stdout)
    assert killed["run"] == folder.id and killed["ok"] and "killed 2 processes" in killed["message"]


def test_detach_and_dry_run_print_json(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    dry = json.loads(command(tmp_path, "train", "--dry-run", "--steps", "10", "--json").stdout)
    assert dry["config"]["training"]["duration"] == "10 steps" and dry["tokens"] == 10 * dry["tokens_per_step"]
    assert dry["parameters"] > 0 and dry["memory_bytes"] > 0 and not (tmp_path / "runs").exists()

    def start(runs: Path, *_: object, **__: object) -> RunFolder:
        return folders.create(runs, "run", override({}, []))

    monkeypatch.setattr(launch, "start", start)
    started = json.loads(command(tmp_path, "train", "--detach", "--json").stdout)
    assert started["command"] == "train" and started["ok"] and Path(started["path"]).name == started["run"]
