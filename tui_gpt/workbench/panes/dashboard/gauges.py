"""Three small charts beside each other: gradient norm, learning rate and speed, each with its value in the border."""

from __future__ import annotations

from textual.content import Content

from tui_gpt.workbench.drawing.formatting import format_loss
from tui_gpt.workbench.drawing.metrics import METRICS
from tui_gpt.workbench.panes.pane import Pane
from tui_gpt.workbench.panes.run_plots import View, metric_plot
from tui_gpt.workbench.state.redraw_pace import RedrawPace
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.chart import Chart

GAUGES = {"grad_norm": "Gradient norm", "learning_rate": "Learning rate", "tokens_per_second": "Tokens/s"}


class GaugesPane(Pane):
    NAME = "gauges"
    DEFAULT_CSS = """
    GaugesPane { layout: horizontal; padding: 0; overflow: hidden; }
    GaugesPane Chart {
        border: round $border-blurred; border-title-color: $text-muted; padding: 0 1; width: 1fr; height: 1fr;
    }
    GaugesPane:focus Chart { border: round $primary; border-title-color: $text; }
    """

    def __init__(self, session: Session, pace: RedrawPace) -> None:
        super().__init__(session)
        self.remove_class("pane")  # each gauge has a border of its own
        self._pace = pace
        self._drawn: object = None  # what the gauges depend on, as they were drawn last

    def refresh_data(self) -> None:
        monitor, look = self.session.monitor, self.session.preferences
        if monitor is None or not monitor.is_read:
            return
        if not self.children:  # not before the first frame: a chart is dear to style
            glyphs, has_color = self.session.glyphs, self.session.has_color
            self.mount_all(
                Chart(glyphs=glyphs, has_color=has_color, can_focus=False, id=f"gauge-{key}") for key in GAUGES
            )
        view = View(look.x_axis, look.smoothing, False, look.whole_plan)
        drawn = (self._pace.version, view)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        for key, title in GAUGES.items():
            chart = self.query_one(f"#gauge-{key}", Chart)
            chart.show(metric_plot(monitor, key, view, is_compact=True), "")
            value = gauge_value(monitor, key)
            chart.border_title = Content.assemble(f"{title} ", (value, "bold $foreground"))

    def text(self) -> str:
        monitor = self.session.monitor
        return "\n".join(f"{title} {gauge_value(monitor, key)}" for key, title in GAUGES.items()) if monitor else ""


def gauge_value(monitor: RunMonitor, key: str) -> str:
    """Return the newest value of a metric, as the chart's axis writes it."""
    last = monitor.series.last
    value = getattr(last, key) if last is not None else None
    if value is None:
        return format_loss(None, last.non_finite) if last is not None else "–"
    return METRICS[key].format(value)
