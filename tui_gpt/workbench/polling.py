"""Reading what is new, and letting the screen in front show it.

Everything drawn comes from the shown run's folder, the draft of the next run, and readings of the machine. One loop
reads them in threads and then tells the screen to refresh; nothing that arrives draws by itself. It runs twice a second
while something is live, slower when the terminal cannot keep up, and draws nothing while nothing changes.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from textual import work
from textual.app import App

from tui_gpt.workbench.screens.work_screen import WorkScreen
from tui_gpt.workbench.state.corpora.corpus_summary import read_summary
from tui_gpt.workbench.state.estimate import find_speed
from tui_gpt.workbench.terminal.driver import MeteredDriver

if TYPE_CHECKING:
    from tui_gpt.workbench.state.run_monitor import RunMonitor
    from tui_gpt.workbench.state.session import Session

POLL_SECONDS, IDLE_SECONDS = 0.6, 2.0
BACKLOG_CHARACTERS = 4096  # on their way to the terminal, from where on it is given time to catch up
SYSTEM_SECONDS = 2.0  # between readings of the machine


class Polling(App[int]):
    """The part of the app that reads."""

    session: Session
    _system_read = _live_read = 0.0

    if TYPE_CHECKING:

        def report_changes(self, monitor: RunMonitor) -> None: ...

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._wake, self._polling = asyncio.Event(), asyncio.Lock()

    @work(group="poll")
    async def poll(self) -> None:
        while True:
            await self.poll_once()
            session = self.session
            is_busy = session.is_live or session.commands.waiting() or session.task
            wait = POLL_SECONDS if is_busy and self.backlog <= BACKLOG_CHARACTERS else IDLE_SECONDS
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue
            finally:
                self._wake.clear()

    async def poll_once(self) -> None:
        """Read what is new, then let the screen in front show it; one at a time."""
        async with self._polling:
            session, now = self.session, time.monotonic()
            if now - self._live_read > IDLE_SECONDS:
                self._live_read = now
                session.live_runs = await asyncio.to_thread(session.find_live_runs)
            monitor = session.monitor
            if monitor is not None:
                was_prepared = monitor.info is not None
                await self._read_monitor(monitor)
                if not was_prepared and monitor.info is not None:
                    self.read_draft()  # its corpus has been prepared: counts instead of estimates
                self.report_changes(monitor)
            if session.live_runs and now - self._system_read > SYSTEM_SECONDS:
                await self._read_system()
            if not self.is_running or not self.screen_stack:  # the app has ended meanwhile
                return
            if isinstance(screen := self.screen, WorkScreen):
                await screen.read_data()
            if self.backlog <= BACKLOG_CHARACTERS:
                self.refresh_data()

    async def _read_monitor(self, monitor: RunMonitor) -> None:
        """Bring a monitor up to date, a long journal piece by piece with a picture now and then."""
        drawn = time.monotonic()
        while monitor.apply(await asyncio.to_thread(monitor.read)):
            if time.monotonic() - drawn > POLL_SECONDS:
                self.refresh_data()
                drawn = time.monotonic()

    async def _read_system(self) -> None:
        self._system_read = time.monotonic()
        monitor = self.session.monitor
        pids = monitor.status.trainer_pids if monitor and monitor.status and monitor.is_live else ()
        await asyncio.to_thread(self.session.system.read, pids)

    @property
    def backlog(self) -> int:
        """Characters on their way to the terminal."""
        return self._driver.backlog if isinstance(self._driver, MeteredDriver) else 0

    def refresh_data(self) -> None:
        """Let the screen in front show what is known now; a screen under a dialog too."""
        if not self.is_running or not self.screen_stack:  # the app ends, and its widgets go one after the other
            return
        for screen in self.screen_stack:
            if isinstance(screen, WorkScreen) and screen.is_mounted:
                screen.refresh_data()

    def wake(self) -> None:
        """Poll now instead of at the next turn."""
        self._wake.set()

    @work(group="read-draft", exclusive=True)
    async def read_draft(self) -> None:
        """Read what is known of the draft's corpus, of this machine, and of earlier runs like it."""
        session = self.session
        data, known = session.draft.config.data, session.corpus
        if known is None or (known.reference, known.tokenizer) != (data.corpus, data.tokenizer) or not known.prepared:
            session.corpus = await asyncio.to_thread(
                read_summary, data.corpus, data.tokenizer, data.val_fraction, session.corpus_dir
            )
        session.speed = await asyncio.to_thread(find_speed, session.runs_dir, session.draft.config)
        await self._read_system()
        self.refresh_data()

    def corpora_changed(self) -> None:
        """Read the corpora again: one was fetched, cleaned or prepared, or could not be."""
        self.session.corpora_version += 1
        self.read_draft()
        self.wake()
