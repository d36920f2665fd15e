"""Time a redraw of the loss chart, and opening a run of a million steps.

    python tests/bench/charts.py [steps]

Redraws are of a loss with its band and evaluations: the median and the worst of 30, and the least processor time, which
says more on a machine that is shared. Opening is reading and decoding metrics.jsonl, building the columns, and drawing
the loss chart and three gauges at 120×40.
"""

from __future__ import annotations

import math
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec

from tui_gpt.run.messages import Eval, Metrics, Status
from tui_gpt.workbench.drawing import sheet
from tui_gpt.workbench.drawing.rendering import render
from tui_gpt.workbench.panes.run_plots import View, loss_plot, metric_plot
from tui_gpt.workbench.state.metric_series import MetricSeries, MetricsReader

SIZES = ((60, 12), (88, 20), (120, 25), (200, 60), (300, 100))
GAUGES = ("grad_norm", "learning_rate", "tokens_per_second")


def lines(steps: int) -> list[Metrics]:
    noise = random.Random(1)
    return [
        Metrics(
            step=step,
            tokens=step * 8192,
            loss=0.4 + 5.6 * math.exp(-step / steps * 30) + noise.gauss(0, 0.05),
            learning_rate=3e-3 * math.cos(step / steps),
            grad_norm=0.5 + noise.random(),
            tokens_per_second=18_000 + noise.random() * 100,
            elapsed_seconds=step * 0.0553,
            data_wait_seconds=noise.random() * 1e-3,
            memory_bytes=1_300_000_000,
            mfu=0.31 + noise.random() * 0.01,
            flops=step * 1e12,
        )
        for step in range(1, steps + 1)
    ]


def run_of(series: MetricSeries, steps: int) -> SimpleNamespace:
    evals = [
        Eval(step=step, val_loss=0.45, perplexity=None, bits_per_byte=None, tokens=1, whole=True)
        for step in range(steps // 20, steps + 1, steps // 20)
    ]
    rest = {"best": None, "samples": [], "events": [], "checkpoints": [], "info": None, "is_live": False}
    return SimpleNamespace(series=series, evals=evals, status=Status(state="finished"), **rest)


def redraws() -> None:
    series = MetricSeries()
    series.extend(lines(1240))
    plot = loss_plot(run_of(series, 1240), View())
    assert plot is not None
    for width, height in SIZES:
        took, processor = [], []
        for _ in range(30):
            started, worked = time.perf_counter(), time.thread_time()
            render(plot, width, height)
            took.append(1000 * (time.perf_counter() - started))
            processor.append(1000 * (time.thread_time() - worked))
        median = statistics.median(took)
        print(f"redraw {width}×{height}: {median:.1f} ms, worst {max(took):.1f}, processor {min(processor):.1f}")


def open_run(path: Path, steps: int) -> None:
    started, worked = time.perf_counter(), time.process_time()
    reader, series = MetricsReader(path), MetricSeries()
    reading = appending = longest = 0.0
    while True:
        begun = time.perf_counter()
        updates = reader.poll(at_once=False)
        read = time.perf_counter()
        series.extend(updates)
        reading, appending = reading + read - begun, appending + time.perf_counter() - read
        longest = max(longest, time.perf_counter() - begun)
        if not updates:
            break
    drawing = time.perf_counter()
    run = run_of(series, steps)
    plots = [loss_plot(run, View()), *(metric_plot(run, gauge, View(), is_compact=True) for gauge in GAUGES)]
    for plot, size in zip(plots, [(88, 20), *[(28, 6)] * 3], strict=True):
        assert plot is not None
        render(plot, *size)
    now = time.perf_counter()
    print(
        f"{steps:,} steps, {path.stat().st_size / 2**20:.0f} MiB: {now - started:.2f} s,"
        f" {time.process_time() - worked:.2f} s of processor time (read and decode {reading:.2f},"
        f" columns {appending:.2f}, plots {now - drawing:.2f}; the longest chunk {1000 * longest:.0f} ms)"
    )


def main(steps: int = 1_000_000) -> None:
    started = time.perf_counter()
    sheet.prewarm()
    print(f"import plotext: {1000 * (time.perf_counter() - started):.0f} ms")
    redraws()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        encode = msgspec.json.encode
        path.write_bytes(b"".join(encode(line) + b"\n" for line in lines(steps)))
        for _ in range(3):
            open_run(path, steps)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
