"""When curves, and the numbers that must agree with them, are drawn again: every 1.4 s while steps come in.

Each drawing moves many cells, and a run may log twenty steps a second.
What is rare, such as an evaluation, shows at once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_gpt.workbench.state.run_monitor import RunMonitor

REDRAW_SECONDS = 1.4


class RedrawPace:
    """`version` changes when it is time to draw again; everything that draws the run's curve compares it."""

    def __init__(self) -> None:
        self.version = 0
        self._rare: object = None
        self._steps: object = None
        self._drawn = 0.0

    def update(self, monitor: RunMonitor, *, at_once: bool = False) -> None:
        """Count `version` on when data came that should be seen now."""
        last, now = monitor.series.last, time.monotonic()
        rare, steps = (id(monitor), _rare_data(monitor)), (len(monitor.series), last.step if last else 0)
        if at_once or rare != self._rare or (steps != self._steps and now - self._drawn >= REDRAW_SECONDS):
            self.version += 1
            self._rare, self._steps, self._drawn = rare, steps, now


def _rare_data(monitor: RunMonitor) -> tuple[object, ...]:
    return (
        not len(monitor.series),
        len(monitor.evals),
        len(monitor.samples),
        len(monitor.events),
        len(monitor.checkpoints),
        monitor.total_steps,
        monitor.info is None,
        monitor.is_live,
    )
