"""A workbench that touches nothing of the user's, on a machine that never changes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.workbench import fake_run
from tui_gpt.hardware import Host
from tui_gpt.run.folder import list_runs
from tui_gpt.workbench.app import Workbench
from tui_gpt.workbench.state.system_monitor import SystemMonitor, SystemReadings

GIB = 2**30
HOST = Host(name="box", system="Linux", cpu="Test CPU", cores=8, memory_bytes=32 * GIB, memory_free_bytes=24 * GIB)
ENDLESS = ("poll",)  # groups of workers that run for as long as the app


@pytest.fixture(autouse=True)
def close_fake_runs() -> Iterator[None]:
    yield
    fake_run.close_all()


@pytest.fixture(autouse=True)
def isolated_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(socket, "gethostname", lambda: "box")
    monkeypatch.delenv("GPT_TUI_CACHE", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that sets what the machine reads as."""
    now = SystemReadings(host=HOST)

    def read(self: SystemMonitor, trainer_pids: tuple[int, ...] = ()) -> SystemReadings:
        self.readings = now
        return now

    def set_to(**readings: Any) -> None:
        nonlocal now
        now = SystemReadings(**({"host": HOST} | readings))

    monkeypatch.setattr(SystemMonitor, "read", read)
    return set_to


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """Return an empty workspace. A test that leaves a live run in it fails, and the run is killed."""
    runs = tmp_path / "work" / "runs"
    runs.mkdir(parents=True)
    yield tmp_path / "work"
    fake_run.close_all()
    left = [folder for folder in list_runs(runs) if folder.is_locked()]
    for folder in left:
        status = folder.read_status()
        for pid in (status.supervisor_pid, *status.trainer_pids) if status else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert not left, f"live runs were left behind: {left}"


Opener = Callable[..., Any]


@pytest.fixture
def opened(workspace: Path) -> Opener:
    """`async with opened(run=…, size=…) as (app, pilot)`: a workbench that has read everything once."""

    @asynccontextmanager
    async def open_(
        run: str | None = None, size: tuple[int, int] = (120, 40), glyphs: str = "braille", theme: str = "dusk"
    ) -> AsyncIterator[tuple[Workbench, Pilot[int]]]:
        app = Workbench(workspace, run=run, glyphs=glyphs)
        app.theme = theme
        async with app.run_test(size=size, notifications=True) as pilot:
            await settle(app, pilot)
            yield app, pilot

    return open_


async def settle(app: Workbench, pilot: Pilot[int]) -> None:
    """Wait until nothing is being read or worked on, and everything read has been shown.

    A worker that awaits a dialog does not count: it waits for the test.
    """
    for _ in range(2):
        await pilot.pause()
        while any(is_busy(app, worker) for worker in app.workers):
            await asyncio.sleep(0.005)
        await app.poll_once()
        await pilot.pause()
    while app.screen._layout_required or app.screen._dirty_widgets:  # the machine is busy
        await asyncio.sleep(0.005)


def is_busy(app: Workbench, worker: Any) -> bool:
    """Return whether a worker still has work that does not wait for the user."""
    if worker.is_finished or worker.group in ENDLESS:
        return False
    return not any(screen.is_modal for stack in app._screen_stacks.values() for screen in stack)


def words_in(text: str) -> str:
    """Return the words of a drawn text as they follow one another, wherever its lines break."""
    return " ".join(re.sub(r"[\u2500-\u259f]", " ", text).split())


def text_of(app: Workbench) -> str:
    """Return what is on screen, as text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)
