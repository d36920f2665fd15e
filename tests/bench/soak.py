"""A long run with many evaluations, samples, saves and commands: memory, descriptors and logs must stay flat.

    python -m tests.bench.soak --minutes 480

Every second a command is sent (checkpoint, sample, pause, resume), and memory, open descriptors and threads of
supervisor and trainer, the size of the log, and the files of the run folder are noted. Printed are, of each, the value
after the first quarter, the last one, and the slope over the last three quarters. Journals grow by design, by one line
for each step, evaluation, sample and command; they are not among them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

import psutil

from tests import live
from tui_gpt.errors import RunError
from tui_gpt.run import command_files
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Command

SETTINGS = (
    "training.duration=100000000",
    "training.eval_every=10",
    "sampling.every=10",
    "checkpoints.every=10",
    "checkpoints.light_every=0",
    "optimizer.name=adamw",
)
COMMANDS = ("checkpoint", "sample", "pause", "resume")
NOTED = ("supervisor_mib", "trainer_mib", "supervisor_fds", "trainer_fds", "trainer_threads", "log_bytes", "files")


def note(folder: RunFolder, supervisor: psutil.Process, trainer: psutil.Process) -> dict[str, float]:
    """Return what must stay flat, now."""
    return {
        "supervisor_mib": supervisor.memory_info().rss / 2**20,
        "trainer_mib": trainer.memory_info().rss / 2**20,
        "supervisor_fds": supervisor.num_fds(),
        "trainer_fds": trainer.num_fds(),
        "trainer_threads": trainer.num_threads(),
        "log_bytes": folder.log.stat().st_size,
        "files": sum(1 for path in folder.path.rglob("*") if path.is_file()),
    }


def soak(workspace: Path, seconds: float, report: Callable[[str], object] = print) -> dict[str, Any]:
    """Let a run go on for so long, and return how its use of memory, descriptors and disk changed."""
    folder = live.start(workspace, *SETTINGS)
    status = live.at_step(folder, 20)
    supervisor, trainer = psutil.Process(status.supervisor_pid), psutil.Process(status.trainer_pids[0])
    began, notes, sent = time.monotonic(), [], 0
    for name in cycle(COMMANDS):
        time.sleep(1.0)
        elapsed = time.monotonic() - began
        if elapsed > seconds:
            break
        with suppress(FileNotFoundError):  # of a checkpoint that is being renamed
            notes.append((elapsed, note(folder, supervisor, trainer)))
        command_files.send(folder, Command(name=name))  # type: ignore[arg-type]
        sent += 1
        if sent % 60 == 0:
            report(f"{elapsed:.0f} s: {notes[-1][1]}")
    with suppress(RunError):
        command_files.send(folder, Command(name="stop"))
    final = live.ended(folder)
    steady = notes[len(notes) // 4 :]
    hours = [elapsed / 3600 for elapsed, _ in steady]
    changes = {}
    for name in NOTED:
        values = [noted[name] for _, noted in steady]
        tenth = max(1, len(values) // 10)
        changes[name] = {
            "after a quarter": round(median(values[:tenth]), 1),
            "at the end": round(median(values[-tenth:]), 1),
            "per hour": round(linear_regression(hours, values).slope, 1),
        }
    counts = {"steps": final.step, "evals": len(folder.read_evals()), "samples": len(folder.read_samples())}
    return {"seconds": round(seconds), "state": final.state, "commands": sent} | counts | changes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=480)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(Path(folder), options.minutes * 60, lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
