"""The training step, and nothing in it that waits for the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

Micro = tuple[Tensor, Tensor]


def training_step(
    forward: Callable[[Tensor, Tensor], Tensor],
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    micro_batches: Sequence[Micro],
    *,
    autocast: Callable[[], AbstractContextManager],
    grad_clip: float,
    before_micro_step: Callable[[int], None],
) -> tuple[Tensor, Tensor]:
    """Accumulate the mean gradient over the micro-batches, clip its norm, update.

    Returns the step's mean loss in nats per token and the gradient's norm before clipping, both still on the device.
    """
    loss = gradients(forward, scaler, micro_batches, autocast, before_micro_step)
    scaler.unscale_(optimizer)
    grad_norm = nn.utils.clip_grad_norm_(parameters, grad_clip or float("inf"))
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return loss, grad_norm


def gradients(
    forward: Callable[[Tensor, Tensor], Tensor],
    scaler: torch.amp.GradScaler,
    micro_batches: Sequence[Micro],
    autocast: Callable[[], AbstractContextManager],
    before_micro_step: Callable[[int], None],
) -> Tensor:
    """Leave the (scaled) mean gradient in the parameters; return the mean loss."""
    total = torch.zeros((), device=micro_batches[0][0].device)
    for index, (inputs, targets) in enumerate(micro_batches):
        before_micro_step(index)
        with autocast():
            loss = forward(inputs, targets) / len(micro_batches)
        scaler.scale(loss).backward()
        total += loss.detach()
    return total
