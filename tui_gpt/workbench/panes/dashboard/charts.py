"""The dashboard's charts: the chosen metric over the run, and three gauges.

Curves are drawn anew when `RunMonitor.curve_version` or the view changes.
"""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget

from tui_gpt.workbench.drawing.decimation import Range
from tui_gpt.workbench.drawing.formatting import format_loss, width_of
from tui_gpt.workbench.drawing.metrics import METRICS
from tui_gpt.workbench.panes.dashboard.first_minutes import FirstMinutes
from tui_gpt.workbench.panes.pane import Pane
from tui_gpt.workbench.panes.run_plots import View, metric_plot, readout, view_of
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.chart import Chart

GAP = "   "
GAUGES = {"grad_norm": "Gradient norm", "learning_rate": "Learning rate", "tokens_per_second": "Tokens/s"}


class ChartPane(Pane):
    """The large chart, its view and the values under its cursor in the border; what happens first until it has data."""

    NAME = "chart"
    DEFAULT_CSS = """
    ChartPane { overflow: hidden; }
    ChartPane > FirstMinutes { width: 1fr; height: 1fr; padding: 1 2; content-align: left middle; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._subject: tuple[RunMonitor | None, str] = (None, "")  # the run and the axis that zoom and cursor are of
        self._zoom: Range | None = None
        self._drawn: object = None  # what the chart depends on, as it was drawn last

    def compose(self) -> ComposeResult:
        chart = Chart(glyphs=self.session.glyphs, has_color=self.session.has_color)
        chart.display = False
        yield FirstMinutes(self.session)
        yield chart

    @property
    def target(self) -> Widget:
        """What takes the focus: the chart, while it is shown."""
        chart = self.query_one(Chart)
        return chart if chart.display else self

    @property
    def view(self) -> View:
        return view_of(self.session.preferences, self._zoom)

    @property
    def metric(self) -> str:
        """The metric that is shown."""
        return self.session.preferences.metric if self.session.preferences.metric in METRICS else "loss"

    def refresh_data(self) -> None:
        monitor, first, chart = self.session.monitor, self.query_one(FirstMinutes), self.query_one(Chart)
        has_data = monitor is not None and bool(len(monitor.series) or monitor.evals)
        if chart.display != has_data or self.can_focus == has_data:
            had_focus = self.has_focus_within or self.screen.focused is None
            first.display, chart.display, self.can_focus = not has_data, has_data, not has_data
            if had_focus:
                self.target.focus()
        if monitor is None or not has_data:
            first.refresh_data()
            self.set_title(Content("Loss"))
            return
        if self._subject != (monitor, self.view.axis):
            self._subject, self._zoom, chart.cursor_x = (monitor, self.view.axis), None, None
        drawn = (monitor.curve_version, self.view, self.metric)
        if drawn != self._drawn:
            self._drawn = drawn
            chart.show(metric_plot(monitor, self.metric, self.view), f"no {METRICS[self.metric].label} was logged")
        self._set_titles(monitor)

    def _set_titles(self, monitor: RunMonitor) -> None:
        label, x = METRICS[self.metric].label, self.query_one(Chart).cursor_x
        known = [(f"{name} ", value) for name, value in readout(monitor, x, self.view)] if x is not None else []
        while sum(width_of(name + value) + len(GAP) for name, value in known) > self.size.width:
            known.pop()  # values stand whole or not at all
        values = [Content.assemble((name, "$foreground-muted"), (value, "bold")) for name, value in known]
        title = Content.assemble(label[:1].upper() + label[1:], (f" ── {self.view.words}", "$foreground-muted"))
        self.set_title(title, Content(GAP).join(values))

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
        monitor, chart = self.session.monitor, self.query_one(Chart)
        if monitor is None or not chart.display:
            return super().text()
        x = monitor.series.x_at(monitor.step, self.view.axis) if chart.cursor_x is None else chart.cursor_x
        return GAP.join(f"{name} {value}" for name, value in readout(monitor, x, self.view))


class GaugesPane(Pane):
    """Three small charts beside each other, each with its value in the border."""

    NAME = "gauges"
    DEFAULT_CSS = """
    GaugesPane { layout: horizontal; padding: 0; overflow: hidden; }
    GaugesPane Chart {
        border: round $border-blurred; border-title-color: $text-muted; padding: 0 1; width: 1fr; height: 1fr;
    }
    GaugesPane:focus Chart { border: round $primary; border-title-color: $text; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.remove_class("pane")  # each gauge has a border of its own
        self._drawn: object = None

    def compose(self) -> ComposeResult:
        glyphs, has_color = self.session.glyphs, self.session.has_color
        for key in GAUGES:
            yield Chart(glyphs=glyphs, has_color=has_color, can_focus=False, id=f"gauge-{key}")

    def refresh_data(self) -> None:
        monitor, kept = self.session.monitor, self.session.preferences
        if monitor is None or not monitor.is_read:
            return
        view = View(kept.x_axis, kept.smoothing, whole_plan=kept.whole_plan)
        drawn = (monitor, monitor.curve_version, view)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        for key, title in GAUGES.items():
            chart = self.query_one(f"#gauge-{key}", Chart)
            chart.show(metric_plot(monitor, key, view, is_compact=True), "")
            value = Content.assemble(f"{title} ", (_last_value(monitor, key), "bold $foreground"))
            chart.border_title = value

    def text(self) -> str:
        monitor = self.session.monitor
        return "\n".join(f"{title} {_last_value(monitor, key)}" for key, title in GAUGES.items()) if monitor else ""


def _last_value(monitor: RunMonitor, key: str) -> str:
    """Return the newest value of a metric, as the chart's axis writes it."""
    last = monitor.series.last
    value = getattr(last, key) if last is not None else None
    if value is None:
        return format_loss(None, last.non_finite) if last is not None else "–"
    return METRICS[key].format(value)


def metric_items(monitor: RunMonitor) -> list[tuple[str, str, str]]:
    """Return (label, unit, key) of the metrics to choose from, those that this run logged first."""
    view = View(smoothing="raw")
    missing = {key for key in METRICS if metric_plot(monitor, key, view, is_compact=True) is None}
    return [
        (metric.label, "not logged by this run" if key in missing else metric.unit, key)
        for key, metric in sorted(METRICS.items(), key=lambda item: item[0] in missing)
    ]
