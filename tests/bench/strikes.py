"""Random signals against live runs: nothing may be lost, and every run must end as if nothing had happened.

    python -m tests.bench.strikes --strikes 1000 --seed 1 [--aim outputs] [--keep FOLDER]

A strike is SIGKILL, SIGTERM, SIGINT, SIGHUP, or SIGSTOP with SIGCONT, SIGKILL or SIGTERM some time later, on the
trainer, the supervisor, both, or the process group, at a random moment of a phase: launching, preparing, first step,
training, evaluation, sample, save, pausing, paused, stopping, resuming. After each the run is resumed and struck again;
then it is left to finish, and compared with an uninterrupted one: metrics, evaluations, samples and the files of the
last checkpoint, bit for bit. `--aim outputs` only kills, during evaluations, samples and saves.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil

from tests import live
from tui_gpt.checkpoints import manifest
from tui_gpt.errors import RunError, UserError
from tui_gpt.run import command_files
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Command, Status

SETTINGS = (
    "training.duration=120",
    "training.eval_every=10",
    "sampling.every=10",
    'sampling.prompts=["", "Lily "]',
    "sampling.tokens=32",
    "checkpoints.every=10",
    "optimizer.name=muon",
    "training.on_anomaly=skip",
)
PHASES = (
    "launching",
    "preparing",
    "first step",
    "training",
    "evaluation",
    "sample",
    "save",
    "pausing",
    "paused",
    "stopping",
    "resuming",
)
OUTPUTS = ("evaluation", "sample", "save")
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGSTOP SIGCONT", "SIGSTOP SIGKILL", "SIGSTOP SIGTERM")
TARGETS = ("trainer", "supervisor", "both", "group")
STRIKES_PER_RUN = 12
HANG_SECONDS = 90.0
# `torch.optim` imports torch._dynamo, which no run on a CPU uses, at its first call: 1.7 of the 4.5 s of a start.
WITHOUT_DYNAMO = """
import sys, types
module = sys.modules["torch._compile"] = types.ModuleType("torch._compile")
module._disable_dynamo = lambda fn=None, recursive=True: fn if fn is not None else lambda fn: fn
"""
TIMES = {"tokens_per_second", "elapsed_seconds", "data_wait_seconds", "memory_bytes", "mfu", "seconds"}


@dataclass
class Tally:
    """What was done, and what was found."""

    strikes: int = 0
    runs: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    signals: Counter[str] = field(default_factory=Counter)
    targets: Counter[str] = field(default_factory=Counter)
    runs_lost: int = 0
    runs_different: int = 0
    processes_left: int = 0
    locks_left: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.problems


def record(folder: RunFolder) -> dict[str, Any]:
    """Return all that a finished run recorded, without times."""

    def lines(entries: list[Any]) -> list[dict[str, Any]]:
        return [{k: v for k, v in msgspec.to_builtins(entry).items() if k not in TIMES} for entry in entries]

    last, best = manifest.newest(folder.checkpoints, ["full"]), manifest.best(folder.checkpoints)
    assert last is not None and best is not None
    files = manifest.verify(last.path).files
    return {
        "metrics": lines(folder.read_metrics()),
        "evals": lines(folder.read_evals()),
        "samples": lines(folder.read_samples()),
        "last checkpoint": (last.step, {name: files[name] for name in (manifest.MODEL, manifest.OPTIMIZER)}),
        "best checkpoint": (best.step, best.val_loss),
    }


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return in words where two records differ."""
    texts = []
    for name, value in expected.items():
        if found[name] == value:
            continue
        if isinstance(value, list):
            extra = [line for line in found[name] if line not in value]
            missing = [line for line in value if line not in found[name]]
            texts.append(f"{name}: {len(missing)} missing, {len(extra)} others: {missing[:1]} {extra[:1]}")
        else:
            texts.append(f"{name}: {found[name]}, not {value}")
    return texts


