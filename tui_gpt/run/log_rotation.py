"""Bounds the log of a run, to which the supervisor and the trainer write through descriptors that they inherited.

Such a file cannot be renamed away from its writers. It is copied and cut to nothing instead; since it was opened for
appending, the next line of each writer is its first.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

MAX_BYTES = 10 << 20  # of the log; as much again is kept of what came before


def rotate(log: Path, before: Path) -> bool:
    """Move the contents of a log that is too large to the file `before`, and return whether that was done.

    What is written at that moment is moved as well, but for the microseconds between the last look and the cut. Raise
    OSError, for example when the disk is full; the log is then as it was.
    """
    size = log.stat().st_size
    if size <= MAX_BYTES:
        return False
    temporary = before.with_name(f".{before.name}")
    try:
        with log.open("r+b") as file, temporary.open("wb") as copy:
            if size > 2 * MAX_BYTES:  # of an earlier version, which did not bound it
                file.seek(size - MAX_BYTES)
            shutil.copyfileobj(file, copy)
            copy.flush()
            temporary.replace(before)
            copy.write(file.read())  # what was added meanwhile
            copy.flush()
            file.truncate(0)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def lines(file: IO[bytes], before: Path) -> Iterator[bytes]:
    """Yield the lines of an open log, those that were moved to `before` first."""
    try:
        with before.open("rb") as moved:
            yield from moved
    except FileNotFoundError:
        pass
    yield from file


def added_lines(file: IO[bytes], before: Path) -> Iterator[bytes]:
    """Yield the lines since the position of an open log, also when it was rotated since."""
    position = file.tell()
    if file.seek(0, 2) < position:
        try:
            with before.open("rb") as moved:
                moved.seek(position)
                yield from moved
        except FileNotFoundError:
            pass
        position = 0
    file.seek(position)
    yield from file
