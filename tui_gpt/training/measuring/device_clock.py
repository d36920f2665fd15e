"""Times of the device, and the time that training steps took between two logged lines.

On a GPU the host only queues work, so its clock does not tell when a step is done. Marks are therefore CUDA events in
the stream of work, which are read later, so that nothing waits. On other devices a mark is the host's time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

Mark = Any  # a CUDA event, or the host's time in seconds


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class DeviceClock:
    """Marks points in the work of a device. now, event: the host's clock and CUDA's events, which tests replace."""

    def __init__(
        self,
        device: torch.device,
        now: Callable[[], float] = time.perf_counter,
        event: Callable[..., Any] = torch.cuda.Event,
    ) -> None:
        self._device, self._now, self._event = device, now, event

    def mark(self) -> Mark:
        """Return a mark after all work that is queued so far."""
        if self._device.type == "cuda":
            event = self._event(enable_timing=True)
            event.record()
            return event
        synchronize(self._device)
        return self._now()

    def wait(self, mark: Mark) -> None:
        """Wait until the device has passed the mark."""
        if self._device.type == "cuda":
            mark.synchronize()

    def seconds(self, before: Mark, after: Mark) -> float:
        """Return the seconds between two marks; waits until the device has passed the second."""
        if self._device.type == "cuda":
            after.synchronize()
            return float(before.elapsed_time(after)) / 1000
        return float(after - before)


@dataclass(frozen=True)
class Lap:
    """The steps between two logged lines, and the stretches of time that they took. wait_seconds: for batches."""

    clock: DeviceClock
    steps: int
    wait_seconds: float
    stretches: tuple[tuple[Mark, Mark], ...]

    def seconds(self) -> float:
        """Return the seconds that the device, or the host feeding it, took for these steps."""
        return sum(self.clock.seconds(before, after) for before, after in self.stretches)


class LapTimer:
    """Times the steps between logged lines. Evaluations, samples, checkpoints and pauses do not count."""

    def __init__(self, clock: DeviceClock) -> None:
        self._clock = clock
        self._steps, self._wait_seconds = 0, 0.0
        self._stretches: list[tuple[Mark, Mark]] = []
        self._since: Mark | None = None

    def resume(self) -> None:
        """Count the time from now on, unless it is counted already. Call before each step."""
        if self._since is None:
            self._since = self._clock.mark()

    def pause(self) -> None:
        """Count no time until `resume`."""
        if self._since is not None:
            self._stretches.append((self._since, self._clock.mark()))
            self._since = None

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Count the host's time in the block as waiting for a batch."""
        started = time.perf_counter()
        yield
        self._wait_seconds += time.perf_counter() - started

    def add_step(self) -> None:
        """Count a step."""
        self._steps += 1

    def lap(self) -> Lap:
        """Return the lap that ends here, after at least one step, and begin the next one."""
        self.pause()
        lap = Lap(self._clock, self._steps, self._wait_seconds, tuple(self._stretches))
        self._since = lap.stretches[-1][1]
        self._steps, self._wait_seconds, self._stretches = 0, 0.0, []
        return lap


class Stopwatch:
    """Measures the time of a run in laps, by the host's clock. Time between a lap and a `restart` does not count."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Start the next lap now."""
        self._since = time.perf_counter()

    def lap(self) -> float:
        """Return the seconds since the last lap or restart."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        return seconds