def processes(folder: Path) -> list[psutil.Process]:
    """Return the live processes of the runs under a folder: the supervisor works in its run's, and so its children."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


@contextmanager
def fast_starts() -> Iterator[None]:
    """Let the processes that are started in this block leave out an import of two seconds."""
    before = os.environ.get("PYTHONPATH", "")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(WITHOUT_DYNAMO)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, before)))
        try:
            yield
        finally:
            os.environ["PYTHONPATH"] = before


class Striker:
    """Strikes one run again and again. chance: the source of all choices."""

    def __init__(self, folder: RunFolder, chance: random.Random, tally: Tally, phases: tuple[str, ...]) -> None:
        self.folder, self.chance, self.tally, self.phases = folder, chance, tally, phases
        self.is_kill_only = phases == OUTPUTS
        self.log: list[str] = []

    def status(self) -> Status | None:
        return self.folder.read_status()

    def until(self, true: Callable[[Status], Any], seconds: float = HANG_SECONDS) -> bool:
        """Wait for a condition of the live run; return False once it has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = self.status()
            if status is not None and true(status):
                return True
            if not self.folder.is_locked():
                return False
            time.sleep(0.002)
        raise TimeoutError(f"{self.status()}")

    def send(self, name: str) -> bool:
        """Send a command, unless the run has ended."""
        with suppress(RunError):
            command_files.send(self.folder, Command(name=name))  # type: ignore[arg-type]
            return True
        return False

    def aim(self, phase: str) -> bool:
        """Wait for a random moment of a phase. Return False if the run ended before."""
        wait, delay = 0.0, self.chance.uniform
        status = self.status()
        step = status.step if status else 0
        if phase == "preparing":
            is_there, wait = self.until(lambda s: s.state == "starting" and s.trainer_pids), delay(0, 3)
        elif phase == "first step":
            is_there, wait = self.until(lambda s: "first step" in s.phase or s.state == "running"), delay(0, 0.2)
        elif phase == "evaluation":
            is_there, wait = self.until(lambda s: s.phase == "evaluating"), delay(0, 0.02)
        elif phase == "sample":
            is_there, wait = self.until(lambda s: s.phase == "sampling"), delay(0, 0.1)
        elif phase == "save":
            is_there, wait = self.until(lambda _: next(self.folder.path.glob(".partial-*"), None)), delay(0, 0.02)
        else:
            at = step + self.chance.randint(0, 12)
            is_there = self.until(lambda s: s.state == "running" and s.step >= at)
            if phase == "stopping":
                is_there, wait = is_there and self.send("stop"), delay(0, 0.5)
            elif phase != "training":
                is_there, wait = is_there and self.send("pause"), delay(0, 0.3)
                if phase != "pausing":
                    is_there = is_there and self.until(lambda s: s.state == "paused")
                if phase == "resuming":
                    is_there = is_there and self.send("resume")
        time.sleep(wait)
        return is_there and self.folder.is_locked()

    def strike(self, phase: str) -> bool:
        """Send a random signal to a random target. Return whether the run is expected to end by it."""
        names = "SIGKILL" if self.is_kill_only else self.chance.choice(SIGNALS)
        target = self.chance.choice(TARGETS)
        status = self.status()
        if status is not None and status.trainer_pids:
            supervisor, trainers = [status.supervisor_pid], list(status.trainer_pids)
        else:
            found = processes(self.folder.path)
            supervisor = [p.pid for p in found if p.ppid() == os.getpid()]
            trainers = [p.pid for p in found if p.pid not in supervisor]
        first, *later = (signal.Signals[name] for name in names.split())
        self._signal(first, target, supervisor, trainers)
        for sig in later:
            time.sleep(self.chance.uniform(0.02, 0.8))
            self._signal(sig, target, supervisor, trainers)
            if sig is signal.SIGTERM:
                self._signal(signal.SIGCONT, target, supervisor, trainers)
        self.log.append(f"{names} to {target}, {phase}, step {status.step if status else 0}")
        self.tally.strikes += 1
        self.tally.phases[phase] += 1
        self.tally.signals[names] += 1
        self.tally.targets[target] += 1
        return names not in ("SIGHUP", "SIGSTOP SIGCONT")

    def _signal(self, sig: signal.Signals, target: str, supervisor: list[int], trainers: list[int]) -> None:
        with suppress(ProcessLookupError):
            if target == "group":
                for pid in supervisor:
                    os.killpg(pid, sig)  # it leads a session of its own
                return
        pids = {"trainer": trainers, "supervisor": supervisor, "both": [*supervisor, *trainers]}
        for pid in pids.get(target, []):
            with suppress(ProcessLookupError):
                os.kill(pid, sig)

    def launch(self, *, struck: bool) -> None:
        """Resume the run. struck: and strike it meanwhile, so that the resume itself may fail."""
        if not struck:
            live.resume(self.folder)
            return

        def resume() -> None:
            with suppress(UserError):
                live.resume(self.folder)

        thread = threading.Thread(target=resume)
        thread.start()
        time.sleep(self.chance.uniform(0, 0.6))
        ends = self.strike("launching")
        thread.join(HANG_SECONDS)
        if ends:
            self.until(lambda _: False)

    def run(self, strikes: int) -> None:
        """Strike the run so often, and leave it to finish. Raise UserError or TimeoutError if it does not."""
        left = strikes
        while left:
            if not self.folder.is_locked():
                if self.folder.state() == "finished":
                    return
                is_launch = "launching" in self.phases and self.chance.random() < 0.12
                self.launch(struck=is_launch)
                left -= is_launch
                continue
            phase = self.chance.choice([phase for phase in self.phases if phase != "launching"])
            if self.aim(phase):
                left -= 1
                if self.strike(phase):
                    self.until(lambda _: False)  # the end
                elif phase in ("pausing", "paused", "resuming"):
                    self.send("resume")
        while self.folder.is_locked() or self.folder.state() != "finished":
            if self.folder.is_locked():
                self.until(lambda _: False)
            else:
                self.launch(struck=False)


