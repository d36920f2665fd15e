"""Writes checkpoints in a background thread: the training step waits only for the copy to host memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import Snapshot, write_checkpoint


class CheckpointWriter:
    """Writes one snapshot at a time and prunes old checkpoints.

    keep: full checkpoints to keep. max_bytes: of all checkpoints together. sync: called before a checkpoint appears.
    on_saved: called with its path afterwards. on_warning: called with a message when a checkpoint fails for another
    reason than the disk, or an old one cannot be deleted. Both are called from the thread.
    """

    def __init__(
        self,
        checkpoints: Path,
        keep: int,
        max_bytes: float,
        sync: Callable[[], None],
        on_saved: Callable[[Path], None],
        on_warning: Callable[[str], None],
    ) -> None:
        self._checkpoints, self._keep, self._max_bytes, self._sync = checkpoints, keep, max_bytes, sync
        self._on_saved, self._on_warning = on_saved, on_warning
        self._thread: threading.Thread | None = None
        self._failed: tuple[Snapshot, Exception] | None = None

    @property
    def failure(self) -> str:
        """Why the last checkpoint was not written; empty if it was."""
        if self._failed is None:
            return ""
        snapshot, error = self._failed
        what = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        return f"checkpoint at step {snapshot.progress.step:,} not saved: {what}"

    @property
    def can_retry(self) -> bool:
        """Whether the last checkpoint was not written because of the disk."""
        return self._failed is not None and isinstance(self._failed[1], OSError)

    def save(self, snapshot: Snapshot, *, announce: bool = True) -> None:
        """Start writing `snapshot` once the previous one is written. announce: call `on_saved` when it is done.

        A snapshot that failed before is given up: this one is newer.
        """
        self.wait()
        self._failed = None
        self._thread = threading.Thread(target=self._write, args=(snapshot, announce), name="checkpoint")
        self._thread.start()

    def retry(self) -> None:
        """Write the snapshot that failed, if any, and wait until that is done."""
        if self._failed is not None:
            self.save(self._failed[0])
            self.wait()

    def wait(self) -> None:
        """Wait until the last snapshot is written, or its writing has failed."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, snapshot: Snapshot, announce: bool) -> None:
        try:
            path = write_checkpoint(snapshot, self._checkpoints, self._sync)
        except Exception as error:  # in a thread of its own it would be lost
            self._failed = (snapshot, error)
            if not self.can_retry:
                self._on_warning(self.failure)
            return
        if announce:
            self._on_saved(path)
        try:
            manifest.prune(self._checkpoints, self._keep, self._max_bytes)
        except OSError as error:  # a file that is busy on a network file system, for example; the next save tries again
            self._on_warning(f"an old checkpoint could not be deleted: {error}")

    def move(self, checkpoints: Path) -> None:
        """Write into another folder from now on."""
        self.wait()
        self._checkpoints = checkpoints
