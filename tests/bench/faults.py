"""Failing system calls in a run's life, one at a time: each run must go on or end resumable, and say why.

    python -m tests.bench.faults --seed 1 [--points N] [--keep FOLDER]

A shim (`fault_shim.c`, preloaded; needs a C compiler and Linux) lets one open, write, fsync, rename, mkdir or
reservation of space on the run's files fail with ENOSPC, EIO, EROFS, EDQUOT, EMFILE or EINTR, in the command line, the
supervisor or the trainer; every fourth time it keeps failing from then on. A first pass counts the calls of a run that
is started, and of one that is resumed; then every kind of call on every file fails at its first, its last and a random
time. A run that pauses is resumed as a user would, or stopped; one that ended is resumed without the fault. Each must
then have recorded what an undisturbed run records, without a traceback on the terminal, a process or a lock left.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import psutil

from tests import live
from tests.bench.strikes import differences, fast_starts, processes, record
from tui_gpt.errors import UserError
from tui_gpt.run import command_files
from tui_gpt.run.folder import RunFolder, list_runs
from tui_gpt.run.messages import Command

SETTINGS = (
    "training.duration=10",
    "training.eval_every=5",
    "sampling.every=5",
    "checkpoints.every=5",
    "checkpoints.keep=2",
    "optimizer.name=adamw",
)
ERRORS = ("ENOSPC", "EIO", "EROFS", "EDQUOT", "EMFILE", "EINTR")
OF_OPEN_ONLY = ("EMFILE",)
STOP_AT = 7
POLLED = 40  # calls at most of those that viewers make again and again, and that therefore differ in number
HANG_SECONDS = 60.0


@dataclass(frozen=True)
class Point:
    """One fault: the at-th `call` on `name` fails. life: of a run that is started, or resumed."""

    life: str
    call: str
    name: str
    at: int
    error: str
    is_lasting: bool

    def __str__(self) -> str:
        lasting = " and later" if self.is_lasting else ""
        return f"{self.life}: {self.error} at {self.call} {self.at}{lasting} of {self.name}"


@dataclass
class Tally:
    """What was done, and what was found."""

    points: int = 0
    not_reached: int = 0
    went_on: int = 0
    paused: int = 0
    ended_and_resumed: int = 0
    refused: int = 0  # no run was made
    errors: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def compile_shim(folder: Path) -> Path | None:
    """Return the compiled shim, or None where there is no compiler or no such preloading."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        return None
    shim, source = folder / "fault_shim.so", Path(__file__).with_name("fault_shim.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"], check=True)
    return shim


