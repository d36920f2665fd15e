"""Checkpoints written off the step's path: the step waits only for the copy to host memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import Snapshot, write


class CheckpointWriter:
    """Writes one snapshot at a time in a thread, prunes, and tells."""

    def __init__(self, checkpoints: Path, keep: int, sync: Callable[[], None], saved: Callable[[Path], None]) -> None:
        self._checkpoints, self._keep, self._sync, self._saved = checkpoints, keep, sync, saved
        self._thread: threading.Thread | None = None
        self.failed: tuple[Snapshot, OSError] | None = None

    def save(self, shot: Snapshot) -> None:
        """Begin writing, once the one before is done."""
        self.wait()
        self._thread = threading.Thread(target=self._write, args=(shot,), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, shot: Snapshot) -> None:
        try:
            path = write(shot, self._checkpoints, self._sync)
            manifest.prune(self._checkpoints, self._keep)
        except OSError as error:
            self.failed = (shot, error)
        else:
            self._saved(path)
