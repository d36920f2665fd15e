"""Append-only JSON lines: one writer, any number of readers that follow.

A writer sends one `write` for each line, so a kill leaves at most one torn line at the end; the next writer closes it
with a newline and readers skip what does not parse. A `{"rewound_to": N}` line takes back every point beyond step N.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from tui_gpt.run.messages import Message, Rewound

T = TypeVar("T", bound=Message)


class JsonlWriter:
    """Appends messages to a file. Raises OSError when the disk says no."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")

    def append(self, message: Message) -> None:
        line = msgspec.json.encode(message) + b"\n"
        written = os.write(self._fd, line)
        if written != len(line):  # a disk that filled in mid-line: close the torn line, then say so
            raise OSError(28, "No space left on device")

    def sync(self) -> None:
        os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


class JsonlReader(Generic[T]):
    """Follows a journal from where it last stopped.

    `poll` returns the complete lines that came since, in order, as `kind` or `Rewound`; a line that is torn, or from a
    newer version with a missing field, is skipped. A file that is not there yet has no lines; one that shrank or was
    replaced is read anew, after a `Rewound(rewound_to=0)`.
    """

    def __init__(self, path: Path, kind: type[T], *, chunk_bytes: int = 1 << 26) -> None:
        self.path, self.kind, self._chunk_bytes = path, kind, chunk_bytes
        self._offset = 0
        self._inode = 0
        decoder = msgspec.json.Decoder(kind)
        self._decode, self._decode_lines = decoder.decode, decoder.decode_lines
        self._decode_rewound = msgspec.json.Decoder(Rewound).decode

    def poll(self, *, at_once: bool = True) -> list[T | Rewound]:
        """The lines that came since; with `at_once` off a chunk of them, so that a long file can be taken in pieces."""
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
                        end = len(data)  # a line longer than any we write: not ours
                    self._offset += end
                    found += self._lines(data[:end])
                    if not at_once:
                        break
                return found
        except FileNotFoundError:
            return []

    def _lines(self, data: bytes) -> list[T | Rewound]:
        if b'{"rewound_to"' not in data:
            try:  # all at once: a million lines in 0.7 s instead of 3
                return list(self._decode_lines(data))
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass  # some line is torn: one by one
        found: list[T | Rewound] = []
        for line in data.splitlines():
            try:
                found.append(self._decode_rewound(line) if line.startswith(b'{"rewound_to"') else self._decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
        return found


def read_jsonl(path: Path, kind: type[T]) -> list[T]:
    """Every point that still stands, in order: what a rewind took back is left out."""
    return append_entries([], JsonlReader(path, kind).poll())


def append_entries(points: list[T], news: list[T | Rewound]) -> list[T]:
    """`points` with `news` appended and rewinds carried out, in place."""
    for item in news:
        if isinstance(item, Rewound):
            while points and getattr(points[-1], "step", 0) > item.rewound_to:
                points.pop()
        else:
            points.append(item)
    return points
