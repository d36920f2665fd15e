"""What a run writes: lines, samples, checkpoints; and what it does when the disk does not take them.

No line is ever dropped: a write that fails pauses the run until somebody has made room and resumes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import Snapshot
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Eval, Sample
from tui_gpt.training.loop.control import TrainerControl
from tui_gpt.training.recording.checkpoint_writer import CheckpointWriter
from tui_gpt.training.recording.output_files import DeferredWriter, OutputFiles


class Stopwatch:
    """Training time: laps, without what lies between a `restart` and the lap before it."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._since = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap or restart."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        return seconds


class Recorder:
    """The run's journals and checkpoints. late: metrics lines are written one line late, for a GPU's sake."""

    def __init__(
        self,
        folder: RunFolder,
        control: TrainerControl,
        stopwatch: Stopwatch,
        *,
        keep: int,
        rewound_to: int | None,
        late: bool,
    ) -> None:
        self.journals = OutputFiles(folder, rewound_to)
        self._control, self._stopwatch = control, stopwatch
        self._deferred = DeferredWriter(late=late)
        self._saver = CheckpointWriter(folder.checkpoints, keep, self.journals.sync, self._say_saved)

    def metrics(self, write: Callable[[], None]) -> None:
        """Write a metrics line by `write`, now or when the next one comes."""
        self._persist(lambda: self._deferred.put(write))

    def flush(self) -> None:
        """Every metrics line up to now is written."""
        self._persist(self._deferred.flush)

    def evaluation(self, line: Eval) -> None:
        self._persist(lambda: self.journals.evals.append(line))

    def sample(self, line: Sample) -> None:
        self._persist(lambda: self.journals.samples.append(line))

    def rewound(self, step: int) -> None:
        self._persist(lambda: self.journals.rewind(step))

    def save(self, shot: Snapshot) -> None:
        """Begin to write a checkpoint; `flush` before the state is copied, so that the lines up to it are complete."""
        self._saver.save(shot)

    def wait(self) -> OSError | None:
        """Wait until the last checkpoint is written; why it could not be, if so."""
        self._saver.wait()
        return self._saver.failed[1] if self._saver.failed else None

    def _say_saved(self, path: Path) -> None:
        info = manifest.read_manifest(path)
        self._control.notice("checkpoint", f"saved {path.name} ({info.kind})", step=info.step, data={"path": str(path)})

    # ── when the disk is full ───────────────────────────────────────────────────────────────────────────────────────

    def _persist(self, action: Callable[[], None]) -> None:
        while True:
            try:
                return action()
            except OSError as error:
                if self._control.stop_requested:
                    raise
                self._wait_for_room(str(error))

    def retry_failed_save(self) -> None:
        """A checkpoint that could not be written is written once there is room."""
        while self._saver.failed and not self._control.stop_requested:
            shot, error = self._saver.failed
            self._saver.failed = None
            self._wait_for_room(f"checkpoint at step {shot.progress.step:,} not saved: {error}")
            if not self._control.stop_requested:
                self._saver.save(shot)
                self._saver.wait()

    def _wait_for_room(self, why: str) -> None:
        self._control.notice("disk", f"paused: {why}. Make room, then resume", level="error")
        self._control.set_phase("paused", why)
        while not self._control.stop_requested:
            asked = self._control.next_command(timeout_seconds=1.0)
            if asked is not None and asked.name == "resume":
                self._control.ack(asked, "trying again")
                self._control.set_phase("running", "training")
                break
            if asked is not None and asked.name != "stop":
                self._control.ack(asked, f"cannot now: {why}", ok=False)
        self._stopwatch.restart()
