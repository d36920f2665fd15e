"""Times of training steps, by the clock of the device.

Times are marked between the parts of a step and read at the end, so that nothing waits within a step. As in the
trainer, the next batch is copied while the GPU computes, and the host runs at most one step ahead.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from dataclasses import dataclass
from itertools import pairwise

import torch

from tui_gpt.config import Config
from tui_gpt.training.compute import Compute
from tui_gpt.training.data.batches import MicroBatch, to_device
from tui_gpt.training.loop.engine import Engine
from tui_gpt.training.measuring.device_clock import DeviceClock, Mark, synchronize
from tui_gpt.training.optimizers.schedules import learning_rate

MATMUL_WIDTHS = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
MATMUL_SECONDS = 0.4  # for each width


class DeviceTimer:
    """Records times by the clock of the device."""

    def __init__(self, device: torch.device) -> None:
        self._clock = DeviceClock(device)
        self._marks: list[Mark] = []

    def mark(self) -> None:
        """Record the current time."""
        self._marks.append(self._clock.mark())

    def wait(self, back: int) -> None:
        """Wait until the device has passed the mark `back` marks ago."""
        if len(self._marks) >= back:
            self._clock.wait(self._marks[-back])

    def seconds(self) -> list[float]:
        """Return the seconds between consecutive marks."""
        return [self._clock.seconds(before, after) for before, after in pairwise(self._marks)]


@dataclass
class StepTimes:
    """Seconds of each measured step, by part."""

    wait: list[float]  # for the batch
    passes: list[float]  # forward and backward, all micro-batches
    update: list[float]  # clipping, the guard, the optimizers
    accumulation_steps: int

    @property
    def whole(self) -> list[float]:
        """Seconds of each step."""
        return [sum(parts) for parts in zip(self.wait, self.passes, self.update, strict=True)]

    @property
    def pass_seconds(self) -> float:
        """Seconds of forward and backward pass of one micro-batch, from the median step."""
        return statistics.median(self.passes) / self.accumulation_steps

    def share(self, part: list[float]) -> float:
        """Return the fraction of the total time that a part takes."""
        return sum(part) / sum(self.whole)

    def tokens_per_second(self, tokens: int, accumulation_steps: int) -> float:
        """Return the speed of a step with `accumulation_steps` passes of `tokens` tokens each, and one update."""
        rest = statistics.median(self.wait) + statistics.median(self.update)
        return tokens * accumulation_steps / (self.pass_seconds * accumulation_steps + rest)

    def fastest(self) -> StepTimes:
        """Return the minimum of each part, for comparisons on a machine that other processes use as well."""
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
    """Train `warmup` steps, then measure `steps` steps.

    at_most_seconds: limits the measured steps (to two at least); a quarter of it limits the warmup (to one at least).
    """
    timer, on_cuda = DeviceTimer(compute.device), compute.device.type == "cuda"
    step, ahead = 0, None

    def take_step() -> None:
        nonlocal step, ahead
        step += 1
        batch = ahead or fetch(engine, config, compute, step)
        timer.mark()
        loss = engine.train_step.compute_gradients(step, batch)
        timer.mark()
        engine.train_step.apply_update(
            step, loss, learning_rate(config.schedule, config.optimizer.learning_rate, step, 0.0)
        )
        timer.mark()
        if on_cuda:
            ahead = fetch(engine, config, compute, step + 1)
            timer.wait(back=4)  # the end of the step before

    limit = at_most_seconds or math.inf
    started = time.perf_counter()
    while step < warmup and (not step or time.perf_counter() - started < limit / 4):
        take_step()
    gc.collect()
    gc.freeze()  # as the trainer does after its first step
    try:
        synchronize(compute.device)
        timer = DeviceTimer(compute.device)
        timer.mark()
        warm, started = step, time.perf_counter()
        while step < warm + steps and (step < warm + 2 or time.perf_counter() - started < limit):
            take_step()
        seconds = timer.seconds()
    finally:
        gc.unfreeze()
    return StepTimes(seconds[0::3], seconds[1::3], seconds[2::3], config.training.accumulation_steps)


def fetch(engine: Engine, config: Config, compute: Compute, step: int) -> list[MicroBatch]:
    """Return the micro-batches of `step` on the device."""
    return to_device(engine.batches.batch(step), config.training.accumulation_steps, compute.device)


def measure_peak_flops(compute: Compute) -> float:
    """Return the FLOP/s of the fastest of several large matrix products, in the precision and threads of the run."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[compute.precision]
    widths = MATMUL_WIDTHS.get(compute.device.type, MATMUL_WIDTHS["cpu"])
    return max(2.0 * width**3 / _time_matmul(width, dtype, compute.device) for width in widths)


def _time_matmul(width: int, dtype: torch.dtype, device: torch.device) -> float:
    left, right = (torch.randn(width, width, device=device).to(dtype) for _ in range(2))
    times: list[float] = []
    deadline = time.perf_counter() + MATMUL_SECONDS
    while len(times) < 2 or time.perf_counter() < deadline:
        synchronize(device)
        started = time.perf_counter()
        torch.matmul(left, right)
        synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times)