class Faults:
    """Runs of a workspace, with faults. chance: the source of all choices."""

    def __init__(self, workspace: Path, shim: Path, chance: random.Random) -> None:
        self.workspace, self.shim, self.chance, self.tally = workspace, shim, chance, Tally()
        self.counter, self.log = workspace / "counter", workspace / "calls"
        self.expected: dict[str, dict[str, Any]] = {}

    @cached_property
    def stopped(self) -> RunFolder:
        """A run that was stopped, of which copies are resumed."""
        folder = live.start(self.workspace, *SETTINGS, name="stopped", stop_at=STOP_AT)
        assert live.ended(folder).step == STOP_AT
        return folder

    def count(self, life: str) -> Counter[tuple[str, str]]:
        """Return how often each call is made on each file in a run without faults, and keep what it records."""
        self.log.unlink(missing_ok=True)
        folder, code, text, _ = self.run(life, {"FAULT_LOG": str(self.log)})
        assert folder is not None and code == 0, text
        self.expected[life] = record(folder)
        lines = self.log.read_text().splitlines()
        return Counter(tuple(line.split(" ", 1)) for line in lines)  # type: ignore[misc]

    def points(self) -> list[Point]:
        """Return every kind of call on every file at its first, its last and a random time, in random order."""
        found = set()
        for life in ("start", "resume"):
            for (call, name), times in sorted(self.count(life).items()):
                last = min(times, POLLED)
                for at in (1, last, self.chance.randint(1, last)):
                    errors = [name for name in ERRORS if call == "open" or name not in OF_OPEN_ONLY]
                    error, is_lasting = self.chance.choice(errors), self.chance.random() < 0.25
                    found.add(Point(life, call, name, at, error, is_lasting and error != "EINTR"))
        ordered = sorted(found, key=str)
        self.chance.shuffle(ordered)
        return ordered

    def run(self, life: str, environment: dict[str, str]) -> tuple[RunFolder | None, int, str, bool]:
        """Run `gpt-tui train` with the shim; return the run, the exit code, what was printed, whether it paused."""
        runs, stopped = self.workspace / "runs", self.stopped if life == "resume" else None
        before = {folder.path for folder in list_runs(runs)}
        arguments = [*live.SMALL, *SETTINGS, "--name", "faulty"]
        if stopped is not None:
            name = f"{stopped.id}-{len(before)}"
            shutil.copytree(stopped.path, runs / name)
            before.add(runs / name)
            arguments = ["--resume", name]
        command = [sys.executable, "-m", "tui_gpt", "--workspace", str(self.workspace), "train", *arguments]
        environment = os.environ | environment | {"LD_PRELOAD": str(self.shim), "FAULT_PREFIX": str(runs)}
        environment["XDG_STATE_HOME"] = str(self.workspace)
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
            paused, deadline, last = 0, time.monotonic() + HANG_SECONDS, 0.0
            folder = RunFolder(runs / name) if stopped is not None else None
            while process.poll() is None or (folder is not None and folder.is_locked()):
                time.sleep(0.02)
                if folder is None:
                    new = [run for run in list_runs(runs) if run.path not in before]
                    folder = new[0] if new else None
                status = None
                with suppress(UserError):
                    status = folder.read_status() if folder else None
                if folder and status and status.state == "paused" and time.monotonic() > last + 1:
                    paused, last = paused + 1, time.monotonic()
                    with suppress(UserError):
                        command_files.send(folder, Command(name="resume" if paused < 3 else "stop"))
                if time.monotonic() > deadline:
                    process.kill()
                    process.wait()
                    output.seek(0)
                    tail = output.read().decode("utf-8", "replace")[-500:]
                    raise TimeoutError(f"neither ended nor paused: {status}, {tail}")
            output.seek(0)
            return folder, process.returncode, output.read().decode("utf-8", "replace"), bool(paused)

    def inject(self, point: Point) -> None:
        """Let one call fail, and see what becomes of the run."""
        self.counter.write_bytes(bytes(8))
        environment = {
            "FAULT_COUNTER": str(self.counter),
            "FAULT_CALL": point.call,
            "FAULT_NAME": point.name,
            "FAULT_AT": str(point.at),
            "FAULT_ERRNO": str(getattr(errno, point.error)),
        } | ({"FAULT_LASTING": "1"} if point.is_lasting else {})
        tally = self.tally
        try:
            folder, code, text, is_paused = self.run(point.life, environment)
        except TimeoutError as error:
            self._problem(point, [str(error)])
            self._end_all()
            return
        if int.from_bytes(self.counter.read_bytes(), sys.byteorder) < point.at:
            tally.not_reached += 1
        else:
            tally.points += 1
            tally.errors[point.error] += 1
            tally.calls[point.call] += 1
        tally.paused += is_paused
        problems = []
        if "Traceback" in text or "internal error" in text:
            problems.append(f"a traceback or an internal error on the terminal: {text[-1500:]}")
        if code not in (0, 1, 2, 130):
            problems.append(f"exit code {code}")
        if folder is None or not (folder.config.exists() or folder.info.exists()):
            tally.refused += 1
            if code != 2 or not self._says_why(point, text):
                problems.append(f"no run, exit code {code}: {text[-300:]}")
        else:
            problems += self._judge(point, folder, code, text)
        _, left = psutil.wait_procs(processes(self.workspace), timeout=5)
        if left:
            problems.append(f"left: {[process.pid for process in left]}")
            self._end_all()
        if problems:
            self._problem(point, problems, folder)
        elif folder is not None and folder.path.exists():
            shutil.rmtree(folder.path)

    def _judge(self, point: Point, folder: RunFolder, code: int, text: str) -> list[str]:
        problems, message = [], ""
        try:
            state = folder.state()
            if (status := folder.read_status()) is not None:
                message = f"{status.message} {status.failure}"
        except UserError as error:
            return [str(error)]
        if state == "finished":
            self.tally.went_on += 1
            if code and not self._says_why(point, text):  # what follows the run may end, and say so
                problems.append(f"finished, but exit code {code}: {text[-300:]}")
        else:
            if not code:
                problems.append(f"{state}, but exit code 0")
            if not self._says_why(point, text + message):
                problems.append(f"{state}, but it does not say why: {text[-600:]} | {message}")
            try:
                live.resume(folder)
                state = live.ended(folder).state
            except (UserError, AssertionError) as error:
                problems.append(f"cannot be resumed: {error}")
            if state != "finished":
                return [*problems, f"not resumed: {state}: {folder.read_status()}"]
            self.tally.ended_and_resumed += 1
        if found := differences(record(folder), self.expected[point.life]):
            problems += found
        if partial := [path.name for path in folder.path.iterdir() if path.name.startswith((".partial", ".replaced"))]:
            problems.append(f"left: {partial}")
        return problems

    def _says_why(self, point: Point, text: str) -> bool:
        why = os.strerror(getattr(errno, point.error))
        return why.lower() in text.lower() or "could not be opened, and now can" in text  # safetensors hides why

    def _problem(self, point: Point, problems: list[str], folder: RunFolder | None = None) -> None:
        self.tally.problems.append(f"{point}: {'; '.join(problems)} [{folder.id if folder else ''}]")

    def _end_all(self) -> None:
        left = processes(self.workspace)
        for process in left:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(left, timeout=5)


def inject_all(
    workspace: Path, shim: Path, seed: int, limit: int | None, report: Callable[[str], object]
) -> dict[str, Any]:
    """Inject at all points, or at so many, and return what was found."""
    faults = Faults(workspace, shim, random.Random(seed))
    points = faults.points()
    for index, point in enumerate(points[:limit]):
        before = len(faults.tally.problems)
        faults.inject(point)
        report(f"{index + 1}/{len(points)} {point} {faults.tally.problems[before:]}")
    return msgspec.to_builtins(faults.tally) | {"of_points": len(points)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--points", type=int, help="inject only at so many, of all in random order")
    parser.add_argument("--keep", type=Path, help="work in this folder, and keep the runs with a problem")
    options = parser.parse_args()
    before = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, fast_starts():
        shim = compile_shim(Path(folder))
        if shim is None:
            print("skipped: this needs Linux and a C compiler", file=sys.stderr)
            return 0
        workspace = options.keep or Path(folder)
        workspace.mkdir(parents=True, exist_ok=True)
        result = inject_all(
            workspace, shim, options.seed, options.points, lambda text: print(text, file=sys.stderr, flush=True)
        )
    print(json.dumps(result | {"seed": options.seed, "seconds": round(time.monotonic() - before)}))
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
