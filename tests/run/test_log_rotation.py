"""The log of a run is bounded, loses nothing, and can be followed while it is rotated."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tui_gpt.cli.root import gpt_tui
from tui_gpt.run import folder as folders
from tui_gpt.run import log_rotation
from tui_gpt.run.log_rotation import added_lines, rotate


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_rotation, "MAX_BYTES", 1000)


def test_inherited_descriptors_go_on_in_the_rotated_log(tmp_path: Path) -> None:
    log, before = tmp_path / "trainer.log", tmp_path / "trainer.log.1"
    writers = [log.open("ab", buffering=0), log.open("ab", buffering=0)]
    written = rotations = 0
    for number in range(500):
        written += writers[number % 2].write(b"line %d\n" % number)
        rotations += rotate(log, before)
        assert log.stat().st_size <= 1000
    assert rotations >= 4 and sorted(path.name for path in tmp_path.iterdir()) == [log.name, before.name]
    kept = (before.read_bytes() + log.read_bytes()).decode().splitlines()
    assert kept == [f"line {number}" for number in range(500 - len(kept), 500)] and len(kept) > 100


def test_a_log_of_an_earlier_version_is_cut_to_its_end(tmp_path: Path) -> None:
    log, before = tmp_path / "trainer.log", tmp_path / "trainer.log.1"
    log.write_bytes(b"x" * 50_000 + b"end")
    assert rotate(log, before)
    assert log.stat().st_size == 0 and before.read_bytes() == b"x" * 997 + b"end"


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, before = tmp_path / "trainer.log", tmp_path / "trainer.log.1"
    log.write_bytes(b"x" * 1500)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_rotation.shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space"):
        rotate(log, before)
    assert log.stat().st_size == 1500 and list(tmp_path.iterdir()) == [log]


@pytest.mark.parametrize("lines_a_poll", [1, 7, 60])
def test_a_reader_that_follows_sees_every_line_once(tmp_path: Path, lines_a_poll: int) -> None:
    log, before = tmp_path / "trainer.log", tmp_path / "trainer.log.1"
    writer, seen = log.open("ab", buffering=0), []
    with log.open("rb") as reader:
        for number in range(300):
            writer.write(b"line %d\n" % number)
            rotate(log, before)
            if number % lines_a_poll == lines_a_poll - 1:
                seen += added_lines(reader, before)
        seen += added_lines(reader, before)
    assert seen == [b"line %d\n" % number for number in range(300)]


def test_logs_shows_what_was_moved_away(tmp_path: Path) -> None:
    folder = folders.create(tmp_path / "runs", "run", {})
    with folder.log.open("ab", buffering=0) as log:
        for number in range(300):
            log.write(b"line %d\n" % number)
            rotate(folder.log, folder.log_before)
    for options in ([], ["-f"]):
        arguments = ["logs", folder.id, "-n", "120", "--workspace", str(tmp_path), *options]
        result = CliRunner().invoke(gpt_tui, arguments)
        assert result.stdout.splitlines() == [f"line {number}" for number in range(180, 300)]
