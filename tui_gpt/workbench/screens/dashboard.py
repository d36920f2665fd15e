"""The dashboard: one run, its curves, its health, its machine, and what it writes.

On a screen too narrow for all of it the panes become tabs: the style sheet shows the pane that was focused last.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.containers import Container, Vertical
from textual.widgets import Tab, Tabs

from tui_gpt.errors import UserError
from tui_gpt.run.messages import CommandName
from tui_gpt.workbench import keys
from tui_gpt.workbench.app_messages import ResumeRun, SendCommand, StartRun, StopRun, UseConfig
from tui_gpt.workbench.dialogs.picker import Item, Picker
from tui_gpt.workbench.dialogs.prompt import Prompt
from tui_gpt.workbench.dialogs.viewer import Viewer, join_lines, log_text
from tui_gpt.workbench.panes.dashboard.banner import Banner
from tui_gpt.workbench.panes.dashboard.charts import ChartPane, GaugesPane, metric_items
from tui_gpt.workbench.panes.dashboard.events import EventsPane, viewer_lines
from tui_gpt.workbench.panes.dashboard.first_minutes import Welcome
from tui_gpt.workbench.panes.dashboard.health import HealthPane
from tui_gpt.workbench.panes.dashboard.machine import MachinePane
from tui_gpt.workbench.panes.dashboard.samples import SamplesPane
from tui_gpt.workbench.panes.pane import Pane
from tui_gpt.workbench.screens.work_screen import WorkScreen
from tui_gpt.workbench.state.preferences import Smoothing, XAxis
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.status_bar import StatusBar

PANES = {
    "chart": "Loss",
    "health": "Health",
    "machine": "Machine",
    "gauges": "Gauges",
    "samples": "Samples",
    "events": "Events",
}
SMOOTHINGS: tuple[Smoothing, ...] = ("raw", "light", "auto", "heavy")
X_AXES: tuple[XAxis, ...] = ("step", "tokens", "time")
LIVE_ONLY = ("pause", "checkpoint", "sample", "stop")  # actions that the footer names while the run is live
QUIET = ("use_config", "log", "events", "log_scale", "x_axis", "whole_plan")  # named only where they help most
NARROW_QUIET = ("config", "maximize", "filter", "command_palette")


class DashboardScreen(WorkScreen):
    """The shown run, or how to start one. It never edits the draft."""

    NAME = keys.DASHBOARD
    BINDINGS = keys.bindings(keys.DASHBOARD)
    AUTO_FOCUS = ""
    ALLOW_IN_MAXIMIZED_VIEW = "HeaderBar, StatusBar, Banner, Footer"
    CSS_PATH = "dashboard.tcss"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._labels: dict[str, str] = {}
        self.front = session.preferences.pane if session.preferences.pane in PANES else "chart"

    def compose_body(self) -> ComposeResult:
        session = self.session
        yield StatusBar(session)
        yield Banner(session)
        with Container(id="panes"):
            yield ChartPane(session)
            with Vertical(id="side"):
                yield HealthPane(session)
                yield MachinePane(session)
                yield EventsPane(session)
            yield GaugesPane(session)
            yield SamplesPane(session)
        yield Welcome(session)

    def on_mount(self) -> None:
        self._labels = self._footer_labels()
        self._show_front()
        self.pane(self.front).target.focus()

    @property
    def monitor(self) -> RunMonitor | None:
        return self.session.monitor

    def pane(self, name: str) -> Pane:
        """Return a pane by its name in `PANES`."""
        return self.query_one(f"#{name}", Pane)

    # ── what is shown ───────────────────────────────────────────────────────────────────────────────────────────────

    def refresh_data(self) -> None:
        """Bring the panes up to date; a frozen view leaves them as they are."""
        super().refresh_data()
        self.set_class(self.monitor is None, "-no-run")
        self.query_one(StatusBar).refresh_data()
        self.query_one(Banner).refresh_data()
        self.query_one(Welcome).refresh_data()
        if not self.session.is_frozen:
            for pane in self.query(Pane):
                if pane.display:
                    pane.refresh_data()
        self._refresh_footer()

    def _footer_labels(self) -> dict[str, str]:
        """Return the footer's word for each action whose word depends on the state; an empty one leaves it out."""
        monitor, is_live = self.monitor, self.session.is_live
        labels = dict.fromkeys(QUIET, "")
        labels["start"] = "" if is_live else "start new" if monitor else "start"
        labels["resume"] = "resume" if monitor and monitor.has_ended and monitor.state != "gone" else ""
        if not is_live:
            labels |= dict.fromkeys(LIVE_ONLY, "")
            labels |= {"use_config": "use config", "log": "log"} if monitor else {}
        elif monitor and monitor.state == "paused":
            labels["pause"] = "resume"
        if monitor is None:
            labels |= dict.fromkeys(("config", "metric", "maximize", "filter"), "")
        if self.has_class("-narrow"):
            labels |= dict.fromkeys(NARROW_QUIET, "")
        return labels

    def _refresh_footer(self) -> None:
        if self._footer_labels() != self._labels:
            self.refresh_bindings()

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """Return the bindings with the footer's words for the state that the run is in; all of them stay active."""
        # What the footer was drawn with, which may be while another run is being opened, whose state is not read yet.
        labels = self._labels = self._footer_labels()
        found = super().active_bindings
        for key, active in found.items():
            label = labels.get(active.binding.action)
            if label is not None:
                found[key] = active._replace(binding=replace(active.binding, description=label, show=bool(label)))
        return found

    @on(events.DescendantFocus)
    def _pane_focused(self, event: events.DescendantFocus) -> None:
        pane = next((node for node in event.widget.ancestors_with_self if isinstance(node, Pane)), None)
        if pane is not None and pane.id in PANES:
            self.front = self.session.preferences.pane = pane.id
            self._show_front()

    def on_resize(self) -> None:
        self.call_after_refresh(self._add_tabs)

    def _add_tabs(self) -> None:
        """Add the tabs once the screen is narrow; the footer has fewer words then."""
        if self.has_class("-narrow") and not self.query("#pane-tabs"):
            tabs = [Tab(f"{number} {PANES[name]}", id=f"tab-{name}") for number, name in enumerate(PANES, 1)]
            bar = Tabs(*tabs, active=f"tab-{self.front}", id="pane-tabs")
            bar.can_focus = False
            self.mount(bar, before="#panes")
        self._refresh_footer()

    def _show_front(self) -> None:
        """Mark the pane that a narrow screen shows, and its tab."""
        for pane in self.query(Pane):
            pane.set_class(pane.id == self.front, "-front")
        self.query_one("#side").set_class(self.front in ("health", "machine", "events"), "-front")
        with self.prevent(Tabs.TabActivated):  # answered by a focus, two of them in the queue would alternate for ever
            for bar in self.query("#pane-tabs").results(Tabs):
                bar.active = f"tab-{self.front}"
        self.refresh_data()

    @on(Tabs.TabActivated, "#pane-tabs")
    def _tab_chosen(self, event: Tabs.TabActivated) -> None:
        event.stop()
        self._focus((event.tab.id or "").removeprefix("tab-"))

    def _focus(self, name: str) -> None:
        """Focus a pane, which a narrow or maximized screen may not show yet."""
        self.front = name
        if self.maximized is not None:
            self.maximized = self.pane(name)
        self._show_front()
        self.pane(name).target.focus()

    def text_to_copy(self) -> str:
        if self.monitor is None:
            return ""
        return "\n".join(filter(None, (self.query_one(Banner).text, self.pane(self.front).text())))

    # ── the view ────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_focus_pane(self, number: int) -> None:
        self._focus(list(PANES)[number - 1])

    def action_maximize(self) -> None:
        if self.maximized is not None:
            self.minimize()
        elif self.monitor is not None:
            self.maximize(self.pane(self.front), container=False)

    def action_back(self) -> None:
        """Put a maximized pane back, then show everything again that was filtered out."""
        if self.maximized is not None:
            self.minimize()
        else:
            self._filter("")

    def action_freeze(self) -> None:
        self.session.is_frozen = not self.session.is_frozen
        self.refresh_data()

    def action_log_scale(self) -> None:
        self._change_view(log_y=not self.session.preferences.log_y)

    def action_x_axis(self) -> None:
        self._change_view(x_axis=X_AXES[(X_AXES.index(self.session.preferences.x_axis) + 1) % len(X_AXES)])

    def action_whole_plan(self) -> None:
        self._change_view(whole_plan=not self.session.preferences.whole_plan)

    def action_smoother(self) -> None:
        self._smooth(1)

    def action_rougher(self) -> None:
        self._smooth(-1)

    def action_raw(self) -> None:
        self._change_view(smoothing="raw")

    def _smooth(self, by: int) -> None:
        at = SMOOTHINGS.index(self.session.preferences.smoothing) + by
        self._change_view(smoothing=SMOOTHINGS[min(max(0, at), len(SMOOTHINGS) - 1)])

    def _change_view(self, **changes: object) -> None:
        """Change preferences, and draw what they show, also in a frozen view."""
        for name, value in changes.items():
            setattr(self.session.preferences, name, value)
        if self.monitor is not None:
            self.monitor.draw_curves()
        for widget in (self.query_one(ChartPane), self.query_one(GaugesPane), self.query_one(StatusBar)):
            widget.refresh_data()

    def action_previous_sample(self) -> None:
        self.query_one(SamplesPane).step_by(-1)

    def action_next_sample(self) -> None:
        self.query_one(SamplesPane).step_by(1)

    @work(group="dialog")
    async def action_metric(self) -> None:
        if not self.is_in_front or self.monitor is None:
            return
        items = [Item(*item) for item in metric_items(self.monitor)]
        picker = Picker("Metric", items, current=self.session.preferences.metric)
        chosen = await self.app.push_screen_wait(picker)
        if chosen is not None:
            self._change_view(metric=str(chosen))

    @work(group="dialog")
    async def action_filter(self) -> None:
        if not self.is_in_front or self.monitor is None:
            return
        before = self.query_one(EventsPane).needle
        prompt = Prompt(
            "Filter events and samples",
            value=before,
            hint="empty shows everything · enter keeps it · esc puts it back",
            on_change=self._filter,
        )
        entered = await self.app.push_screen_wait(prompt)
        self._filter(before if entered is None else entered)

    def _filter(self, needle: str) -> None:
        for pane in (self.query_one(EventsPane), self.query_one(SamplesPane)):
            pane.needle = needle
            pane.refresh_data()

    # ── the run ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_start(self) -> None:
        self.post_message(StartRun())

    def action_pause(self) -> None:
        self._send("resume" if self.monitor is not None and self.monitor.state == "paused" else "pause")

    def action_checkpoint(self) -> None:
        self._send("checkpoint")

    def action_sample(self) -> None:
        self._send("sample")

    def _send(self, name: CommandName) -> None:
        monitor = self.monitor
        if monitor is None or monitor.has_ended:
            state = f"the run is {monitor.state}" if monitor else "no run is shown"
            self.notify(f"{state}: there is nothing to {name}")
        else:
            self.post_message(SendCommand(name))

    def action_stop(self) -> None:
        self.post_message(StopRun())

    def action_resume(self) -> None:
        if self.monitor is not None and self.monitor.has_ended:
            self.post_message(ResumeRun(self.monitor.folder))
        else:
            key = keys.key_hint("pause", self.session.keymap, keys.DASHBOARD)
            self.notify(f"only a run that has ended is resumed; {key} pauses and continues a live one")

    def action_use_config(self) -> None:
        if self.monitor is not None and self.monitor.asked:
            self.post_message(UseConfig(self.monitor.asked, str(self.monitor.folder.config)))
        else:
            self.notify("there is no run whose config could be used")

    def action_config(self) -> None:
        monitor = self.monitor
        if monitor is not None and self.is_in_front:
            from tui_gpt.workbench.panes.dashboard.config_lines import config_lines

            lines = config_lines(monitor, self.size.width - 6)
            self.app.push_screen(Viewer(f"Config of {monitor.folder.id}", join_lines(lines)))

    @work(group="dialog")
    async def action_log(self) -> None:
        monitor = self.monitor
        if monitor is None or not self.is_in_front:
            return
        text = await asyncio.to_thread(monitor.log_tail)
        if self.is_in_front:
            self.app.push_screen(Viewer(f"{monitor.folder.id} · trainer.log", log_text(text), at_end=True))

    @work(group="dialog")
    async def action_events(self) -> None:
        monitor = self.monitor
        if monitor is None:
            return
        try:
            found = await asyncio.to_thread(monitor.folder.read_events)
        except (UserError, OSError):
            found = list(monitor.events)  # the folder is gone: what was read of it
        if self.is_in_front:
            title = f"{monitor.folder.id} · events"
            self.app.push_screen(Viewer(title, join_lines(viewer_lines(found)), at_end=True))
