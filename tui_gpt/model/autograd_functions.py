"""Operations with hand-written gradients, which need half the passes over memory that autograd would make.

On a CPU half the time of a small model's step is memory traffic: with these, RMSNorm takes 0.11 ms instead of 0.21 and
squared ReLU 0.29 instead of 0.42 at the sizes of `pico` (2 cores). On a GPU torch's own operations are used: one has a
kernel, and the compiler fuses both.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-6


def rms_norm(x: Tensor) -> Tensor:
    """Return x (…, n) with each vector divided by its root mean square (Zhang & Sennrich 2019), without gain."""
    if x.device.type != "cpu":
        return F.rms_norm(x, (x.shape[-1],), eps=EPS)
    y: Tensor = _RMSNorm.apply(x)
    return y


def squared_relu(x: Tensor) -> Tensor:
    """Return max(x, 0)² (So et al. 2021)."""
    if x.device.type != "cpu":
        return F.relu(x).square()
    y: Tensor = _SquaredReLU.apply(x)
    return y


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
        scale = (norm.square().div_(x.shape[-1]).add_(EPS)).rsqrt_().to(x.dtype)
        y = x * scale
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> Tensor:
        (grad,) = outputs
        y, scale = ctx.saved_tensors
        return torch.addcmul(grad, y, (grad * y).mean(-1, keepdim=True), value=-1).mul_(scale)


class _SquaredReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = x.clamp_min(0)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> Tensor:
        (grad,) = outputs
        (positive,) = ctx.saved_tensors
        return (grad * positive).mul_(2)
