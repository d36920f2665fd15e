"""One process at a time: a file that is locked while work is done, and free again however the process ends."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive_lock(lock: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds `lock` while no other process does; calls `waiting` again and again until then, which may raise."""
    with lock.open("wb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting()
                time.sleep(0.1)
        yield
