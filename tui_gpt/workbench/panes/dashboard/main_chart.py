"""The large chart: the chosen metric over the run; until there is a curve, what happens in the first minutes."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget

from tui_gpt.workbench.drawing.formatting import width_of
from tui_gpt.workbench.drawing.metrics import METRICS
from tui_gpt.workbench.panes.dashboard.first_minutes import FirstMinutes
from tui_gpt.workbench.panes.pane import Pane
from tui_gpt.workbench.panes.run_plots import View, metric_plot, readout
from tui_gpt.workbench.state.preferences import Preferences
from tui_gpt.workbench.state.redraw_pace import RedrawPace
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.chart import Chart

GAP = "   "


class ChartPane(Pane):
    """The border says what the chart shows, and what is known under its cursor."""

    NAME = "chart"
    DEFAULT_CSS = """
    ChartPane { overflow: hidden; }
    ChartPane > FirstMinutes { width: 1fr; height: 1fr; padding: 1 2; content-align: left middle; }
    """

    def __init__(self, session: Session, pace: RedrawPace) -> None:
        super().__init__(session)
        self._monitor: RunMonitor | None = None
        self._pace = pace
        self._drawn: object = None  # what the chart depends on, as it was drawn last
        self._view = View()
        self._zoom: tuple[float, float] | None = None

    def compose(self) -> ComposeResult:
        yield FirstMinutes(self.session)

    @property
    def chart(self) -> Chart:
        """The chart; it is made when there is something to show, since its many styles would delay the first frame."""
        for chart in self.query(Chart):
            return chart
        chart = Chart(glyphs=self.session.glyphs, has_color=self.session.has_color)
        self.mount(chart)
        return chart

    @property
    def target(self) -> Widget:
        """What takes the focus: the chart, once it is there."""
        return self if self.can_focus else self.chart

    def refresh_data(self) -> None:
        monitor, view = self.session.monitor, self.session.preferences
        first = self.query_one(FirstMinutes)
        is_waiting = monitor is None or not (len(monitor.series) or monitor.evals)
        if self.can_focus != is_waiting:
            had_focus = self.has_focus_within or self.screen.focused is None
            first.display, self.can_focus = is_waiting, is_waiting
            self.chart.display = not is_waiting
            if had_focus:
                self.target.focus()
        if monitor is None or is_waiting:
            first.refresh_data()
            self.set_title(Content("Loss"))
            return
        if monitor is not self._monitor or self._view.axis != view.x_axis:
            self._monitor, self._zoom, self.chart.cursor_x = monitor, None, None
        look = View(view.x_axis, view.smoothing, view.log_y, view.whole_plan, self._zoom)
        drawn = (self._pace.version, look, self.metric)
        if drawn != self._drawn:
            self._drawn, self._view = drawn, look
            self.chart.show(metric_plot(monitor, self.metric, look), f"no {METRICS[self.metric].label} was logged")
        self._set_titles(monitor)

    def _set_titles(self, monitor: RunMonitor) -> None:
        label = METRICS[self.metric].label
        look = view_words(self.session.preferences, is_zoomed=self._zoom is not None)
        x = self.chart.cursor_x
        known = [(f"{name} ", value) for name, value in readout(monitor, x, self._view)] if x is not None else []
        while sum(width_of(name + value) + len(GAP) for name, value in known) > self.size.width:
            known.pop()  # values stand whole or not at all
        values = Content(GAP).join(
            Content.assemble((name, "$foreground-muted"), (value, "bold")) for name, value in known
        )
        title = label[:1].upper() + label[1:]
        self.set_title(Content.assemble(title, (f" ── {look}", "$foreground-muted")), values)

    @property
    def metric(self) -> str:
        """The metric that is shown."""
        return self.session.preferences.metric if self.session.preferences.metric in METRICS else "loss"

    @on(Chart.CursorMoved)
    def _cursor_moved(self, event: Chart.CursorMoved) -> None:
        event.stop()
        if self.session.monitor is not None:
            self._set_titles(self.session.monitor)

    @on(Chart.ZoomChanged)
    def _zoomed(self, event: Chart.ZoomChanged) -> None:
        event.stop()
        self._zoom = event.x_range
        self.refresh_data()

    def text(self) -> str:
        """Return the chart's numbers at the cursor, or at its end, for the clipboard."""
        monitor = self.session.monitor
        if self.can_focus or monitor is None:
            return self.query_one(FirstMinutes).text()
        x = self.chart.cursor_x
        end = monitor.series.x_at(monitor.step, self._view.axis) if x is None else x
        return GAP.join(f"{name} {value}" for name, value in readout(monitor, end, self._view))


def view_words(view: Preferences, *, is_zoomed: bool = False) -> str:
    """Return how the chart is looked at, for its border: `fit · smooth auto · linear`."""
    words = ["zoom" if is_zoomed else "whole plan" if view.whole_plan else "fit"]
    words += [] if view.x_axis == "step" else [view.x_axis]
    words += ["raw" if view.smoothing == "raw" else f"smooth {view.smoothing}", "log" if view.log_y else "linear"]
    return " · ".join(words)


def metric_items(monitor: RunMonitor) -> list[tuple[str, str, str]]:
    """Return (label, unit, key) of the metrics to choose from, those that this run logged first."""
    view = View(smoothing="raw")
    items = [(metric_plot(monitor, key, view, is_compact=True) is None, metric) for key, metric in METRICS.items()]
    return [
        (metric.label, "not logged by this run" if is_missing else metric.unit, metric.key)
        for is_missing, metric in sorted(items, key=lambda item: item[0])
    ]
