"""Digests of files, cached by size, times and inode, so that an unchanged file is not read again.

The cache holds one small file for each file or folder asked for, and makes it anew when it is damaged. A file written
less than two seconds before it was read is not cached, because a later write could leave the same times.
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
from tui_gpt.files import read_file, write_atomically

MIN_CACHED_BYTES = 1 << 20  # smaller files are read faster than looked up
MIN_AGE_SECONDS = 2.0

State = tuple[int, int, int, int]
"""Size, modification and change time in nanoseconds, inode."""


class Digests:
    """A cache of digests in `folder`; None caches nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def of(self, files: Sequence[Path]) -> list[str]:
        """Return the xxh3_128 of each file's bytes. Raises CorpusError for a file that cannot be read."""
        states = [_state(file) for file in files]
        if self._folder is None or sum(size for size, *_ in states) < MIN_CACHED_BYTES:
            return [file_digest(file) for file in files]
        names = "\0".join(str(file) for file in files)
        cache_file = self._folder / f"{xxhash.xxh3_128_hexdigest(os.fsencode(names))}.json"
        cached = _read(cache_file)
        started = time.time()
        digests, entries = [], {}
        for file, state in zip(files, states, strict=True):
            cached_state, cached_digest = cached.get(str(file), ((0, 0, 0, 0), ""))
            digest = cached_digest if cached_state == state else file_digest(file)
            digests.append(digest)
            if _state(file) == state and max(state[1], state[2]) / 1e9 < started - MIN_AGE_SECONDS:
                entries[str(file)] = (state, digest)
        if entries != cached:
            _write(cache_file, entries)
        return digests


def seal(data: bytes) -> bytes:
    """Return the contents of a cache file: `data`, and a line with its digest."""
    return data + b"\n" + xxhash.xxh3_128_hexdigest(data).encode()


def unseal(contents: bytes) -> bytes:
    """Return what was passed to `seal`. Raises ValueError if the contents are damaged."""
    data, _, digest = contents.rpartition(b"\n")
    if xxhash.xxh3_128_hexdigest(data).encode() != digest:
        raise ValueError("does not match its digest")
    return data


def content_key(*parts: object) -> str:
    """Return a digest of `parts` (any values that JSON can hold), used as the name of something stored by its
    content.
    """
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(parts))


def _state(file: Path) -> State:
    try:
        status = file.stat()
    except OSError as error:
        raise read_error(file, error) from None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _read(path: Path) -> dict[str, tuple[State, str]]:
    try:
        return msgspec.json.decode(unseal(read_file(path)), type=dict[str, tuple[State, str]])
    except (OSError, ValueError, RecursionError):
        return {}


def _write(path: Path, entries: dict[str, tuple[State, str]]) -> None:
    """Write the cache file. Errors are ignored: if it cannot be written, the files are read again next time."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, seal(msgspec.json.encode(entries)))
