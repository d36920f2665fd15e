"""What watching costs: processor seconds of supervisor and workbench, and steps lost to metrics, queue and journals.

    python -m tests.bench.overhead [--seconds 60] [--neighbour]

Three figures: processor time of the supervisor and of an attached workbench (in a pty, 120×40) as a share of the
trainer's; tokens/s of a supervised run whose every step sleeps 50 ms, against a bare loop of the same sleeps; and, with
--neighbour, milliseconds a step of pico alone and beside one busy core, its threads' spin at default, ours, passive.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import pexpect
import psutil
import torch

from tests.bench.peers import report
from tui_gpt import launch
from tui_gpt.config import override
from tui_gpt.run import folder as folders
from tui_gpt.run.child_process import Channel
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.supervisor import StartRequest

SLEEP = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--neighbour", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        watching(Path(place), arguments.seconds)
    with tempfile.TemporaryDirectory() as place:
        sleeping(Path(place))
    if arguments.neighbour:
        neighbours()


def watching(workspace: Path, seconds: float) -> None:
    """Processor time of those who watch, as a share of the trainer's, over a stretch of a real run."""
    asked = override({}, ["training.duration=1000000"])
    folder = launch.start(workspace / "runs", workspace / "corpus", asked)
    until_step(folder, 20)
    workbench = pexpect.spawn(
        sys.executable,
        ["-c", "from tui_gpt.cli import main; main()"],
        cwd=workspace,
        dimensions=(40, 120),
        timeout=None,
    )
    status = folder.read_status()
    assert status is not None and status.supervisor_pid is not None
    watched = {
        "trainer": psutil.Process(status.trainer_pids[0]),
        "supervisor": psutil.Process(status.supervisor_pid),
        "workbench": psutil.Process(workbench.pid),
    }
    drained(workbench, 5)  # its start is no part of watching
    before = {name: spent(process) for name, process in watched.items()}
    drained(workbench, seconds)
    used = {name: spent(process) - before[name] for name, process in watched.items()}
    workbench.close(force=True)
    for process in (watched["trainer"], watched["supervisor"]):
        process.terminate()
    report(
        "watching", seconds=seconds, **{f"{name}_cpu_seconds": round(value, 2) for name, value in used.items()},
        share=round((used["supervisor"] + used["workbench"]) / used["trainer"], 4),
    )  # fmt: skip
    psutil.wait_procs([watched["trainer"], watched["supervisor"]], timeout=60)


def spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def drained(child: pexpect.spawn, seconds: float) -> None:
    """Read what it draws, as a terminal does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            child.read_nonblocking(1 << 16, timeout=0.2)
        except pexpect.TIMEOUT:
            continue


def until_step(folder: RunFolder, step: int) -> None:
    while (status := folder.read_status()) is None or status.step < step:
        time.sleep(0.1)


def sleepy_trainer(channel: Channel, folder: str, request: StartRequest) -> None:
    """The trainer with a sleep in place of each step's arithmetic."""
    from tui_gpt.training.loop import step
    from tui_gpt.training.trainer_process import run_trainer

    def gradients(self: step.TrainStep, number: int, micro_batches: object) -> torch.Tensor:
        time.sleep(SLEEP)
        return torch.tensor(2.0 + 0.01 * (number % 3))

    step.TrainStep.compute_gradients = gradients  # type: ignore[method-assign,assignment]
    run_trainer(channel, folder, request)


def sleeping(workspace: Path, steps: int = 400) -> None:
    """Supervised steps that sleep, against bare ones."""
    started = time.perf_counter()
    for _ in range(steps):
        time.sleep(SLEEP)
    bare = (time.perf_counter() - started) / steps
    asked = launch.validate_request(
        override({}, [f"training.duration={steps}", "model.n_embd=16", "model.n_layer=1", "training.eval_every=0",
                      "sampling.every=0", "checkpoints.every=0"]),
        workspace / "corpus",
    )  # fmt: skip
    folder = folders.create(workspace / "runs", "sleepy", asked)
    request = StartRequest(corpus_dir=str(workspace / "corpus"), trainer="tests.bench.overhead:sleepy_trainer")
    subprocess.run(
        [sys.executable, "-m", "tui_gpt.run.supervisor", str(folder.path), msgspec.json.encode(request).decode()],
        check=True, env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    lines = folder.read_metrics()
    each = (lines[-1].elapsed_seconds - lines[9].elapsed_seconds) / (lines[-1].step - lines[9].step)
    report(
        "sleeping step", bare_ms=round(1e3 * bare, 3), supervised_ms=round(1e3 * each, 3), ratio=round(bare / each, 4)
    )


def busy() -> None:
    while True:
        pass


def neighbours() -> None:
    """Milliseconds a step of pico alone and beside one busy core, by how its threads wait."""
    policies = {"default": {"GOMP_SPINCOUNT": "300000"}, "ours": {}, "passive": {"OMP_WAIT_POLICY": "PASSIVE"}}
    for name, environment in policies.items():
        found = {"policy": name}
        for company in (False, True):
            neighbour = multiprocessing.get_context("spawn").Process(target=busy, daemon=True)
            if company:
                neighbour.start()
            found["beside_ms" if company else "alone_ms"] = f"{step_milliseconds(environment):.0f}"
            if company:
                neighbour.terminate()
        report("neighbour", **found)


def step_milliseconds(environment: dict[str, str]) -> float:
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-c", "from tui_gpt.cli import main; main()", "train", "--steps", "150",
                   "--workspace", place, "training.eval_every=0", "sampling.every=0"]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, env=os.environ | environment)
        (folder,) = folders.list_runs(Path(place, "runs"))
        times = [line.elapsed_seconds for line in folder.read_metrics()]
        return 1e3 * statistics.median(b - a for a, b in itertools.pairwise(times[20:]))


if __name__ == "__main__":
    main()
