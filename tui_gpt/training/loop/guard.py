"""Detects anomalies of loss and gradient on the device, without a host sync.

A step whose loss or gradient is not finite is never applied. A finite loss 6 σ above the running mean is a spike. A run
diverges when most losses of its last steps are above the first one, and above that of a uniform guess. A healthy run
may rise above its first loss in the warmup, or spike, but returns: so steps are counted, however high their loss.
The policy `training.on_anomaly` decides whether the step of a spike or a divergence is applied. Findings are read
together with the logged numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

SPIKE_SIGMAS = 6.0
EMA_DECAY = 0.98  # of the running mean and variance: about the last 50 steps
MIN_STEPS = 50  # before the running mean and variance are meaningful
MAX_CONSECUTIVE_ANOMALIES = 25
DIVERGENCE_MARGIN = 1.02  # the loss of untrained weights differs by less between batches
DIVERGED_STEPS = 100  # with every loss above the first one, or more with most; a quarter of a shorter run
MIN_DIVERGED_STEPS = 20
MOST = 0.499  # share of losses above the first one that is a divergence; a half, up to rounding
SHARE_AT_REST = 0.02  # share of losses above the first one before a divergence begins
OVERFLOW_STEPS = 20  # in a row: from 65,536 the scale of fp16 has then fallen to 1/16
REPORT_LENGTH = 10  # numbers of `Guard.take_report`


def diverged_steps(total_steps: int | None) -> int:
    """Return after how many steps above the first loss a run of `total_steps` counts as diverged."""
    if total_steps is None:
        return DIVERGED_STEPS
    return max(MIN_DIVERGED_STEPS, min(DIVERGED_STEPS, total_steps // 4))


class Anomaly(NamedTuple):
    """The anomalies since the last report.

    step: the first anomalous step, or the one at which a divergence was found. num_steps: anomalous steps. consecutive:
    how many of them in a row, up to now. skipped: the step was not applied. loss, mean, sigma: of the step. first_loss:
    of the run. steps_above: for a divergence, the steps since it began. overflows: in a row, of fp16.
    """

    step: int
    num_steps: int
    consecutive: int
    skipped: bool
    loss: float
    mean: float
    sigma: float
    first_loss: float = 0.0
    steps_above: int = 0
    overflows: int = 0

    @classmethod
    def from_report(cls, report: Sequence[float], since: int) -> Anomaly | None:
        """Return the anomalies after step `since`, from `Guard.take_report`, or None if there are none."""
        first, count, consecutive, skipped, loss, mean, sigma, first_loss, above, overflows = report
        if not count:
            return None
        counts = (since + int(first), int(count), int(consecutive), bool(skipped))
        return cls(*counts, loss, mean, sigma, first_loss, int(above), int(overflows))

    @property
    def last_good_step(self) -> int:
        """The last step before the anomaly."""
        return self.step - max(1, self.steps_above)

    def __str__(self) -> str:
        if not math.isfinite(self.loss):
            what = f"the loss is {'nan' if math.isnan(self.loss) else 'infinite'}"
        elif self.steps_above:
            what = (
                f"the run diverges: the loss, {self.loss:.3f} now, was above the first one, {self.first_loss:.3f},"
                f" in most of the last {self.steps_above:,} steps"
            )
        elif self.sigma and self.loss > self.mean + SPIKE_SIGMAS * self.sigma:
            far = (self.loss - self.mean) / self.sigma
            what = f"the loss {self.loss:.3f} is {far:.1f} σ above the running mean {self.mean:.3f}"
        elif self.overflows:
            what = f"the gradient has overflowed in fp16 for {self.overflows} steps in a row"
        else:
            what = "the gradient is not finite"
        more = f", and {self.num_steps - 1:,} more since" if self.num_steps > 1 else ""
        return f"step {self.step:,}: {what}{more}"


class HostMath:
    """The functions of torch that the guard uses, for single numbers of numpy."""

    isfinite, sqrt, log2, maximum = np.isfinite, np.sqrt, np.log2, max

    @staticmethod
    def where(condition: Any, one: Any, other: Any) -> Any:
        return one if condition else other


class Guard:
    """Running mean and variance of the loss, and counters of anomalies, all on the device.

    The same formulas are computed by torch on a GPU, where nothing must wait for a number, and with numbers on a CPU,
    where an operation of torch on a scalar takes many times as long.

    skip_spikes: steps of spikes and divergence are not applied. expect_overflow: with a loss scaler, gradients that
    overflow are no anomaly unless it happens many times in a row. highest_healthy_loss: losses up to it are no
    divergence. diverged_after: steps above the first loss after which the run diverges.
    """

    _mean: Any  # these and all other numbers: a tensor of torch, or a number of numpy
    _variance: Any
    _steps: Any
    _consecutive: Any
    _overflows: Any
    _first_loss: Any
    _share_above: Any  # running share of the steps whose loss is above the first one
    _steps_above: Any  # since this share was low
    _steps_diverged: Any  # since this share rose above a half, until it falls below a quarter

    def __init__(
        self,
        device: torch.device,
        *,
        skip_spikes: bool,
        expect_overflow: bool,
        highest_healthy_loss: float = 0.0,
        diverged_after: int = DIVERGED_STEPS,
    ) -> None:
        self._skip_spikes, self._expect_overflow = skip_spikes, expect_overflow
        self._diverged_after = diverged_after
        self._device = device
        self._math: Any = HostMath if device.type == "cpu" else torch
        self._highest_healthy_loss = self._number(highest_healthy_loss)
        self.restore(())
        self._reset_report(0)

    def _number(self, value: float) -> Any:
        return (
            np.float32(value)
            if self._math is HostMath
            else torch.tensor(value, dtype=torch.float32, device=self._device)
        )

    def _reset_report(self, step: int) -> None:
        self._reported_at = step
        self._count = self._found_divergence = self._number(0.0)
        self._found = (self._number(0.0),) * (REPORT_LENGTH - 2)  # first step, skipped, then as in `Anomaly`

    @torch.no_grad()
    def check(self, step: int, loss: Tensor, grad_norm: Tensor) -> Tensor:
        """Return 1 if the step must be skipped, else 0, as an fp32 scalar on the device, and update the statistics.

        If it runs out of memory, nothing has changed.
        """
        if self._math is HostMath:
            with np.errstate(all="ignore"):
                skip = self._check(step, np.float32(loss.item()), np.float32(grad_norm.item()))
            return torch.tensor(float(skip))
        result: Tensor = self._check(step, loss.float(), grad_norm.float())
        return result

    def _check(self, step: int, loss: Any, grad_norm: Any) -> Any:
        where, isfinite, sqrt, log2 = self._math.where, self._math.isfinite, self._math.sqrt, self._math.log2
        zero = self._number(0.0)
        finite, grad_finite = isfinite(loss), isfinite(grad_norm)
        sigma = sqrt(self._variance)
        spike = finite & (self._steps >= MIN_STEPS) & (loss > self._mean + SPIKE_SIGMAS * sigma) & (sigma > 0)
        overflows = (self._overflows + 1) * (finite & ~grad_finite) if self._expect_overflow else self._overflows
        bad_gradient = overflows >= OVERFLOW_STEPS if self._expect_overflow else ~grad_finite
        outlier = ~finite | spike | bad_gradient

        first_loss = where(finite & (self._first_loss == 0), loss, self._first_loss)
        is_above = loss > DIVERGENCE_MARGIN * self._math.maximum(first_loss, self._highest_healthy_loss)
        decayed = 0.5 ** (1 / self._diverged_after)
        share = where(finite, decayed * self._share_above + (1 - decayed) * is_above, self._share_above)
        steps_above = (self._steps_above + 1) * (share > SHARE_AT_REST)
        steps_diverged = (self._steps_diverged + 1) * ((share > MOST) | ((self._steps_diverged > 0) & (share > 0.25)))
        ratio = (steps_diverged - 1) / self._diverged_after  # reported at once, and after 1, 2, 4, 8 … times the limit
        diverged = finite & ((steps_diverged == 1) | ((ratio >= 1) & (log2(ratio) % 1 == 0)))

        anomaly = outlier | diverged
        skip = (~finite | ~grad_finite | ((spike | diverged) & self._skip_spikes)) * self._number(1.0)
        found_now = (anomaly & (self._count == 0)) | (diverged & (self._found_divergence == 0))
        since = self._number(step - self._reported_at)
        numbers = (since, skip, loss, self._mean, sigma, first_loss, steps_above * diverged, overflows)
        found = tuple(where(found_now, new, old) for new, old in zip(numbers, self._found, strict=True))

        difference = where(outlier | (self._steps == 0), zero, loss - self._mean)
        mean = where(~outlier & (self._steps == 0), loss, self._mean + (1 - EMA_DECAY) * difference)
        variance = EMA_DECAY * (self._variance + (1 - EMA_DECAY) * difference * difference)
        variance = where(outlier, self._variance, variance)
        steps, count, consecutive = self._steps + ~outlier, self._count + anomaly, (self._consecutive + 1) * anomaly
        found_divergence = self._found_divergence + diverged

        self._mean, self._variance, self._steps = mean, variance, steps
        self._first_loss, self._share_above, self._overflows = first_loss, share, overflows
        self._steps_above, self._steps_diverged = steps_above, steps_diverged
        self._count, self._consecutive, self._found = count, consecutive, found
        self._found_divergence = found_divergence
        return skip

    def take_report(self, step: int) -> Tensor:
        """Return what was found since the last report, fp32 (REPORT_LENGTH,), as in `Anomaly`, and reset it."""
        first_step, skipped, *numbers = self._found
        report = self._stack((first_step, self._count, self._consecutive, skipped, *numbers))
        self._reset_report(step)
        return report

    def _stack(self, numbers: Sequence[Any]) -> Tensor:
        return torch.tensor(np.array(numbers, np.float32)) if self._math is HostMath else torch.stack(list(numbers))

    def state(self) -> tuple[float, ...]:
        """Return the running statistics, for an exact resume."""
        numbers = (self._mean, self._variance, self._steps, self._consecutive, self._overflows)
        above = (self._first_loss, self._share_above, self._steps_above, self._steps_diverged)
        return tuple(self._stack((*numbers, *above)).tolist())

    def restore(self, state: tuple[float, ...]) -> None:
        """Load what `state` returned, or a part of it; what is missing is reset."""
        values = [self._number(value) for value in (*state, *[0.0] * (9 - len(state)))]
        self._mean, self._variance, self._steps, self._consecutive, self._overflows = values[:5]
        self._first_loss, self._share_above, self._steps_above, self._steps_diverged = values[5:]
