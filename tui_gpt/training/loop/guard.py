"""Detects anomalies of loss and gradient on the device, without a host sync.

A step whose loss or gradient is not finite is never applied. A finite loss 6 σ above the running mean is a spike; the
policy `training.on_anomaly` decides whether its step is applied. Findings are read together with the logged numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SPIKE_SIGMAS = 6.0
EMA_DECAY = 0.98  # of the running mean and variance: about the last 50 steps
MIN_STEPS = 50  # before the running mean and variance are meaningful
MAX_CONSECUTIVE_ANOMALIES = 25
REPORT_LENGTH = 7  # numbers of `Guard.take_report`


class Anomaly(NamedTuple):
    """The anomalies since the last report.

    step: the first anomalous step. num_steps: anomalous steps. consecutive: how many of them in a row, up to now.
    skipped: the first one was not applied. loss, mean, sigma: of the first one.
    """

    step: int
    num_steps: int
    consecutive: int
    skipped: bool
    loss: float
    mean: float
    sigma: float

    @classmethod
    def from_report(cls, report: Sequence[float], since: int) -> Anomaly | None:
        """Return the anomalies after step `since`, from `Guard.take_report`, or None if there are none."""
        first, count, consecutive, skipped, loss, mean, sigma = report
        if not count:
            return None
        return cls(since + int(first), int(count), int(consecutive), bool(skipped), loss, mean, sigma)

    def __str__(self) -> str:
        if not math.isfinite(self.loss):
            what = f"the loss is {'nan' if math.isnan(self.loss) else 'infinite'}"
        elif self.sigma and self.loss > self.mean + SPIKE_SIGMAS * self.sigma:
            far = (self.loss - self.mean) / self.sigma
            what = f"the loss {self.loss:.3f} is {far:.1f} σ above the running mean {self.mean:.3f}"
        else:
            what = "the gradient is not finite"
        more = f", and {self.num_steps - 1:,} more since" if self.num_steps > 1 else ""
        return f"step {self.step:,}: {what}{more}"


class Guard:
    """Running mean and variance of the loss, and counters of anomalies; all on the device.

    skip_spikes: spikes are not applied. expect_overflow: with a loss scaler, gradients that overflow are no anomaly.
    """

    _mean: Tensor
    _variance: Tensor
    _steps: Tensor
    _consecutive: Tensor

    def __init__(self, device: torch.device, *, skip_spikes: bool, expect_overflow: bool) -> None:
        self._skip_spikes, self._expect_overflow = skip_spikes, expect_overflow
        self._device = device
        self.restore(())
        self._reset_counters(0)

    def _reset_counters(self, step: int) -> None:
        self._reported_at = step
        zero = torch.zeros((), device=self._device)
        self._count, self._first_step, self._skipped = (zero.clone() for _ in range(3))
        self._anomaly_loss, self._anomaly_mean, self._anomaly_sigma = (zero.clone() for _ in range(3))

    @torch.no_grad()
    def check(self, step: int, loss: Tensor, grad_norm: Tensor) -> Tensor:
        """Return 1 if the step must be skipped, else 0, as an fp32 scalar on the device, and update the statistics."""
        loss = loss.float()
        finite = loss.isfinite()
        grad_finite = grad_norm.isfinite()
        sigma = self._variance.sqrt()
        spike = finite & (self._steps >= MIN_STEPS) & (loss > self._mean + SPIKE_SIGMAS * sigma) & (sigma > 0)
        anomaly = ~finite | spike
        if not self._expect_overflow:
            anomaly |= ~grad_finite
        skip = (~finite | ~grad_finite | (spike & self._skip_spikes)).float()
        first = anomaly & (self._count == 0)
        self._first_step = torch.where(first, float(step - self._reported_at), self._first_step)
        self._skipped = torch.where(first, skip, self._skipped)
        self._anomaly_loss = torch.where(first, loss, self._anomaly_loss)
        self._anomaly_mean = torch.where(first, self._mean, self._anomaly_mean)
        self._anomaly_sigma = torch.where(first, sigma, self._anomaly_sigma)
        self._count += anomaly
        self._consecutive = (self._consecutive + 1) * anomaly
        difference = torch.where(anomaly, 0.0, torch.where(self._steps == 0, 0.0, loss - self._mean))
        self._mean = torch.where(~anomaly & (self._steps == 0), loss, self._mean + (1 - EMA_DECAY) * difference)
        self._variance = torch.where(
            anomaly, self._variance, EMA_DECAY * (self._variance + (1 - EMA_DECAY) * difference.square())
        )
        self._steps += ~anomaly
        return skip

    def take_report(self, step: int) -> Tensor:
        """Return the counters since the last report, fp32 (7,), ordered as in `Anomaly`, and reset them."""
        counts = (self._first_step, self._count, self._consecutive, self._skipped)
        numbers = (*counts, self._anomaly_loss, self._anomaly_mean, self._anomaly_sigma)
        self._reset_counters(step)
        return torch.stack(numbers)

    def state(self) -> tuple[float, ...]:
        """Return the running statistics, for an exact resume."""
        return tuple(torch.stack((self._mean, self._variance, self._steps, self._consecutive)).tolist())

    def restore(self, state: tuple[float, ...]) -> None:
        """Load what `state` returned; an empty tuple resets the statistics."""
        values = torch.tensor(state or (0.0, 0.0, 0.0, 0.0), device=self._device)
        self._mean, self._variance, self._steps, self._consecutive = values.clone().unbind()
