"""How long the Runs screen takes with a thousand runs: reading them, opening, each key, each refresh.

    python -m tests.bench.runs_table [RUNS]

Wall-clock and processor milliseconds; on a busy machine only the latter mean something.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random

from textual.widgets import DataTable

from tests.workbench.fake_run import FakeRun, close_all
from tui_gpt.workbench import keys
from tui_gpt.workbench.app import Workbench
from tui_gpt.workbench.screens.runs import RunsScreen
from tui_gpt.workbench.state.runs.run_scan import RunScanner
from tui_gpt.workbench.state.runs.run_table import RunTable


def make_runs(runs: Path, count: int) -> None:
    """Make `count` short runs of a sweep over four settings."""
    random = Random(1)
    for index in range(count):
        asked = {
            "preset": "pico",
            "model": {"n_layer": random.choice([2, 4, 6]), "n_embd": random.choice([64, 96, 128])},
            "optimizer": {"learning_rate": random.choice([1e-3, 3e-3, 1e-2])},
            "training": {"seed": index % 7 + 1},
        }
        name = f"202611{1 + index // 1440:02d}-{index // 60 % 24:02d}{index % 60:02d}00-pico-stories"
        run = FakeRun(runs, name, asked=asked, total=100)
        run.write_info()
        run.train(random.randint(20, 60))
        run.evaluate()
        run.set_status("finished", tokens=run.step * 1024, elapsed_seconds=run.step / 12, loss=2.0, message="done")
        close_all()


def report(name: str, wall: float, cpu: float) -> None:
    print(f"{name:<34} {wall * 1e3:>8.1f} ms  {cpu * 1e3:>8.1f} ms of processor", flush=True)


def measure(name: str, function: Callable[[], object]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    report(name, time.perf_counter() - wall, time.process_time() - cpu)


async def measure_async(name: str, function: Callable[[], Awaitable[object]], times: int = 1) -> None:
    walls, cpus = [], []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        await function()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    report(name, statistics.median(walls), statistics.median(cpus))


def measure_state(runs: Path) -> None:
    """Measure what happens in a thread."""
    scanner, table = RunScanner(runs), RunTable()
    measure("read the first runs", scanner.scan)

    def complete() -> None:
        while scanner.scan(1.0):
            pass

    measure("read the others", complete)
    measure("look for changes", lambda: scanner.scan(0.0))
    measure("lay out, first", lambda: table.view(scanner.rows))
    table.sort_by("best_val")
    measure("sort", lambda: table.view(scanner.rows))
    table.filter = "lr3e-3 l2"
    measure("filter", lambda: table.view(scanner.rows))


async def measure_screen(workspace: Path, count: int) -> None:
    """Measure the app, headless."""
    app = Workbench(workspace)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()

        async def open_screen() -> None:
            app.action_show_screen(keys.RUNS)
            await pilot.pause()
            while not isinstance(app.screen, RunsScreen) or app.screen.query_one(DataTable).row_count < count:
                await asyncio.sleep(0.005)
            await pilot.pause(0)

        await measure_async("open, until every run is listed", open_screen)
        await app.poll_once()
        await measure_async("a key that does nothing", lambda: pilot.press("f12"), 9)
        for key in ("down", "pagedown", "end", "space", "o"):
            await measure_async(f"key {key}", partial(pilot.press, key), 9)
        await measure_async("a poll in which nothing changed", app.poll_once, 5)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        os.environ["XDG_STATE_HOME"] = os.environ["XDG_CONFIG_HOME"] = f"{folder}/home"
        measure(f"make {count} runs", lambda: make_runs(workspace / "runs", count))
        measure_state(workspace / "runs")
        asyncio.run(measure_screen(workspace, count))


if __name__ == "__main__":
    main()
