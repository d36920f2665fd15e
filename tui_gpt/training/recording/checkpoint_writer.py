"""Writes checkpoints in a background thread: the training step waits only for the copy to host memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import Snapshot, write_checkpoint


class CheckpointWriter:
    """Writes one snapshot at a time and prunes old checkpoints.

    keep: full checkpoints to keep. sync: called before a checkpoint appears. on_saved: called with its path afterwards.
    failed: the snapshot whose writing failed, and the error; the caller retries it.
    """

    def __init__(
        self, checkpoints: Path, keep: int, sync: Callable[[], None], on_saved: Callable[[Path], None]
    ) -> None:
        self._checkpoints, self._keep, self._sync, self._on_saved = checkpoints, keep, sync, on_saved
        self._thread: threading.Thread | None = None
        self.failed: tuple[Snapshot, OSError] | None = None

    def save(self, snapshot: Snapshot, *, announce: bool = True) -> None:
        """Start writing `snapshot` once the previous one is written. announce: call `on_saved` when it is done."""
        self.wait()
        self._thread = threading.Thread(target=self._write, args=(snapshot, announce), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Wait until the last snapshot is written, or its writing has failed."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, snapshot: Snapshot, announce: bool) -> None:
        try:
            path = write_checkpoint(snapshot, self._checkpoints, self._sync)
            manifest.prune(self._checkpoints, self._keep)
        except OSError as error:
            self.failed = (snapshot, error)
        else:
            if announce:
                self._on_saved(path)
