"""A workbench that touches nothing of the user's, on a machine that never changes."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.workbench import fake_run
from tui_gpt.hardware import Host
from tui_gpt.workbench.app import Workbench
from tui_gpt.workbench.machine import Machine, Readings

GIB = 2**30
HOST = Host(name="box", system="Linux", cpu="Test CPU", cores=8, memory_bytes=32 * GIB, memory_free_bytes=24 * GIB)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while fake_run.MADE:
        fake_run.MADE.pop().close()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(socket, "gethostname", lambda: "box")
    monkeypatch.delenv("GPT_TUI_CACHE", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what the machine reads as."""
    now = Readings(host=HOST, load=0.5)

    def take(self: Machine, trainer_pids: tuple[int, ...] = ()) -> Readings:
        self.readings = now
        return now

    def set_to(**readings: Any) -> None:
        nonlocal now
        now = Readings(**({"host": HOST, "load": 0.5} | readings))

    monkeypatch.setattr(Machine, "take", take)
    return set_to


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "work" / "runs").mkdir(parents=True)
    return tmp_path / "work"


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
    """Let what is read and worked on end, and one beat of the follower go by."""
    at_work = ("study", "start", "default", "preview", "chore", "check", "tokens")
    while any(worker.group in at_work and not worker.is_finished for worker in app.workers):
        await asyncio.sleep(0.005)
        await pilot.pause(0)
    await app._beat()
    await pilot.pause()


def words_in(text: str) -> str:
    """The words of a drawn text as they follow one another, wherever its lines break: paths are long or short."""
    return " ".join(re.sub(r"[\u2500-\u259f]", " ", text).split())


def text_of(app: Workbench) -> str:
    """What is on screen, as text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)
