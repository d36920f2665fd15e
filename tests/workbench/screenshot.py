"""The README's picture: the real dashboard, drawn by the app itself.

    python -m tests.workbench.screenshot docs/dashboard.svg [WORKSPACE RUN]

Without a workspace it draws a fake run; with one, the run called so.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.workbench import fake_run
from tui_gpt.workbench.app import Workbench

SETTLE_SECONDS = 4.0  # starting the workbench takes a core from a run that is live: the picture is to be of the run


async def draw(target: Path, workspace: Path, run: str | None, size: tuple[int, int] = (120, 40)) -> None:
    """Write an SVG of the dashboard on `run`."""
    app = Workbench(workspace, run=run)
    app.theme = "dusk"
    async with app.run_test(size=size) as pilot:
        while any(worker.group == "study" and not worker.is_finished for worker in app.workers):
            await asyncio.sleep(0.01)
        await asyncio.sleep(SETTLE_SECONDS)
        await app._beat()
        await pilot.pause()
        target.write_text(app.export_screenshot(title="gpt-tui"), "utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 2:
            asyncio.run(draw(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
        else:
            fake_run.running(Path(folder) / "runs")
            asyncio.run(draw(Path(sys.argv[1]), Path(folder), None))
