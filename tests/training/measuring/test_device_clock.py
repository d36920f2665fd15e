"""Times of steps: by events in a GPU's stream of work, by the wall clock elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.loop.harness import TrainerHarness
from tui_gpt.training.loop import outputs, state
from tui_gpt.training.loop.guard import REPORT_LENGTH
from tui_gpt.training.loop.pending_metrics import PendingMetrics
from tui_gpt.training.loop.step import StepResult
from tui_gpt.training.measuring.device_clock import DeviceClock, LapTimer


class Stream:
    """A GPU whose work runs behind the host. queued: seconds of work so far; done: up to where it is done."""

    def __init__(self) -> None:
        self.queued, self.done = 0.0, 0.0

    def event(self, *, enable_timing: bool) -> Event:
        assert enable_timing
        return Event(self)


class Event:
    """Like torch.cuda.Event: `elapsed_time` in milliseconds, an error before both have happened."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.at = stream, -1.0

    def record(self) -> None:
        self.at = self.stream.queued

    def synchronize(self) -> None:
        self.stream.done = max(self.stream.done, self.at)

    def elapsed_time(self, end: Event) -> float:
        if max(self.at, end.at) > self.stream.done:
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return 1000 * (end.at - self.at)


def lap_timer(device: str) -> tuple[LapTimer, Stream]:
    """Return a timer whose clock is the stream: by its events on cuda, by its host's clock on cpu."""
    stream = Stream()
    clock = DeviceClock(torch.device(device), now=lambda: stream.queued, event=stream.event)
    return LapTimer(clock), stream


def train(timer: LapTimer, stream: Stream, steps: int, seconds: float) -> None:
    for _ in range(steps):
        timer.resume()
        stream.queued += seconds
        timer.add_step()


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_a_lap_is_the_time_of_its_steps_only(device: str) -> None:
    timer, stream = lap_timer(device)
    train(timer, stream, 3, 0.5)
    first = timer.lap()
    train(timer, stream, 1, 0.25)
    timer.pause()
    stream.queued += 60  # an evaluation
    train(timer, stream, 1, 0.5)
    second = timer.lap()
    timer.pause()
    stream.queued += 60  # a checkpoint, right after a logged line
    train(timer, stream, 2, 1.0)
    third = timer.lap()
    assert [lap.steps for lap in (first, second, third)] == [3, 2, 2]
    assert [lap.seconds() for lap in (first, second, third)] == pytest.approx([1.5, 0.75, 2.0])


def test_on_a_gpu_a_lap_does_not_end_when_its_work_is_queued() -> None:
    timer, stream = lap_timer("cuda")
    train(timer, stream, 4, 0.5)
    lap = timer.lap()
    assert stream.done == 0.0  # nothing has waited so far
    assert lap.seconds() == pytest.approx(2.0)


def test_speed_and_mfu_follow_from_the_time_of_the_device() -> None:
    timer, stream = lap_timer("cuda")
    train(timer, stream, 4, 0.5)
    pending = PendingMetrics(
        StepResult(torch.tensor(2.5), torch.tensor(1.0), None),
        torch.zeros(REPORT_LENGTH),
        timer.lap(),
        step=8,
        tokens=80_000,
        tokens_per_step=10_000,
        learning_rate=1e-3,
        elapsed_seconds=9.0,
        flops_per_token=6e6,
        peak_flops=1e12,
    )
    line, anomaly = pending.read(memory_bytes=7)
    assert (line.step, line.loss, line.memory_bytes, anomaly) == (8, 2.5, 7, None)
    assert line.tokens_per_second == pytest.approx(20_000)
    assert line.mfu == pytest.approx(0.12) and line.flops == pytest.approx(4.8e11)


def delayed(function: Callable[..., Any], stream: Stream) -> Callable[..., Any]:
    """Return the function with a delay."""

    def run(*arguments: Any, **named: Any) -> Any:
        stream.queued += 100
        return function(*arguments, **named)

    return run


def test_evaluations_samples_and_checkpoints_are_not_in_the_speed_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TrainerHarness(tmp_path, "training.eval_every=5", "sampling.every=5", "checkpoints.every=5")
    stream = Stream()
    clock = DeviceClock(torch.device("cpu"), now=lambda: stream.queued)
    run.trainer.outputs.laps = LapTimer(clock)
    train_step = run.trainer.state.train_step
    compute_gradients = train_step.compute_gradients

    def slow(*arguments: object) -> torch.Tensor:
        stream.queued += 0.25
        return compute_gradients(*arguments)  # type: ignore[arg-type]

    train_step.compute_gradients = slow  # type: ignore[method-assign]
    for module, name in ((outputs, "evaluate"), (outputs, "sample_text"), (state, "take_snapshot")):
        monkeypatch.setattr(module, name, delayed(getattr(module, name), stream))
    run.trainer.dry_run()
    run.trainer.run()
    assert stream.queued > 1000
    speeds = [line.tokens_per_second for line in run.folder.read_metrics()]
    assert speeds == pytest.approx([run.trainer.state.config.tokens_per_step / 0.25] * 30)
