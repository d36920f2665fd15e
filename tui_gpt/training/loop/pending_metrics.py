"""The logged numbers of a step on their way from the device, so that no step waits for its own loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tui_gpt.run.messages import Metrics, finite
from tui_gpt.training.loop.guard import REPORT_LENGTH, Anomaly
from tui_gpt.training.loop.step import StepResult
from tui_gpt.training.measuring.device_clock import Lap


class LoggedStep(NamedTuple):
    """The line of metrics of a step, and the anomaly that the guard found since the line before, or None."""

    metrics: Metrics
    anomaly: Anomaly | None


class PendingMetrics:
    """The numbers of one logged step, copied to the host without waiting.

    guard_report: of `Guard.take_report`. lap: the steps since the line before. The arguments after it are the fields of
    the line that the host knows already, as in `Metrics`. flops_per_token and peak_flops: for MFU; None if unknown.
    """

    def __init__(
        self,
        result: StepResult,
        guard_report: Tensor,
        lap: Lap,
        *,
        step: int,
        tokens: int,
        tokens_per_step: int,
        learning_rate: float,
        elapsed_seconds: float,
        flops_per_token: float,
        peak_flops: float | None,
    ) -> None:
        self._lap, self._step, self._tokens, self._tokens_per_step = lap, step, tokens, tokens_per_step
        self._learning_rate, self._elapsed_seconds = learning_rate, elapsed_seconds
        self._flops_per_token, self._peak_flops = flops_per_token, peak_flops
        self._names: Sequence[str] = result.norms.names if result.norms else ()
        by_block = [result.norms.gradient, result.norms.update] if result.norms else []
        loss_and_norm = torch.stack((result.loss.float(), result.grad_norm.float()))
        numbers = torch.cat((loss_and_norm, guard_report, *by_block))
        # Only CUDA has an event that tells when the copy is done.
        self._numbers = numbers.to("cpu", non_blocking=numbers.is_cuda)
        self._copied = torch.cuda.Event() if numbers.is_cuda else None
        if self._copied is not None:
            self._copied.record()

    def read(self, memory_bytes: int) -> LoggedStep:
        """Wait for the numbers and return them. memory_bytes: the memory in use."""
        if self._copied is not None:
            self._copied.synchronize()
        raw_loss, raw_norm, *rest = self._numbers.tolist()
        report, norms = rest[:REPORT_LENGTH], rest[REPORT_LENGTH:]
        loss, non_finite = finite(raw_loss)
        norm, norm_non_finite = finite(raw_norm)
        speed = self._lap.steps * self._tokens_per_step / self._lap.seconds()
        flops, peak = self._flops_per_token, self._peak_flops
        gradient, update = norms[: len(self._names)], norms[len(self._names) :]
        metrics = Metrics(
            step=self._step,
            tokens=self._tokens,
            loss=loss,
            learning_rate=self._learning_rate,
            grad_norm=norm,
            tokens_per_second=speed,
            elapsed_seconds=self._elapsed_seconds,
            data_wait_seconds=self._lap.wait_seconds,
            memory_bytes=memory_bytes,
            mfu=speed * flops / peak if peak else None,
            flops=self._tokens * flops,
            grad_norms={name: finite(value)[0] for name, value in zip(self._names, gradient, strict=True)},
            update_norms={name: finite(value)[0] for name, value in zip(self._names, update, strict=True)},
            non_finite=non_finite or norm_non_finite,
        )
        return LoggedStep(metrics, Anomaly.from_report(report, since=self._step - self._lap.steps))
