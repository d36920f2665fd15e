"""Bytes and time of a dashboard of stock widgets, as Textual sends it and as the workbench does.

    python -m tests.bench.terminal_output [--size 120x40] [--seconds 10]

Tabs, a progress bar, a table of which 6 cells change, a chart, a log and a footer are drawn anew twice a second in a
real pseudo terminal. Counted from the first frame on; "ms a frame" is processor time in `App._display`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from typing import Any

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import DataTable, Footer, ProgressBar, RichLog, Static, Tab, Tabs, TextArea

from tests.workbench.terminal.pseudo_terminal import PseudoTerminal
from tui_gpt.workbench.terminal.driver import MeteredDriver
from tui_gpt.workbench.terminal.output import CellDiffApp

HERTZ = 2.0


def chart(step: int, width: int, height: int) -> Text:
    """Return a falling curve of braille dots; its x range doubles when it is full."""
    span = 64
    while span <= step:
        span *= 2
    rows = [[" "] * width for _ in range(height)]
    for x in range(min(width, step * width // span)):
        value = math.exp(-3 * x * span / width / 400) + 0.03 * math.sin(x * 12.9898 * span)
        rows[max(0, min(height - 1, int((1 - value) * (height - 1))))][x] = "⠒"
    return Text("\n".join("".join(row) for row in rows), style="cyan")


class Dashboard(App[None]):
    CSS = """
    Horizontal { height: 1fr; } #chart { width: 2fr; height: 100%; border: round gray; }
    DataTable { width: 1fr; height: 100%; border: round gray; }
    RichLog { height: 8; border: round gray; } TextArea { width: 1fr; } Bar { width: 1fr; } ProgressBar { width: 100%; }
    """
    BINDINGS = [
        Binding(key, "bell", name) for key, name in zip("pcgrs", ("pause", "save", "go", "run", "stop"), strict=True)
    ]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.step, self.frames, self.seconds = 0, 0, 0.0

    def compose(self) -> ComposeResult:
        yield Tabs(*(Tab(name) for name in ("Dashboard", "Runs", "Talk", "Corpora")))
        yield ProgressBar(total=4000, show_eta=False)
        with Horizontal():
            yield Static(id="chart")
            yield DataTable(cursor_type="row")
            yield TextArea("Once upon a time, there was a yellow duck named Lily.\n" * 8, read_only=True)
        yield RichLog()
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        self.columns = table.add_columns("metric", "value", "best")
        self.rows = [table.add_row(f"metric {n}", "0.000", "0.000") for n in range(20)]
        self.set_interval(1 / HERTZ, self.refresh_data)

    def refresh_data(self) -> None:
        self.step += 1
        self.query_one(ProgressBar).update(progress=self.step * 4)
        pane = self.query_one("#chart", Static)
        pane.update(chart(self.step, pane.content_size.width, pane.content_size.height))
        table = self.query_one(DataTable)
        for n in range(6):
            table.update_cell(self.rows[n], self.columns[1], f"{3 * math.exp(-self.step / 90) + n / 7:.3f}")
        if self.step % 4 == 0:
            self.query_one(RichLog).write(f"step {self.step * 4:,}: saved a checkpoint")

    def _display(self, screen: Any, renderable: Any) -> None:
        started = time.thread_time()
        super()._display(screen, renderable)
        self.seconds += time.thread_time() - started
        self.frames += 1


class OurDashboard(Dashboard, CellDiffApp[None]):
    pass


def child(kind: str) -> None:
    app = OurDashboard(driver_class=MeteredDriver) if kind == "ours" else Dashboard()

    def start_counting() -> None:
        app.frames, app.seconds = 0, 0.0

    app.call_later(lambda: app.set_timer(1.0, start_counting))
    app.run()
    print(f"\nmeasured {app.frames} {app.seconds * 1000 / max(1, app.frames):.3f}", flush=True)


def measure(kind: str, size: tuple[int, int], seconds: float) -> None:
    started = time.monotonic()
    with PseudoTerminal(("-m", "tests.bench.terminal_output", "--child", kind), size=size) as terminal:
        terminal.until("metric 5")
        first = time.monotonic() - started
        terminal.settle(0.05)
        opening = len(terminal.received)
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            terminal.read(0.1)
        count = len(terminal.received) - opening
        terminal.send("\x11")  # ctrl+q
        terminal.ended()
        frames, milliseconds = terminal.received.decode(errors="replace").rpartition("measured ")[2].split()[:2]
    print(
        f"{kind:>8}  {size[0]}x{size[1]}  first frame {opening / 1000:5.1f} kB in {first:.2f} s   "
        f"{count / seconds / 1000:6.2f} kB/s   {milliseconds} ms a frame ({frames} frames)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--child", choices=("textual", "ours"))
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    width, height = map(int, options.size.split("x"))
    for kind in ("textual", "ours"):
        measure(kind, (width, height), options.seconds)


if __name__ == "__main__":
    sys.exit(main())
