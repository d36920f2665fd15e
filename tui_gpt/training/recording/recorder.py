"""Everything that a run writes: metrics, evals, samples and checkpoints.

Nothing is dropped: what cannot be written, because the disk is full, is kept and `problem` says why. The loop then
pauses the run, and `retry` writes it once there is space.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from tui_gpt.checkpoints.state import Snapshot
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.jsonl import JsonlWriter
from tui_gpt.run.messages import Eval, Message, Metrics, Rewound, Sample
from tui_gpt.training.recording.checkpoint_writer import CheckpointWriter


class Recorder:
    """Writes the output files and checkpoints of a run.

    keep, max_bytes: how many full checkpoints are kept, and the size of all. rewound_to: when resuming, the step after
    which older lines are void. on_saved: called with the path of each
    checkpoint that is to be announced, and on_warning with a message about one that is lost; both from another thread.
    """

    def __init__(
        self,
        folder: RunFolder,
        *,
        keep: int,
        max_bytes: float,
        rewound_to: int | None,
        on_saved: Callable[[Path], None],
        on_warning: Callable[[str], None],
    ) -> None:
        self._metrics, self._evals, self._samples = (
            JsonlWriter(path) for path in (folder.metrics, folder.evals, folder.samples)
        )
        self._unwritten: deque[tuple[JsonlWriter, Message]] = deque()
        self._line_problem = ""
        self._checkpoints = CheckpointWriter(folder.checkpoints, keep, max_bytes, self._sync, on_saved, on_warning)
        if rewound_to is not None:
            self.rewind(rewound_to)

    @property
    def problem(self) -> str:
        """What could not be written and can be retried, and why; empty if there is nothing to retry."""
        return self._line_problem or (self._checkpoints.failure if self._checkpoints.can_retry else "")

    def retry(self) -> None:
        """Write what could not be written."""
        self._write_lines()
        if not self._line_problem:
            self._checkpoints.retry()

    def metrics(self, line: Metrics) -> None:
        """Write a line of metrics."""
        self._put(self._metrics, line)

    def evaluation(self, line: Eval) -> None:
        """Write a line of evals."""
        self._put(self._evals, line)

    def sample(self, line: Sample) -> None:
        """Write a line of samples."""
        self._put(self._samples, line)

    def rewind(self, step: int) -> None:
        """Void every line after `step`: readers drop them."""
        for writer in (self._metrics, self._evals, self._samples):
            self._put(writer, Rewound(rewound_to=step))

    def save(self, snapshot: Snapshot, *, announce: bool = True) -> None:
        """Start writing a checkpoint, after all lines up to it. announce: call `on_saved` when it is there."""
        self._checkpoints.save(snapshot, announce=announce)

    def move(self, folder: RunFolder) -> None:
        """Write checkpoints into another folder. Lines go on where they did: open files follow a folder that moves."""
        self._checkpoints.move(folder.checkpoints)

    def wait(self) -> str:
        """Wait until the last checkpoint is written, and return what could not be written, and why; else empty."""
        self._checkpoints.wait()
        return self._line_problem or self._checkpoints.failure

    def _put(self, writer: JsonlWriter, line: Message) -> None:
        self._unwritten.append((writer, line))
        if not self._line_problem:
            self._write_lines()

    def _write_lines(self) -> None:
        self._line_problem = ""
        try:
            while self._unwritten:
                writer, line = self._unwritten[0]
                writer.append(line)
                self._unwritten.popleft()
        except OSError as error:
            self._line_problem = str(error)

    def _sync(self) -> None:
        """Flush all lines to disk; called before a checkpoint appears, so that no line before it can be lost."""
        if self._line_problem:
            raise OSError(self._line_problem)
        for writer in (self._metrics, self._evals, self._samples):
            writer.sync()
