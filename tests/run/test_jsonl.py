"""Journals: no line is lost or glued to another, wherever a write ends."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tui_gpt.files import add_checksum
from tui_gpt.run import jsonl
from tui_gpt.run.jsonl import JsonlReader, JsonlWriter, read_jsonl
from tui_gpt.run.messages import Progress

LINES = [Progress(state="running", phase="training", step=step) for step in range(4)]
LENGTH = len(add_checksum(msgspec.json.encode(LINES[1]))) + 1


@contextmanager
def limit(size: int) -> Iterator[None]:
    """Let no file of this process grow past a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", range(LENGTH))
def test_a_line_that_finds_no_room_is_not_half_there(tmp_path: Path, room: int) -> None:
    path = tmp_path / "journal.jsonl"
    writer, reader = JsonlWriter(path), JsonlReader(path, Progress)
    writer.append(LINES[0])
    before = path.read_bytes()
    with limit(len(before) + room), pytest.raises(OSError):
        writer.append(LINES[1])
    assert reader.poll() == LINES[:1] and path.read_bytes() == before
    for line in LINES[1:]:
        writer.append(line)
    assert reader.poll() == LINES[1:] and read_jsonl(path, Progress) == LINES
    writer.close()


@pytest.mark.parametrize("room", range(1, LENGTH, 7))
def test_a_part_that_cannot_be_taken_back_is_ended_by_the_next_line(
    tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JsonlWriter(path)
    writer.append(LINES[0])

    def refuse(fd: int, length: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(jsonl.os, "ftruncate", refuse)
        with limit(path.stat().st_size + room), pytest.raises(OSError):
            writer.append(LINES[1])
    writer.append(LINES[1])
    writer.append(LINES[2])
    assert read_jsonl(path, Progress) == LINES[:3]
    writer.close()


@pytest.mark.parametrize("kept", range(LENGTH))
def test_a_line_cut_off_by_a_kill_is_ended_by_the_next_writer(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JsonlWriter(path)
    writer.append(LINES[0])
    writer.close()
    with path.open("ab") as file:
        file.write((msgspec.json.encode(LINES[1]) + b"\n")[:kept])
    writer = JsonlWriter(path)
    writer.append(LINES[2])
    writer.close()
    found = read_jsonl(path, Progress)
    assert found in ([LINES[0], LINES[2]], [LINES[0], LINES[1], LINES[2]])


def test_no_flipped_bit_makes_another_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = JsonlWriter(path)
    for line in LINES[:2]:
        writer.append(line)
    writer.close()
    data, skipped = path.read_bytes(), 0
    for at in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            path.write_bytes(damaged)
            found = read_jsonl(path, Progress)
            assert found in (LINES[:2], LINES[:1], LINES[1:2], [])
            skipped += found != LINES[:2]
    assert skipped > 6 * len(data)  # the others are in the names and quotes of the checksum itself


def test_lines_without_a_checksum_are_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in LINES))
    assert read_jsonl(path, Progress) == LINES
