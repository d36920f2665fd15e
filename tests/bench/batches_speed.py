"""Tokens a second that one process gathers, mode by mode, beside what numpy gathers with no shuffle at all.

    python tests/bench/batches_speed.py [million tokens] [context]

The corpus is a file of random tokens, mapped as a run's is. Run it on a quiet machine: it takes a few seconds a line.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from tui_gpt.training.data.batches import BatchLoader, CorpusPart

SECONDS = 3.0


def rate(take: Callable[[int], object], tokens: int) -> float:
    take(1)
    step, started = 1, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        step += 1
        take(step)
    return (step - 1) * tokens / (time.perf_counter() - started)


def main(millions: int = 500, context: int = 1024, sequences: int = 32) -> None:
    tokens = millions * 10**6
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.bin")
        random = np.random.default_rng(0)
        with path.open("wb") as file:
            for _ in range(millions):
                file.write(random.integers(1, 50_000, 10**6, np.uint16).tobytes())
        mapped = np.memmap(path, np.uint16, "r")
        starts = np.arange(0, tokens, 300)
        print(f"{millions}M tokens, context {context}, {sequences} rows a step, million tokens/s:")

        def plain(step: int) -> np.ndarray:
            first = np.arange(sequences)[:, None] * context + step * sequences * context % (tokens // 2)
            return mapped[first + np.arange(context + 1)].astype(np.int64)

        print(f"{'numpy, in order':>34} {rate(plain, sequences * context) / 1e6:8.1f}")
        for mode in ("windows", "sliding", "random", "packed"):
            for across in (True, False):
                began = time.perf_counter()
                parts = [CorpusPart(0, tokens, starts)]
                batches = BatchLoader(
                    mapped, mode, context, sequences, 1, parts, end_of_text=0, attend_across_documents=across
                )
                ready = time.perf_counter() - began
                found = rate(batches.batch, sequences * context) / 1e6
                name = mode if across else f"{mode}, documents apart"
                resident = psutil.Process().memory_info().rss / 2**20
                print(f"{name:>34} {found:8.1f}   ready in {ready:.2f} s, {resident:,.0f} MiB resident", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
