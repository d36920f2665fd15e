"""Progress of long tasks on stderr: a bar on a terminal, a line for each phase elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tui_gpt.cli.output import echo

if TYPE_CHECKING:
    from tui_gpt.corpora.sources.source import Progress


@contextmanager
def progress_reporter() -> Iterator[Progress]:
    """Yield a callback that takes a phase and the fraction done, None if unknown."""
    if not sys.stderr.isatty():
        seen: set[str] = set()

        def print_phase(phase: str, fraction: float | None) -> None:
            if phase not in seen:
                seen.add(phase)
                echo(phase, err=True)

        yield print_phase
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