def strike_runs(
    workspace: Path, strikes: int, seed: int, *, aim: str = "everything", report: Callable[[str], object] = print
) -> Tally:
    """Strike runs in `workspace` so often in all, and return what was found."""
    chance, tally = random.Random(seed), Tally()
    whole = live.start(workspace, *SETTINGS)
    assert live.ended(whole).state == "finished"
    expected = record(whole)
    while tally.strikes < strikes:
        folder = live.start(workspace, *SETTINGS)
        striker = Striker(folder, chance, tally, OUTPUTS if aim == "outputs" else PHASES)
        tally.runs += 1
        problems = []
        try:
            striker.run(min(STRIKES_PER_RUN, strikes - tally.strikes))
            if found := differences(record(folder), expected):
                tally.runs_different += 1
                problems += found
        except (UserError, TimeoutError, AssertionError) as error:
            tally.runs_lost += 1
            problems.append(f"{type(error).__name__}: {error}")
        time.sleep(0.05)
        left = [process for process in processes(folder.path) if process.is_running()]
        _, left = psutil.wait_procs(left, timeout=5)
        if left:
            tally.processes_left += len(left)
            problems.append(f"left: {[' '.join(process.cmdline()) for process in left]}")
            for process in left:
                process.kill()
            psutil.wait_procs(left, timeout=5)
        if folder.is_locked():
            tally.locks_left += 1
            problems.append("the lock is left")
        if partial := [path.name for path in folder.path.glob(".*") if path.name.startswith((".partial", ".replaced"))]:
            problems.append(f"left: {partial}")
        if problems:
            tally.problems.append(f"{folder.path}: {'; '.join(problems)}; after {striker.log}")
        report(f"{tally.strikes} strikes, {tally.runs} runs, {len(tally.problems)} problems {problems}")
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strikes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--aim", choices=("everything", "outputs"), default="everything")
    parser.add_argument("--keep", type=Path, help="work in this folder, and keep the runs")
    options = parser.parse_args()
    before = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, fast_starts():
        try:
            tally = strike_runs(
                options.keep or Path(folder),
                options.strikes,
                options.seed,
                aim=options.aim,
                report=lambda text: print(text, file=sys.stderr, flush=True),
            )
        except Exception:
            traceback.print_exc()
            return 2
    result = msgspec.to_builtins(tally) | {"seed": options.seed, "seconds": round(time.monotonic() - before)}
    print(json.dumps(result))
    return 0 if tally.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
