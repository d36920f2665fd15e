"""The JSONL files that rank 0 writes: metrics, evals and samples."""

from __future__ import annotations

from collections.abc import Callable

from tui_gpt.run.folder import RunFolder
from tui_gpt.run.jsonl import JsonlWriter
from tui_gpt.run.messages import Rewound


class OutputFiles:
    """The open output files of a run. rewound_to: when resuming, the step after which older lines are void."""

    def __init__(self, folder: RunFolder, rewound_to: int | None) -> None:
        self.metrics = JsonlWriter(folder.metrics)
        self.evals = JsonlWriter(folder.evals)
        self.samples = JsonlWriter(folder.samples)
        if rewound_to is not None:
            self.rewind(rewound_to)

    def rewind(self, step: int) -> None:
        """Void every line after `step`: readers drop them."""
        for writer in self._all():
            writer.append(Rewound(rewound_to=step))

    def _all(self) -> tuple[JsonlWriter, JsonlWriter, JsonlWriter]:
        return self.metrics, self.evals, self.samples

    def sync(self) -> None:
        """Flush all lines to disk; called before a checkpoint appears, so that no line before it can be lost."""
        for writer in self._all():
            writer.sync()

    def close(self) -> None:
        """Close the files."""
        for writer in self._all():
            writer.close()


class DeferredWriter:
    """Delays each write until the next one, so that on a GPU no step waits for its own loss.

    delay: False to write at once, as on a CPU.
    """

    def __init__(self, *, delay: bool) -> None:
        self._delay = delay
        self._pending: Callable[[], None] | None = None

    def put(self, write: Callable[[], None]) -> None:
        """Run the pending write, and keep `write` as the next pending one."""
        self.flush()
        self._pending = write
        if not self._delay:
            self.flush()

    def flush(self) -> None:
        """Run the pending write. When it raises it stays pending, so that it can be retried."""
        if self._pending is not None:
            self._pending()
            self._pending = None
