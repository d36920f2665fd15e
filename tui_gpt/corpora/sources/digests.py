"""Digests of files that are not read again while they are what they were.

Kept by size, times and inode, one small file beside the shards for each file or folder that was asked about. What was
written less than two seconds before it was read is not kept: a later write could leave the same times.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import xxhash

from tui_gpt.corpora.sources.text_files import file_digest, read_error

WORTH_KEEPING_BYTES = 1 << 20  # less is read faster than looked up
AT_REST_SECONDS = 2.0

State = tuple[int, int, int, int]
"""Size, modification and change time in nanoseconds, inode."""


class Digests:
    """`folder`: where they are kept; None keeps none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def of(self, files: Sequence[Path]) -> list[str]:
        """xxh3_128 of each file's bytes. Raises CorpusError for one that cannot be read."""
        states = [_state(file) for file in files]
        if self._folder is None or sum(size for size, *_ in states) < WORTH_KEEPING_BYTES:
            return [file_digest(file) for file in files]
        names = "\0".join(str(file) for file in files)
        kept_in = self._folder / f"{xxhash.xxh3_128_hexdigest(os.fsencode(names))}.json"
        known = _read(kept_in)
        begun = time.time()
        digests, kept = [], {}
        for file, state in zip(files, states, strict=True):
            digest = known.get(str(file), ((0, 0, 0, 0), ""))
            found = digest[1] if digest[0] == state else file_digest(file)
            digests.append(found)
            if _state(file) == state and max(state[1], state[2]) / 1e9 < begun - AT_REST_SECONDS:
                kept[str(file)] = (state, found)
        if kept != known:
            _write(kept_in, kept)
        return digests


def content_key(*parts: object) -> str:
    """Return a digest of `parts`, any values that JSON holds: the name of what is stored by its content."""
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(parts))


def _state(file: Path) -> State:
    try:
        status = file.stat()
    except OSError as error:
        raise read_error(file, error) from None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _read(path: Path) -> dict[str, tuple[State, str]]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[State, str]])
    except (OSError, msgspec.DecodeError):
        return {}


def _write(path: Path, kept: dict[str, tuple[State, str]]) -> None:
    """Best effort: on a disk that is full or read-only the file is read again next time."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.json.encode(kept))
        temporary.replace(path)
