"""The files that rank 0 writes line by line: metrics, evals, samples."""

from __future__ import annotations

from collections.abc import Callable

from tui_gpt.run.folder import RunFolder
from tui_gpt.run.jsonl import JsonlWriter
from tui_gpt.run.messages import Rewound


class OutputFiles:
    """Open journals of a run. A resumed run takes back what was logged beyond the step that it goes on from."""

    def __init__(self, folder: RunFolder, rewound_to: int | None) -> None:
        self.metrics = JsonlWriter(folder.metrics)
        self.evals = JsonlWriter(folder.evals)
        self.samples = JsonlWriter(folder.samples)
        if rewound_to is not None:
            self.rewind(rewound_to)

    def rewind(self, step: int) -> None:
        """Take back every line beyond `step`."""
        for journal in self._all():
            journal.append(Rewound(rewound_to=step))

    def _all(self) -> tuple[JsonlWriter, JsonlWriter, JsonlWriter]:
        return self.metrics, self.evals, self.samples

    def sync(self) -> None:
        """All that was written so far is on the disk: what a checkpoint's appearance promises."""
        for journal in self._all():
            journal.sync()

    def close(self) -> None:
        for journal in self._all():
            journal.close()


class DeferredWriter:
    """Writes each line one line late on a GPU, so that the step never waits for its own loss.

    `put` takes a function that makes and writes the line; on a CPU it runs at once.
    """

    def __init__(self, *, late: bool) -> None:
        self._late = late
        self._waiting: Callable[[], None] | None = None

    def put(self, write: Callable[[], None]) -> None:
        self.flush()
        self._waiting = write
        if not self._late:
            self.flush()

    def flush(self) -> None:
        """Write what waits. When the write fails the line still waits: flush again once there is room."""
        if self._waiting is not None:
            self._waiting()
            self._waiting = None
