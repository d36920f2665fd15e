"""Exclusive lock between processes, released however its holder ends."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive_lock(lock: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the file `lock` exclusively. `on_wait` is called repeatedly while another process holds it; it may raise."""
    with lock.open("wb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait()
                time.sleep(0.1)
        yield
