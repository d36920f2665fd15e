"""Make the README's picture and recording from the app itself, on a real run.

    python -m tests.workbench.record docs --seconds 90

It trains the default model in a temporary workspace, shows it in the workbench, and writes `dashboard.svg` (the last
frame) and `recording.svg` (a few frames in turn).
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
from pathlib import Path

from tui_gpt import launch
from tui_gpt.run import command_files
from tui_gpt.run.messages import FINAL_STATES, Command
from tui_gpt.workbench.app import Workbench
from tui_gpt.workbench.drawing import sheet

SIZE = (120, 40)
FRAME_SECONDS = 1.5  # that each frame is shown; the last one three times as long


async def record(workspace: Path, seconds: float, frames: int) -> list[str]:
    """Return screenshots of a run's first `seconds`, as SVG, evenly spaced; the first is of the start."""
    sheet.prewarm()
    taken: list[str] = []
    app = Workbench(workspace)
    app.theme = "dusk"
    async with app.run_test(size=SIZE) as pilot:
        await app.poll_once()
        await pilot.pause()
        taken.append(app.export_screenshot(title="gpt-tui"))
        folder = await asyncio.to_thread(launch.start, workspace / "runs", workspace / "corpus", {"preset": "pico"})
        app.open_run(folder)
        for _ in range(frames):
            await asyncio.sleep(seconds / frames)
            app.clear_notifications()
            await app.poll_once()
            await pilot.pause()
            taken.append(app.export_screenshot(title="gpt-tui"))
    command_files.send(folder, Command(name="stop", sender="cli"))
    for _ in range(300):
        status = folder.read_status()
        if status is not None and status.state in FINAL_STATES:
            break
        await asyncio.sleep(0.2)
    return taken


def animate(frames: list[str]) -> str:
    """Return one SVG that shows `frames` in turn, for ever."""
    total = FRAME_SECONDS * (len(frames) + 2)
    view_box = re.search(r'viewBox="([^"]+)"', frames[-1])
    assert view_box is not None
    share = 100 * FRAME_SECONDS / total
    last = 100 * 3 * FRAME_SECONDS / total
    css = [
        ".frame { visibility: hidden; }",
        f"@keyframes show {{ 0% {{ visibility: visible; }} {share:.3f}% {{ visibility: hidden; }} }}",
        f"@keyframes last {{ 0% {{ visibility: visible; }} {last:.3f}% {{ visibility: hidden; }} }}",
    ]
    groups = []
    for index, frame in enumerate(frames):
        name = "last" if index == len(frames) - 1 else "show"
        css.append(f"#f{index} {{ animation: {name} {total}s step-end {index * FRAME_SECONDS}s infinite; }}")
        groups.append(f'<g class="frame" id="f{index}">{frame}</g>')
    style = "\n".join(css)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view_box.group(1)}"><style>{style}</style>\n'
        + "\n".join(groups)
        + "\n</svg>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--frames", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        frames = asyncio.run(record(Path(folder), options.seconds, options.frames))
    (options.folder / "dashboard.svg").write_text(frames[-1], "utf-8")
    (options.folder / "recording.svg").write_text(animate(frames), "utf-8")


if __name__ == "__main__":
    main()
