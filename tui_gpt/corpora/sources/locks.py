"""Exclusive lock between processes, released however its holder ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive_lock(lock: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the file `lock` exclusively. `on_wait` is called repeatedly while another process holds it; it may raise."""
    while True:
        with try_lock(lock, create=True) as is_held:
            if is_held:
                yield
                return
        on_wait()
        time.sleep(0.1)


@contextmanager
def try_lock(lock: Path, *, create: bool = False) -> Iterator[bool]:
    """Hold the file `lock` if no other process does, and yield whether it is held. create: make it if it is missing.

    Without `create` a missing file counts as held: nobody can hold it.
    """
    try:
        file = lock.open("ab" if create else "rb")
    except (FileNotFoundError, PermissionError) as error:
        if create:
            raise
        yield isinstance(error, FileNotFoundError)
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_held = _is_at(lock, file.fileno())  # not a file that was removed meanwhile
        except BlockingIOError:
            is_held = False
        yield is_held


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False
