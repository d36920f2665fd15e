"""Watches each step's loss and gradient where they are, on the device: nobody waits to learn that all is well.

A step whose loss or gradient is not finite is never applied. A finite loss 6 σ above the running mean of the last steps
is a spike; whether its step is applied is the policy's choice. What was found is read together with the logged numbers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

SPIKE_SIGMAS = 6.0
MEMORY = 0.98  # of the running mean and variance: about the last 50 steps
MIN_STEPS = 50  # steps before a spike can be told from a beginning
MAX_CONSECUTIVE_ANOMALIES = 25


class Anomaly(NamedTuple):
    """What was found since the last reading: the first step of it, and how many.

    held: that first step was not applied. loss, mean and sigma are that step's.
    """

    step: int
    found: int
    in_a_row: int
    held: bool
    loss: float
    mean: float
    sigma: float

    def __str__(self) -> str:
        if not math.isfinite(self.loss):
            what = f"the loss is {'nan' if math.isnan(self.loss) else 'infinite'}"
        elif self.sigma and self.loss > self.mean + SPIKE_SIGMAS * self.sigma:
            far = (self.loss - self.mean) / self.sigma
            what = f"the loss of {self.loss:.3f} is {far:.1f} σ above the last steps' {self.mean:.3f}"
        else:
            what = "the gradient is not finite"
        more = f", and {self.found - 1:,} more since" if self.found > 1 else ""
        return f"at step {self.step:,} {what}{more}"


class Guard:
    """The running mean and variance of the loss, and what was found; all on the device."""

    _mean: Tensor
    _variance: Tensor
    _seen: Tensor
    _in_a_row: Tensor

    def __init__(self, device: torch.device, *, skip_spikes: bool, expect_overflow: bool) -> None:
        self._holds_spikes, self._overflow_is_usual = skip_spikes, expect_overflow
        self._device = device
        self.restore(())
        self._clear(0)

    def _clear(self, read_at: int) -> None:
        self._read_at = read_at
        zero = torch.zeros((), device=self._device)
        self._count, self._first, self._held = (zero.clone() for _ in range(3))
        self._loss, self._then_mean, self._then_sigma = (zero.clone() for _ in range(3))

    @torch.no_grad()
    def check(self, step: int, loss: Tensor, grad_norm: Tensor) -> Tensor:
        """1 where the step must not be applied, else 0: fp32, on the device. With a loss scaler (expect_overflow) a
        gradient that overflowed is held without being an anomaly: the scaler answers it.
        """
        loss = loss.float()
        finite = loss.isfinite()
        passable = grad_norm.isfinite()
        sigma = self._variance.sqrt()
        spike = finite & (self._seen >= MIN_STEPS) & (loss > self._mean + SPIKE_SIGMAS * sigma) & (sigma > 0)
        anomaly = ~finite | spike
        if not self._overflow_is_usual:
            anomaly |= ~passable
        hold = (~finite | ~passable | (spike & self._holds_spikes)).float()
        first = anomaly & (self._count == 0)
        self._first = torch.where(first, float(step - self._read_at), self._first)
        self._held = torch.where(first, hold, self._held)
        self._loss = torch.where(first, loss, self._loss)
        self._then_mean = torch.where(first, self._mean, self._then_mean)
        self._then_sigma = torch.where(first, sigma, self._then_sigma)
        self._count += anomaly
        self._in_a_row = (self._in_a_row + 1) * anomaly
        difference = torch.where(anomaly, 0.0, torch.where(self._seen == 0, 0.0, loss - self._mean))
        self._mean = torch.where(~anomaly & (self._seen == 0), loss, self._mean + (1 - MEMORY) * difference)
        self._variance = torch.where(
            anomaly, self._variance, MEMORY * (self._variance + (1 - MEMORY) * difference.square())
        )
        self._seen += ~anomaly
        return hold

    def take_report(self, step: int) -> Tensor:
        """What was found since the last reading, in the order of `Anomaly`: fp32 (7,), on the device."""
        counts = (self._first, self._count, self._in_a_row, self._held)
        numbers = (*counts, self._loss, self._then_mean, self._then_sigma)
        self._clear(step)
        return torch.stack(numbers)

    def state(self) -> tuple[float, ...]:
        """The history, exactly: what a resumed run goes on with."""
        return tuple(torch.stack((self._mean, self._variance, self._seen, self._in_a_row)).tolist())

    def restore(self, state: tuple[float, ...]) -> None:
        values = torch.tensor(state or (0.0, 0.0, 0.0, 0.0), device=self._device)
        self._mean, self._variance, self._seen, self._in_a_row = values.clone().unbind()
