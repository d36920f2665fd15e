"""Muon (Jordan et al. 2024): momentum, then each matrix's update replaced by the nearest orthogonal one.

The rows (of an oblong matrix, the vectors along its longer side) of that update are then scaled to equal long-term
size, as in NorMuon (Li et al. 2025). torch has a Muon of its own; this one computes all matrices of equal shape at
once, in fp32 on a CPU, treats the matrices stacked in one parameter (queries, keys, values) as the separate maps they
are, and iterates on the small Gram matrix where a matrix is oblong. `tests/bench/muon.py` measures the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

# Odd polynomials a·x + b·x³ + c·x⁵, each the best after the one before (Polar Express, Amsel et al. 2025): the five
# of the paper, and three that bring every singular value from 0.01 up within 0.27 of 1.
FIVE = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)
THREE = ((8.0934, -23.6204, 17.4462), (3.6366, -2.7219, 0.5365), (2.6613, -1.9772, 0.4526))
THREE_UP_TO = 256  # at 128 wide, three learn as well as five
SAFETY = 1.01
SCALE_MEMORY = 0.95
TINY = 1e-12


class Piece(NamedTuple):
    """A matrix to move, the update to orthogonalize, and the running mean square of what came of it, by vector."""

    matrix: Tensor
    update: Tensor
    scale: Tensor


class Muon(torch.optim.Optimizer):
    """Muon over 2-D parameters. rows: by a parameter's id, the heights of the matrices stacked in it, where several."""

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
        """Follow the gradients; where `found_inf` was set to 1, leave everything as it is."""
        hold: Tensor | None = getattr(self, "found_inf", None)
        if hold is not None and hold.device.type == "cpu":  # where it costs nothing to look
            if hold:
                return
            hold = None
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[Piece]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                update = self._momentum(parameter, group["momentum"], hold)
                if group["weight_decay"]:
                    decay = group["lr"] * group["weight_decay"]
                    parameter.mul_(1 - decay if hold is None else 1 - decay * (1 - hold))
                heights = self._rows.get(id(parameter), (parameter.shape[0],))
                matrices = zip(parameter.split(heights), update.split(heights), strict=True)
                for index, (matrix, part) in enumerate(matrices):
                    scale = self._scale(parameter, index, matrix)
                    by_shape.setdefault((min(part.shape), max(part.shape)), []).append(Piece(matrix, part, scale))
            for pieces in by_shape.values():
                _apply(pieces, group["lr"], hold)

    def _momentum(self, parameter: nn.Parameter, momentum: float, hold: Tensor | None) -> Tensor:
        """The gradient with Nesterov momentum."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        buffer = state["momentum"]
        grad = parameter.grad if hold is None else torch.where(hold.bool(), buffer, parameter.grad)
        buffer.lerp_(grad, 1 - momentum)
        return grad.lerp(buffer, momentum)

    def _scale(self, parameter: nn.Parameter, index: int, matrix: Tensor) -> Tensor:
        """The mean squares of a matrix's vectors: (n, 1) of a square one's rows, else (1, m) along the longer side."""
        state, (rows, columns) = self.state[parameter], matrix.shape
        if f"scale{index}" not in state:
            shape = (rows, 1) if rows == columns else (1, max(rows, columns))
            state[f"scale{index}"] = torch.zeros(shape, dtype=torch.float32, device=matrix.device)
        return state[f"scale{index}"]


def _apply(pieces: list[Piece], rate: float, hold: Tensor | None) -> None:
    """Orthogonalise the updates, all of one shape up to transposition, even out their vectors, and step along them."""
    stack = torch.stack([p.update if p.update.shape[0] <= p.update.shape[1] else p.update.mT for p in pieces])
    steps = orthogonalize(stack).float()
    sizes = steps.square().mean(-1 if steps.shape[-1] == steps.shape[-2] else -2, keepdim=True)
    scales = torch.stack([piece.scale for piece in pieces])
    scales.lerp_(sizes if hold is None else torch.where(hold.bool(), scales, sizes), 1 - SCALE_MEMORY)
    evened = scales.add(TINY).rsqrt_()
    before, after = sizes.sum((-2, -1), keepdim=True), (sizes * evened.square()).sum((-2, -1), keepdim=True)
    factors = evened * ((before + TINY) / (after + TINY)).sqrt_()  # the whole update keeps its length
    if hold is not None:
        factors = factors * (1 - hold)
    for piece, step, scale, factor in zip(pieces, steps, scales, factors, strict=True):
        rows, columns = piece.matrix.shape
        tall = rows > columns
        step, factor = (step.mT, factor.mT) if tall else (step, factor)
        piece.matrix.addcmul_(step, factor, value=-rate * math.sqrt(rows / columns))
        piece.scale.copy_(scale)


def orthogonalize(x: Tensor) -> Tensor:
    """The polar factor of each matrix of x (count, n, m), n ≤ m: its singular values brought near 1.

    On a GPU the products are taken in bf16, which is enough for a direction. In fp32 oblong matrices are not multiplied
    whole between the first product and the last: the polynomials are applied to x·xᵀ (n, n).
    """
    x = x.bfloat16() if x.is_cuda else x
    gram = x @ x.mT
    # √‖x·xᵀ‖ bounds the largest singular value more closely than ‖x‖ does, for one product that is needed anyway.
    scale = gram.square().sum((-2, -1), keepdim=True).sqrt_().sqrt_().mul_(SAFETY).clamp_min_(1e-7)
    x, gram = x / scale, gram / scale.square()
    polynomials = THREE if x.shape[-2] <= THREE_UP_TO else FIVE
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
    """a + b·gram + c·gram²."""
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=-2, dim2=-1).add_(a)
    return factor
