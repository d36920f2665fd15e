"""Progress of long tasks on stderr: a bar on a terminal, lines with a percentage elsewhere, nothing with --quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tui_gpt.cli.output import is_quiet, narrate

if TYPE_CHECKING:
    from tui_gpt.corpora.sources.source import Progress

LINE_SECONDS = 5.0  # between lines if stderr is not a terminal


class ProgressLines:
    """Prints a line when a phase begins, and then its percentage every few seconds."""

    def __init__(self, write: Callable[[str], object], now: Callable[[], float] = time.monotonic) -> None:
        self._write, self._now = write, now
        self._seen: set[str] = set()
        self._last = 0.0

    def __call__(self, phase: str, fraction: float | None) -> None:
        is_new = phase not in self._seen
        if is_new or (fraction is not None and self._now() - self._last >= LINE_SECONDS):
            self._seen.add(phase)
            self._last = self._now()
            self._write(f"{phase} {fraction:.0%}" if fraction else phase)


@contextmanager
def progress_reporter() -> Iterator[Progress]:
    """Yield a callback that takes a phase and the fraction done, None if unknown."""
    if is_quiet() or not sys.stderr.isatty():
        yield ProgressLines(narrate)
        return

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as bars:
        phases: dict[str, TaskID] = {}

        def update_bar(phase: str, fraction: float | None) -> None:
            if phase not in phases:
                for earlier in phases.values():
                    bars.update(earlier, visible=False)
                phases[phase] = bars.add_task(phase, total=None)
            bars.update(phases[phase], total=None if fraction is None else 1.0, completed=fraction or 0.0)

        yield update_bar
