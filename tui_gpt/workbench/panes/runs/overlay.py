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
from tui_gpt.workbench.panes.run_plots import View, metric_points, overlay_plot
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.chart import Chart

REDRAW_SECONDS = 0.5
X_TITLES = {"step": "", "tokens": "over tokens", "time": "over training time"}
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
        self._monitors: dict[str, RunMonitor] = {}
        self._own: dict[str, RunMonitor] = {}  # those that this pane reads; the app reads the shown run's
        self._finished: set[str] = set()  # runs that have ended and were read to their end
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
        self.charted = charted
        self._own = {run.folder.id: monitor for run in charted if (monitor := self._own.get(run.folder.id))}
        self._monitors = {run.folder.id: self._monitor(run.folder) for run in charted}
        self._finished &= self._own.keys()
        return any(not monitor.is_read for monitor in self._monitors.values())

    def _monitor(self, folder: RunFolder) -> RunMonitor:
        """Return what follows the run: the session's own monitor where that is the shown run."""
        shown = self.session.monitor
        if shown is not None and shown.folder.path == folder.path:
            return shown
        return self._own.setdefault(folder.id, RunMonitor(folder))

    async def read_data(self) -> None:
        """Read what is new of the charted runs, in threads; a long journal is drawn now and then on the way."""
        async with self._reading:
            drawn = time.monotonic()
            for run, monitor in list(self._own.items()):
                if run in self._finished:
                    continue
                while monitor.apply(await asyncio.to_thread(monitor.read)) and self._own.get(run) is monitor:
                    if time.monotonic() - drawn > REDRAW_SECONDS:
                        drawn = time.monotonic()
                        self.refresh_data()
                if monitor.has_ended and self._own.get(run) is monitor:
                    self._finished.add(run)

    def show_all(self) -> None:
        """Forget zoom and cursor, for another axis."""
        self._x_range = self.query_one(Chart).cursor_x = None

    def refresh_data(self) -> None:
        """Draw the chart anew where its data or its look changed."""
        look, chart = self.session.preferences, self.query_one(Chart)
        view = View(look.x_axis, look.smoothing, look.log_y, look.whole_plan, self._x_range)
        runs = [(self._monitors[run.folder.id], run) for run in self.charted]
        data = [(run, id(monitor), len(monitor.series), len(monitor.evals), monitor.is_live) for monitor, run in runs]
        drawn = (self.metric, view, data, chart.cursor_x)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        is_ascii = self.session.glyphs == "ascii"  # there the chart itself writes the letters
        labels = [(monitor, run.name if is_ascii else run.label, run.slot) for monitor, run in runs]
        plot = overlay_plot(labels, self.metric, view)
        is_read = all(monitor.is_read for monitor, _ in runs)
        metric = COMPARABLE[self.metric]
        chart.show(plot, f"no {metric.label} yet" if is_read else "reading…")
        parts = [metric.label[:1].upper() + metric.label[1:], X_TITLES[look.x_axis], "log y" if look.log_y else ""]
        missing = [run.label for monitor, run in runs if monitor.is_read and not metric_points(monitor, metric, view)]
        nothing = f"no {metric.label} yet: {', '.join(missing)}" if missing and plot is not None else ""
        self.set_title(Content(" · ".join(filter(None, parts))), Content(self._readout(runs, view) or nothing))

    def _readout(self, runs: Sequence[tuple[RunMonitor, Charted]], view: View) -> str:
        """Return each run's value at the chart's cursor."""
        x, metric = self.query_one(Chart).cursor_x, COMPARABLE[self.metric]
        if x is None:
            return ""
        values = []
        for monitor, run in runs:
            before = [y for at, y in metric_points(monitor, metric, view) if at <= x]
            values += [f"{run.letter or run.name} {metric.format(before[-1])}"] if before else []
        steps = runs[0][0].series.step_at(x, view.axis) if runs else 0
        return f"step {format_count(steps)} · " + " · ".join(values)

    @on(Chart.CursorMoved)
    def _cursor_moved(self) -> None:
        self.refresh_data()

    @on(Chart.ZoomChanged)
    def _zoom_changed(self, event: Chart.ZoomChanged) -> None:
        self._x_range = event.x_range
        self.refresh_data()
