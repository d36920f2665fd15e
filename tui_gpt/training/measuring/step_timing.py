"""How fast the engine goes, by the device's own clock.

On a GPU the host only queues work, so a host's clock says when a step was asked for, not when it was done. Marks are
therefore CUDA events on the stream between the parts of a step, read once all is over: nothing waits inside a step. As
in the trainer, the batch of the next step is copied while the card computes, and the host runs one step ahead at most.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from dataclasses import dataclass

import torch

from tui_gpt.config import Config
from tui_gpt.training.compute import Compute
from tui_gpt.training.data.batches import MicroBatch, to_device
from tui_gpt.training.loop.engine import Engine
from tui_gpt.training.optimizers.schedules import learning_rate

MATMUL_WIDTHS = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
MATMUL_SECONDS = 0.4  # for each width


def wait_for(device: torch.device) -> None:
    """Until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class DeviceTimer:
    """Moments on the device's clock: events on a CUDA stream; elsewhere the host's clock once the device is done."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._moments: list[float] = []
        self._events: list[torch.cuda.Event] = []

    def mark(self) -> None:
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._events.append(event)
        else:
            wait_for(self._device)
            self._moments.append(time.perf_counter())

    def wait(self, back: int) -> None:
        """Until the device has passed the mark `back` marks ago."""
        if len(self._events) >= back:
            self._events[-back].synchronize()

    def seconds(self) -> list[float]:
        """Between each mark and the next."""
        if self._device.type == "cuda":
            wait_for(self._device)
            pairs = zip(self._events, self._events[1:], strict=False)
            return [before.elapsed_time(after) / 1000 for before, after in pairs]
        return [after - before for before, after in zip(self._moments, self._moments[1:], strict=False)]


@dataclass
class StepTimes:
    """Seconds of each measured step, in its three parts."""

    wait: list[float]  # for the batch
    passes: list[float]  # forward and backward, all micro-batches
    update: list[float]  # clipping, the guard, the optimisers
    accumulation_steps: int

    @property
    def whole(self) -> list[float]:
        return [sum(parts) for parts in zip(self.wait, self.passes, self.update, strict=True)]

    @property
    def pass_seconds(self) -> float:
        """Of the median micro-batch, forward and backward."""
        return statistics.median(self.passes) / self.accumulation_steps

    def share(self, part: list[float]) -> float:
        """The part's share of all the time."""
        return sum(part) / sum(self.whole)

    def tokens_per_second(self, tokens: int, accumulation_steps: int) -> float:
        """The speed of a step of so many such passes, of `tokens` tokens each, and one update."""
        rest = statistics.median(self.wait) + statistics.median(self.update)
        return tokens * accumulation_steps / (self.pass_seconds * accumulation_steps + rest)

    def fastest(self) -> StepTimes:
        """The quickest of each part: what is compared where others use the machine too, which slows any step."""
        return StepTimes([min(self.wait)], [min(self.passes)], [min(self.update)], self.accumulation_steps)


def time_steps(
    engine: Engine,
    config: Config,
    compute: Compute,
    *,
    warmup: int,
    steps: int,
    at_most_seconds: float | None = None,
) -> StepTimes:
    """Train up to `warmup` steps unmeasured, then up to `steps` measured: fewer, but one and two at least, where a
    quarter of `at_most_seconds`, then all of it, is gone.
    """
    marks, on_cuda = DeviceTimer(compute.device), compute.device.type == "cuda"
    step, ahead = 0, None

    def take_step() -> None:
        nonlocal step, ahead
        step += 1
        batch = ahead or fetch(engine, config, compute, step)
        marks.mark()
        loss = engine.train_step.compute_gradients(step, batch)
        marks.mark()
        engine.train_step.apply_update(
            step, loss, learning_rate(config.schedule, config.optimizer.learning_rate, step, 0.0)
        )
        marks.mark()
        if on_cuda:
            ahead = fetch(engine, config, compute, step + 1)
            marks.wait(back=4)  # the end of the step before

    limit = at_most_seconds or math.inf
    started = time.perf_counter()
    while step < warmup and (not step or time.perf_counter() - started < limit / 4):
        take_step()
    gc.collect()
    gc.freeze()  # as the trainer does after its first step
    try:
        wait_for(compute.device)
        marks = DeviceTimer(compute.device)
        marks.mark()
        warm, started = step, time.perf_counter()
        while step < warm + steps and (step < warm + 2 or time.perf_counter() - started < limit):
            take_step()
        seconds = marks.seconds()
    finally:
        gc.unfreeze()
    return StepTimes(seconds[0::3], seconds[1::3], seconds[2::3], config.training.accumulation_steps)


def fetch(engine: Engine, config: Config, compute: Compute, step: int) -> list[MicroBatch]:
    return to_device(engine.batches.batch(step), config.training.accumulation_steps, compute.device)


def peak_of_matmul(compute: Compute) -> float:
    """FLOP/s of the best of several large matrix products, in the run's precision and threads."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[compute.precision]
    widths = MATMUL_WIDTHS.get(compute.device.type, MATMUL_WIDTHS["cpu"])
    return max(2.0 * width**3 / _seconds_of_matmul(width, dtype, compute.device) for width in widths)


def _seconds_of_matmul(width: int, dtype: torch.dtype, device: torch.device) -> float:
    left, right = (torch.randn(width, width, device=device).to(dtype) for _ in range(2))
    taken: list[float] = []
    until = time.perf_counter() + MATMUL_SECONDS
    while len(taken) < 2 or time.perf_counter() < until:
        wait_for(device)
        started = time.perf_counter()
        torch.matmul(left, right)
        wait_for(device)
        taken.append(time.perf_counter() - started)
    return min(taken)
