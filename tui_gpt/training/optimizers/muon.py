"""Muon (Jordan et al. 2024): momentum, with the update of each matrix replaced by the nearest orthogonal matrix.

The rows of that update (for a rectangular matrix the vectors along its longer side) are then scaled to equal long-term
size, as in NorMuon (Li et al. 2025). Unlike torch.optim.Muon, this one computes all matrices of equal shape at once, in
a chosen precision, treats matrices stacked in one parameter (queries, keys, values) separately, and in fp32 iterates on
the smaller Gram matrix of rectangular matrices. `tests/bench/muon.py` compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

# Odd polynomials a·x + b·x³ + c·x⁵, each the best for the interval of singular values that those before it leave (Polar
# Express, Amsel et al. 2025); the five begin at 0.001 to 1, the four at 0.0025 to 1. As the paper advises for bf16, all
# but the last are evaluated at x/1.01, and the lower end of an interval counts as 0.02 of the upper one at least:
# beyond the interval a polynomial grows without bound, and rounding would carry singular values there.
# `tests/bench/polar_express.py` computes them.
POLAR_EXPRESS_5 = (
    (8.237312490495555, -23.157747414558198, 16.680568411445915),
    (4.082441999064836, -2.8930477353325887, 0.5252849256975651),
    (3.9263479922546556, -2.8547468034765293, 0.5318022422894989),
    (3.2982187133085143, -2.424541981026706, 0.48632008358844075),
    (2.320007312889811, -1.6862169729967622, 0.42068027340235137),
)
POLAR_EXPRESS_4 = (
    (8.186233750376097, -23.014148569266716, 16.577133896861675),
    (4.005683413729047, -2.873830317407113, 0.5282620153675386),
    (3.5938191446450016, -2.637082264856909, 0.5099710969904734),
    (2.6604383213270486, -1.9764482089747335, 0.4525380065716051),
)
# Narrow matrices need no more. Of three, four and five, `pico` learns most with four: in 500 steps, mean of 3 seeds,
# 1.752, 1.745 and 1.749, in 1, 1.03 and 1.06 of the time.
FOUR_UP_TO_WIDTH = 256
SAFETY_FACTOR = 1.01  # the norm is a bound of the singular values only up to rounding
SCALE_EMA_DECAY = 0.95
EPS = 1e-12


class MatrixUpdate(NamedTuple):
    """A matrix, its update before orthogonalization, and the running mean square of past updates by vector."""

    matrix: Tensor
    update: Tensor
    scale: Tensor


class Muon(torch.optim.Optimizer):
    """Muon for 2-D parameters.

    rows: by id of a parameter, the heights of the matrices stacked in it, if several. dtype: of the products that
    orthogonalize.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        momentum: float,
        weight_decay: float,
        rows: Mapping[int, tuple[int, ...]],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(parameters, {"lr": 0.0, "momentum": momentum, "weight_decay": weight_decay})
        self._rows = rows
        self._dtype = dtype

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
                _apply(updates, group["lr"], skip_step, self._dtype)

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


def _apply(updates: list[MatrixUpdate], rate: float, skip_step: Tensor | None, dtype: torch.dtype) -> None:
    """Orthogonalize the updates, normalize their vectors, and apply them. All have one shape, up to transposition."""
    stack = torch.stack([p.update if p.update.shape[0] <= p.update.shape[1] else p.update.mT for p in updates])
    steps = orthogonalize(stack, dtype).float()
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


def orthogonalize(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the approximate polar factor of each matrix of x (count, n, m), n ≤ m, with the products in `dtype`.

    Singular values above 0.001 of the norm come out between 0.86 and 1.14, in narrow matrices those above 0.0025
    between 0.72 and 1.28. bf16 is precise enough for a direction. In fp32 the polynomials of rectangular matrices are
    applied to x·xᵀ (n, n), which needs only two products with x.
    """
    x = x.to(dtype)
    gram = x @ x.mT
    # √‖x·xᵀ‖ is a closer bound of the largest singular value than ‖x‖, and needs no additional product.
    norm = torch.linalg.vector_norm(gram, dim=(-2, -1), keepdim=True, dtype=torch.float32).sqrt_()
    norm.mul_(SAFETY_FACTOR).clamp_min_(1e-7)
    x, gram = (x / norm).to(dtype), (gram / norm.square()).to(dtype)
    polynomials = POLAR_EXPRESS_4 if x.shape[-2] <= FOUR_UP_TO_WIDTH else POLAR_EXPRESS_5
    if dtype != torch.float32 or x.shape[-1] < 2 * x.shape[-2]:
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
