"""Several runs in one chart: a metric of the marked runs, or of the one under the cursor while none is marked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.content import Content

from tui_gpt.run.folder import RunFolder
from tui_gpt.workbench.drawing.formatting import format_count
from tui_gpt.workbench.drawing.metrics import METRICS
from tui_gpt.workbench.panes.pane import Pane
from tui_gpt.workbench.panes.run_plots import metric_points, overlay_plot, view_of
from tui_gpt.workbench.state.preferences import XAxis
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.chart import Chart

REDRAW_SECONDS = 0.5
X_TITLES: dict[XAxis, str] = {"step": "", "tokens": "over tokens", "time": "over training time"}
COMPARABLE = {key: metric for key, metric in METRICS.items() if metric.kind != "blocks"}


@dataclass(frozen=True)
class Charted:
    """A run in the chart. slot: its color; letter: its mark's, empty for the run under the cursor."""

    folder: RunFolder
    slot: int
    letter: str
    name: str

    @property
    def label(self) -> str:
        return f"{self.letter} {self.name}".strip()


class Overlay(Pane, can_focus=False):
    """The chart; it follows the charted runs, each for as long as it is charted."""

    NAME = "overlay"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.charted: Sequence[Charted] = ()
        self._monitors: dict[str, RunMonitor] = {}  # of the charted runs
        self._reading = asyncio.Lock()
        self._x_range: tuple[float, float] | None = None
        self._drawn: object = None

    def compose(self) -> ComposeResult:
        yield Chart(glyphs=self.session.glyphs, has_color=self.session.has_color)

    @property
    def metric(self) -> str:
        """What is charted: the metric chosen here or on the dashboard, where runs can be compared by it."""
        chosen = self.session.preferences.metric
        return chosen if chosen in COMPARABLE else "loss"

    def choose(self, charted: Sequence[Charted]) -> bool:
        """Chart these runs, and return whether there is something to read first."""
        shown, before, self.charted = self.session.monitor, self._monitors, charted
        self._monitors = {run.folder.id: before.get(run.folder.id) or RunMonitor(run.folder) for run in charted}
        if shown is not None and shown.folder.id in self._monitors:
            self._monitors[shown.folder.id] = shown  # the app reads it
        return any(not monitor.is_read for monitor in self._monitors.values())

    async def read_data(self) -> None:
        """Read what is new of the charted runs, in threads; a long journal is drawn now and then on the way."""
        async with self._reading:
            drawn = time.monotonic()
            for run, monitor in list(self._monitors.items()):
                if monitor is self.session.monitor or (monitor.is_read and monitor.has_ended):
                    continue
                while monitor.apply(await asyncio.to_thread(monitor.read)) and self._monitors.get(run) is monitor:
                    if time.monotonic() - drawn > REDRAW_SECONDS:
                        drawn = time.monotonic()
                        self.refresh_data()

    def show_all(self) -> None:
        """Forget zoom and cursor, for another axis."""
        self._x_range = self.query_one(Chart).cursor_x = None
        self.refresh_data()

    def refresh_data(self) -> None:
        """Draw the chart anew where its data or its look changed."""
        view, chart, metric = view_of(self.session.preferences, self._x_range), self.query_one(Chart), self.metric
        runs = [(self._monitors[run.folder.id], run) for run in self.charted]
        data = [(run, id(monitor), len(monitor.series), len(monitor.evals), monitor.is_live) for monitor, run in runs]
        drawn = (metric, view, data, chart.cursor_x)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        is_ascii = self.session.glyphs == "ascii"  # there the chart itself writes the letters
        plot = overlay_plot(
            [(monitor, run.name if is_ascii else run.label, run.slot) for monitor, run in runs], metric, view
        )
        label = COMPARABLE[metric].label
        chart.show(plot, f"no {label} yet" if all(monitor.is_read for monitor, _ in runs) else "reading…")
        parts = [label[:1].upper() + label[1:], X_TITLES[view.axis], "log y" if view.is_log else ""]
        points = {run: metric_points(monitor, COMPARABLE[metric], view) for monitor, run in runs}
        missing = [run.label for monitor, run in runs if monitor.is_read and not points[run]]
        subtitle = f"no {label} yet: {', '.join(missing)}" if missing and plot is not None else ""
        if (x := chart.cursor_x) is not None and runs:
            values = [f"step {format_count(runs[0][0].series.step_at(x, view.axis))}"]
            for run, curve in points.items():
                before = [y for at, y in curve if at <= x]
                values += [f"{run.letter or run.name} {COMPARABLE[metric].format(before[-1])}"] if before else []
            subtitle = " · ".join(values)
        self.set_title(Content(" · ".join(filter(None, parts))), Content(subtitle))

    @on(Chart.CursorMoved)
    def _cursor_moved(self) -> None:
        self.refresh_data()

    @on(Chart.ZoomChanged)
    def _zoom_changed(self, event: Chart.ZoomChanged) -> None:
        self._x_range = event.x_range
        self.refresh_data()
