"""Everything that a run writes: metrics, evals, samples and checkpoints.

No line is dropped: when a write fails (the disk is full) the run pauses until it is resumed, and retries.
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
    """Measures training time in laps; the time between a lap and the next `restart` is not counted."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Start the next lap now."""
        self._since = time.perf_counter()

    def lap(self) -> float:
        """Return the seconds since the last lap or restart."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        return seconds


class Recorder:
    """Writes the output files and checkpoints of a run. delay_metrics: write each line when the next one is logged."""

    def __init__(
        self,
        folder: RunFolder,
        control: TrainerControl,
        stopwatch: Stopwatch,
        *,
        keep: int,
        rewound_to: int | None,
        delay_metrics: bool,
    ) -> None:
        self.files = OutputFiles(folder, rewound_to)
        self._control, self._stopwatch = control, stopwatch
        self._deferred = DeferredWriter(delay=delay_metrics)
        self._checkpoints = CheckpointWriter(folder.checkpoints, keep, self.files.sync, self._report_saved)

    def metrics(self, write: Callable[[], None]) -> None:
        """Call `write`, which writes a line of metrics, now or when the next line is logged."""
        self._persist(lambda: self._deferred.put(write))

    def flush(self) -> None:
        """Write the pending line of metrics."""
        self._persist(self._deferred.flush)

    def evaluation(self, line: Eval) -> None:
        """Write a line of evals."""
        self._persist(lambda: self.files.evals.append(line))

    def sample(self, line: Sample) -> None:
        """Write a line of samples."""
        self._persist(lambda: self.files.samples.append(line))

    def rewind(self, step: int) -> None:
        """Void every line after `step`."""
        self._persist(lambda: self.files.rewind(step))

    def save(self, snapshot: Snapshot, *, announce: bool = True) -> None:
        """Start writing a checkpoint. Call `flush` before taking the snapshot, so that no line before it is missing.

        announce: report the saved checkpoint as an event.
        """
        self._checkpoints.save(snapshot, announce=announce)

    def wait(self) -> OSError | None:
        """Wait until the last checkpoint is written, and return the error if that failed."""
        self._checkpoints.wait()
        return self._checkpoints.failed[1] if self._checkpoints.failed else None

    def _report_saved(self, path: Path) -> None:
        info = manifest.read_manifest(path)
        self._control.notice("checkpoint", f"saved {path.name} ({info.kind})", step=info.step, data={"path": str(path)})

    # ── full disk ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _persist(self, action: Callable[[], None]) -> None:
        while True:
            try:
                return action()
            except OSError as error:
                if self._control.stop_requested:
                    raise
                self._wait_for_space(str(error))

    def retry_failed_save(self) -> None:
        """Pause until there is space, and retry the checkpoint that could not be written."""
        while self._checkpoints.failed and not self._control.stop_requested:
            snapshot, error = self._checkpoints.failed
            self._checkpoints.failed = None
            self._wait_for_space(f"checkpoint at step {snapshot.progress.step:,} not saved: {error}")
            if not self._control.stop_requested:
                self._checkpoints.save(snapshot)
                self._checkpoints.wait()

    def _wait_for_space(self, problem: str) -> None:
        """Pause the run with `problem` as its phase until a resume or stop command arrives."""
        self._control.notice("disk", f"paused: {problem}. Free some disk space, then resume the run", level="error")
        self._control.set_phase("paused", problem)
        while not self._control.stop_requested:
            command = self._control.next_command(timeout_seconds=1.0)
            if command is not None and command.name == "resume":
                self._control.ack(command, "retrying")
                self._control.set_phase("running", "training")
                break
            if command is not None and command.name != "stop":
                self._control.ack(command, f"paused, waiting for disk space: {problem}", ok=False)
        self._stopwatch.restart()
