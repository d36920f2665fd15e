"""Append-only JSONL files with one writer and any number of readers that follow.

A writer makes one `write` call for each line, so a killed writer leaves at most one incomplete line at the end; the
next writer's first line terminates it, and readers skip it. Each line ends with a checksum, so that a flipped bit is
found. A line `{"rewound_to": N}` voids all lines after step N.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from tui_gpt.files import add_checksum, is_intact
from tui_gpt.run.messages import Message, Rewound

T = TypeVar("T", bound=Message)


class JsonlWriter:
    """Appends messages to a file. Methods raise OSError when writing fails, for example because the disk is full."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        size = os.fstat(self._fd).st_size
        self._is_torn = bool(size) and os.pread(self._fd, 1, size - 1) != b"\n"  # by a killed writer

    def append(self, message: Message) -> None:
        """Write `message` as one line, or nothing of it."""
        line = b"\n" * self._is_torn + add_checksum(msgspec.json.encode(message)) + b"\n"
        written = os.write(self._fd, line)
        if written == len(line):
            self._is_torn = False
            return
        if written:  # the disk is full, or the file at its limit: take the part back, or end its line with the next one
            try:
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            except OSError:
                self._is_torn = True
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self) -> None:
        """Flush the lines to disk."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class JsonlReader(Generic[T]):
    """Reads a JSONL file incrementally.

    `poll` returns the complete lines since the last call, in order, as `kind` or `Rewound`. Lines that are incomplete
    or damaged, or lack a field, are skipped. A missing file has no lines. A file that shrank or was replaced is read
    again from the beginning, after a `Rewound(rewound_to=0)`.
    """

    def __init__(self, path: Path, kind: type[T], *, chunk_bytes: int = 1 << 26) -> None:
        self.path, self.kind, self._chunk_bytes = path, kind, chunk_bytes
        self._offset = 0
        self._inode = 0
        decoder = msgspec.json.Decoder(kind)
        self._decode, self._decode_lines = decoder.decode, decoder.decode_lines
        self._decode_rewound = msgspec.json.Decoder(Rewound).decode

    def poll(self, *, at_once: bool = True) -> list[T | Rewound]:
        """Return the lines since the last call; with `at_once=False` at most one chunk of them."""
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                found: list[T | Rewound] = []
                if self._offset and (stat.st_ino != self._inode or stat.st_size < self._offset):
                    self._offset = 0
                    found.append(Rewound(rewound_to=0))
                self._inode = stat.st_ino
                while stat.st_size > self._offset:
                    file.seek(self._offset)
                    data = file.read(self._chunk_bytes)
                    end = data.rfind(b"\n") + 1
                    if not end:
                        if len(data) < self._chunk_bytes:
                            break
                        end = len(data)  # longer than any line that we write: skip it
                    self._offset += end
                    found += self._lines(data[:end])
                    if not at_once:
                        break
                return found
        except FileNotFoundError:
            return []

    def _lines(self, data: bytes) -> list[T | Rewound]:
        lines = data.splitlines()
        if b'{"rewound_to"' not in data and all(map(is_intact, lines)):
            try:  # faster: a million lines in 0.7 s instead of 3
                return list(self._decode_lines(data))
            except (ValueError, RecursionError):
                pass  # decode line by line, and skip the incomplete one
        found: list[T | Rewound] = []
        for line in filter(is_intact, lines):
            try:
                found.append(self._decode_rewound(line) if line.startswith(b'{"rewound_to"') else self._decode(line))
            except (ValueError, RecursionError):
                continue
        return found


def read_jsonl(path: Path, kind: type[T]) -> list[T]:
    """Return the lines of a file in order, without those voided by a rewind."""
    return append_entries([], JsonlReader(path, kind).poll())


def append_entries(entries: list[T], new: list[T | Rewound]) -> list[T]:
    """Append `new` to `entries` in place, apply rewinds, and return `entries`.

    A rewind to step 0, as of a file that was replaced, voids everything, also what has no step.
    """
    for item in new:
        if isinstance(item, Rewound):
            while entries and (item.rewound_to <= 0 or (getattr(entries[-1], "step", None) or 0) > item.rewound_to):
                entries.pop()
        else:
            entries.append(item)
    return entries
