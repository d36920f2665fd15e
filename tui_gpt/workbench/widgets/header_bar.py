"""The top line of every screen: the screens as tabs, how many runs are live, and which run is shown."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Tab, Tabs

from tui_gpt.workbench.app_messages import ShowScreen
from tui_gpt.workbench.drawing.formatting import cut_head
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.keys import SCREENS
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.quiet_static import QuietStatic


class HeaderBar(Horizontal):
    """Tabs that the mouse can press; the keys for them are bound by the app."""

    DEFAULT_CSS = """
    HeaderBar { height: 1; background: $panel; }
    HeaderBar Tabs { width: auto; background: $panel; }
    HeaderBar Tabs #tabs-scroll { width: auto; }
    HeaderBar Tabs #tabs-list-bar, HeaderBar Tabs #tabs-list { min-width: 0; }  /* else they leave no room */
    HeaderBar #header-run { width: 1fr; height: 1; text-align: right; padding: 0 1; color: $text-muted; }
    """

    def __init__(self, session: Session, screen_name: str) -> None:
        super().__init__()
        self._session, self._screen_name = session, screen_name

    def compose(self) -> ComposeResult:
        tabs = Tabs(
            *(Tab(f"F{number} {title}", id=name) for number, (name, title) in enumerate(SCREENS.items(), 1)),
            active=self._screen_name,
        )
        tabs.can_focus = False  # tab moves among the panes; F1 to F5 choose a screen
        yield tabs
        yield QuietStatic(id="header-run")

    @on(Tabs.TabActivated)
    def _activated(self, event: Tabs.TabActivated) -> None:
        event.stop()
        name = event.tab.id or self._screen_name
        if name != self._screen_name:
            with self.prevent(Tabs.TabActivated):
                event.tabs.active = self._screen_name  # this screen keeps its own tab, for when one comes back
            self.post_message(ShowScreen(name))

    def on_resize(self) -> None:
        self.refresh_data()

    def refresh_data(self) -> None:
        """Say how many runs are live, and which is shown."""
        session, count = self._session, len(self._session.live_runs)
        target = self.query_one("#header-run", QuietStatic)
        live = f"● {count} live  " if count else ""
        name = session.monitor.folder.id if session.monitor else session.workspace.name
        name = cut_head(one_line(name), max(0, target.content_size.width - len(live)))
        target.show(Content.assemble((live, "$success"), name))
