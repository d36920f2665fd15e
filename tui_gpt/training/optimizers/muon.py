"""Muon (Jordan et al. 2024): momentum, with the update of each matrix replaced by the nearest orthogonal matrix.

The rows of that update (for a rectangular matrix the vectors along its longer side) are then scaled to equal long-term
size, as in NorMuon (Li et al. 2025). Unlike torch.optim.Muon, this one computes all matrices of equal shape at once, in
fp32 on a CPU, treats matrices stacked in one parameter (queries, keys, values) separately, and iterates on the smaller
Gram matrix of rectangular matrices. `tests/bench/muon.py` compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

# Odd polynomials a·x + b·x³ + c·x⁵, each optimal after the one before (Polar Express, Amsel et al. 2025): the five of
# the paper, and three that bring every singular value above 0.01 to within 0.27 of 1.
FIVE_POLYNOMIALS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)
THREE_POLYNOMIALS = ((8.0934, -23.6204, 17.4462), (3.6366, -2.7219, 0.5365), (2.6613, -1.9772, 0.4526))
THREE_UP_TO_WIDTH = 256  # at width 128 three work as well as five
SAFETY_FACTOR = 1.01  # without it bf16 rounding lets singular values diverge
SCALE_EMA_DECAY = 0.95
EPS = 1e-12


class MatrixUpdate(NamedTuple):
    """A matrix, its update before orthogonalization, and the running mean square of past updates by vector."""

    matrix: Tensor
    update: Tensor
    scale: Tensor


class Muon(torch.optim.Optimizer):
    """Muon for 2-D parameters. rows: by id of a parameter, the heights of the matrices stacked in it, if several."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        momentum: float,
        weight_decay: float,
        rows: Mapping[int, tuple[int, ...]],
    ) -> None:
        super().__init__(parameters, {"lr": 0.0, "momentum": momentum, "weight_decay": weight_decay})
        self._rows = rows

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the parameters. If `found_inf` is set to 1, change nothing."""
        skip_step: Tensor | None = getattr(self, "found_inf", None)
        if skip_step is not None and skip_step.device.type == "cpu":  # reading it costs no sync
            if skip_step:
                return
            skip_step = None
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[MatrixUpdate]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                update = self._momentum(parameter, group["momentum"], skip_step)
                if group["weight_decay"]:
                    decay = group["lr"] * group["weight_decay"]
                    parameter.mul_(1 - decay if skip_step is None else 1 - decay * (1 - skip_step))
                heights = self._rows.get(id(parameter), (parameter.shape[0],))
                matrices = zip(parameter.split(heights), update.split(heights), strict=True)
                for index, (matrix, part) in enumerate(matrices):
                    scale = self._scale(parameter, index, matrix)
                    by_shape.setdefault((min(part.shape), max(part.shape)), []).append(
                        MatrixUpdate(matrix, part, scale)
                    )
            for updates in by_shape.values():
                _apply(updates, group["lr"], skip_step)

    def _momentum(self, parameter: nn.Parameter, momentum: float, skip_step: Tensor | None) -> Tensor:
        """Update the momentum buffer and return the gradient with Nesterov momentum."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        buffer = state["momentum"]
        grad = parameter.grad if skip_step is None else torch.where(skip_step.bool(), buffer, parameter.grad)
        buffer.lerp_(grad, 1 - momentum)
        return grad.lerp(buffer, momentum)

    def _scale(self, parameter: nn.Parameter, index: int, matrix: Tensor) -> Tensor:
        """Return the running mean squares: (n, 1) by row of a square matrix, else (1, m) along the longer side."""
        state, (rows, columns) = self.state[parameter], matrix.shape
        if f"scale{index}" not in state:
            shape = (rows, 1) if rows == columns else (1, max(rows, columns))
            state[f"scale{index}"] = torch.zeros(shape, dtype=torch.float32, device=matrix.device)
        return state[f"scale{index}"]


def _apply(updates: list[MatrixUpdate], rate: float, skip_step: Tensor | None) -> None:
    """Orthogonalize the updates, normalize their vectors, and apply them. All have one shape, up to transposition."""
    stack = torch.stack([p.update if p.update.shape[0] <= p.update.shape[1] else p.update.mT for p in updates])
    steps = orthogonalize(stack).float()
    sizes = steps.square().mean(-1 if steps.shape[-1] == steps.shape[-2] else -2, keepdim=True)
    scales = torch.stack([item.scale for item in updates])
    scales.lerp_(sizes if skip_step is None else torch.where(skip_step.bool(), scales, sizes), 1 - SCALE_EMA_DECAY)
    normalizers = scales.add(EPS).rsqrt_()
    before, after = sizes.sum((-2, -1), keepdim=True), (sizes * normalizers.square()).sum((-2, -1), keepdim=True)
    factors = normalizers * ((before + EPS) / (after + EPS)).sqrt_()  # keeps the norm of the whole update
    if skip_step is not None:
        factors = factors * (1 - skip_step)
    for item, step, scale, factor in zip(updates, steps, scales, factors, strict=True):
        rows, columns = item.matrix.shape
        tall = rows > columns
        step, factor = (step.mT, factor.mT) if tall else (step, factor)
        item.matrix.addcmul_(step, factor, value=-rate * math.sqrt(rows / columns))
        item.scale.copy_(scale)


def orthogonalize(x: Tensor) -> Tensor:
    """Return the approximate polar factor of each matrix of x (count, n, m), n ≤ m: singular values near 1.

    On a GPU products are in bf16, which is precise enough for a direction. In fp32 the polynomials of rectangular
    matrices are applied to x·xᵀ (n, n), which needs only two products with x itself.
    """
    x = x.bfloat16() if x.is_cuda else x
    gram = x @ x.mT
    # √‖x·xᵀ‖ is a closer bound of the largest singular value than ‖x‖, and needs no additional product.
    scale = gram.square().sum((-2, -1), keepdim=True).sqrt_().sqrt_().mul_(SAFETY_FACTOR).clamp_min_(1e-7)
    x, gram = x / scale, gram / scale.square()
    polynomials = THREE_POLYNOMIALS if x.shape[-2] <= THREE_UP_TO_WIDTH else FIVE_POLYNOMIALS
    if x.dtype == torch.bfloat16 or x.shape[-1] < 2 * x.shape[-2]:
        for index, (a, b, c) in enumerate(polynomials):
            gram = gram if index == 0 else x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        return x
    (a, b, c), *others = polynomials
    product = factor = _factor(gram, a, b, c)
    for a, b, c in others:
        gram = factor @ gram @ factor
        factor = _factor(gram, a, b, c)
        product = factor @ product
    return product @ x


def _factor(gram: Tensor, a: float, b: float, c: float) -> Tensor:
    """Return a + b·gram + c·gram²."""
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=-2, dim2=-1).add_(a)
    return factor
