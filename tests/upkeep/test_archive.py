"""A run survives its archive whole, and no archive can do more than restore a run."""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
from pathlib import Path

import pytest
import zstandard
from click.testing import CliRunner, Result

from tui_gpt.cli.root import gpt_tui
from tui_gpt.errors import RunError
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder, take_lock
from tui_gpt.upkeep.archive import CONTENTS, archive, restore


def quiet(phase: str, fraction: float | None) -> None:
    pass


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = folders.create(tmp_path / "runs", "run", {"preset": "pico"})
    folder.metrics.write_text('{"step": 1}\n' * 100)
    checkpoint = folder.checkpoints / "step-00000005"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_bytes(os.urandom(100_000))
    os.close(take_lock(folder))
    (folder.commands / "stale.json").write_text("{}")
    (folder.path / ".partial-step-00000010").mkdir()
    (folder.path / ".partial-step-00000010" / "model.safetensors").write_text("half")
    (folder.path / "link").symlink_to("/etc/passwd")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def gpt(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(gpt_tui, [*arguments, "--workspace", str(workspace)])


def test_a_run_is_restored_as_it_was(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    packed = gpt(tmp_path, "archive", run.id, str(tmp_path / "backup"))
    file = tmp_path / "backup" / f"{run.id}.tar.zst"
    assert packed.exit_code == 0 and packed.stdout == f"{file}\n"
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert isinstance(gpt(tmp_path, "archive", run.id, str(file)).exception, RunError)
    there = gpt(tmp_path, "restore", str(file))
    assert isinstance(there.exception, RunError) and "already exists" in str(there.exception)
    other = tmp_path / "other"
    restored = gpt(other, "restore", str(file), "--json")
    path = other / "runs" / run.id
    assert json.loads(restored.stdout) == {"run": run.id, "path": str(path)}
    assert contents(path) == {
        name: (run.path / name).read_bytes()
        for name in ("config.toml", "metrics.jsonl", "checkpoints/step-00000005/model.safetensors")
    }
    again = folders.find(other / "runs", run.id)
    assert again.commands.stat().st_mode & 0o777 == 0o700 and again.read_config() == run.read_config()
    assert [each.name for each in (other / "runs").iterdir()] == [run.id]


def test_a_name_that_is_not_utf_8_is_an_error_in_one_line(run: RunFolder, tmp_path: Path) -> None:
    (run.path / os.fsdecode(b"note\xff.txt")).write_text("x")
    with pytest.raises(RunError, match="not UTF-8"):
        archive(run, tmp_path / "a.tar.zst", quiet)
    assert not list(tmp_path.glob(".*")) and not list(tmp_path.glob("*.zst"))


def test_a_live_run_is_not_archived(run: RunFolder, tmp_path: Path) -> None:
    lock = take_lock(run)
    try:
        with pytest.raises(RunError, match="live"):
            archive(run, tmp_path / "a.tar.zst", quiet)
    finally:
        os.close(lock)
    assert not list(tmp_path.glob("*.zst*"))


def test_an_archive_that_was_cut_or_changed_restores_nothing(run: RunFolder, tmp_path: Path) -> None:
    file = archive(run, tmp_path / "a.tar.zst", quiet)
    whole, runs, chosen = file.read_bytes(), tmp_path / "other" / "runs", random.Random(1)
    for number in range(60):
        at = chosen.randrange(len(whole))
        data = bytearray(whole)
        data[at] ^= 1 << chosen.randrange(8)
        file.write_bytes(bytes(data) if number % 2 else whole[:at])
        with pytest.raises(RunError, match=r"damaged|already exists|not a valid"):
            restore(file, runs, quiet)
        assert list(runs.iterdir()) == []
    file.write_bytes(whole)
    assert restore(file, runs, quiet).metrics.read_bytes() == run.metrics.read_bytes()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"x") -> tuple:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, link
    header.size = len(data) if kind == tarfile.REGTYPE else 0
    return header, data


@pytest.mark.parametrize(
    "hostile",
    [
        member("../escaped"),
        member("20260101-101010-run/../../escaped"),
        member("/tmp/escaped"),
        member("20260101-101010-run/link", tarfile.SYMTYPE, "/etc"),
        member("20260101-101010-run/link", tarfile.SYMTYPE, "config.toml"),
        member("20260101-101010-run/hard", tarfile.LNKTYPE, "20260101-101010-run/config.toml"),
        member("20260101-101010-run/fifo", tarfile.FIFOTYPE),
        member("20260101-101010-run/device", tarfile.CHRTYPE),
        member("other-run/config.toml"),
        member("20260101-101010-run"),
        member("20260101-101010-run/config.toml"),
        member(CONTENTS, data=b"{}"),
        member(CONTENTS, tarfile.SYMTYPE, "/etc/passwd"),
        member("20260101-101010-run/\x1b[31m"),
    ],
)
def test_an_archive_with_anything_else_is_refused(tmp_path: Path, hostile: tuple) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for header, data in (member("20260101-101010-run/config.toml"), hostile):
            tar.addfile(header, io.BytesIO(data))
    file, runs = tmp_path / "a.tar.zst", tmp_path / "w" / "runs"
    file.write_bytes(zstandard.compress(buffer.getvalue()))
    before = set(tmp_path.iterdir())
    with pytest.raises(RunError) as caught:
        restore(file, runs, quiet)
    assert "\x1b" not in str(caught.value) and list(runs.iterdir()) == []
    assert set(tmp_path.iterdir()) - before == {tmp_path / "w"}


@pytest.mark.parametrize("data", [b"", b"text", zstandard.compress(b""), zstandard.compress(b"\0" * 5000)])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(RunError, match="not an archive"):
        restore(tmp_path / "a", tmp_path / "runs", quiet)
    with pytest.raises(RunError, match="no such file"):
        restore(tmp_path / "b", tmp_path / "runs", quiet)
