"""Muon (Jordan et al. 2024): momentum, then each matrix's update replaced by the nearest orthogonal one.

torch has a Muon of its own; this one computes all matrices of equal shape at once, in fp32 on a CPU, treats the
matrices stacked in one parameter (queries, keys, values) as the separate maps they are, and iterates on the small Gram
matrix where a matrix is oblong. `tests/bench/muon.py` measures the two side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

# Odd polynomials a·x + b·x³ + c·x⁵, each the best that follows the one before (Polar Express, Amsel et al. 2025).
POLYNOMIALS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)
SAFETY = 1.01


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
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                update = self._momentum(parameter, group["momentum"], hold)
                if group["weight_decay"]:
                    decay = group["lr"] * group["weight_decay"]
                    parameter.mul_(1 - decay if hold is None else 1 - decay * (1 - hold))
                heights = self._rows.get(id(parameter), (parameter.shape[0],))
                for matrix, piece in zip(parameter.split(heights), update.split(heights), strict=True):
                    by_shape.setdefault((min(piece.shape), max(piece.shape)), []).append((matrix, piece))
            for pairs in by_shape.values():
                _apply(pairs, group["lr"], hold)

    def _momentum(self, parameter: nn.Parameter, momentum: float, hold: Tensor | None) -> Tensor:
        """The gradient with Nesterov momentum."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        buffer = state["momentum"]
        grad = parameter.grad if hold is None else torch.where(hold.bool(), buffer, parameter.grad)
        buffer.lerp_(grad, 1 - momentum)
        return grad.lerp(buffer, momentum)


def _apply(pairs: list[tuple[Tensor, Tensor]], rate: float, hold: Tensor | None) -> None:
    """Orthogonalise the updates, all of one shape up to transposition, and step along them."""
    stack = torch.stack([update if update.shape[0] <= update.shape[1] else update.mT for _, update in pairs])
    steps = orthogonalise(stack)
    if hold is not None:
        steps = steps * (1 - hold)
    for (matrix, _), step in zip(pairs, steps, strict=True):
        rows, columns = matrix.shape
        step = step if rows <= columns else step.mT
        matrix.sub_(step.to(matrix.dtype), alpha=rate * math.sqrt(max(1.0, rows / columns)))


def orthogonalise(x: Tensor) -> Tensor:
    """The polar factor of each matrix of x (count, n, m), n ≤ m: its singular values brought near 1.

    On a GPU the products are taken in bf16, which is enough for a direction. In fp32 oblong matrices are not multiplied
    whole between the first product and the last: the polynomials are applied to x·xᵀ (n, n).
    """
    x = x.bfloat16() if x.is_cuda else x
    gram = x @ x.mT
    # √‖x·xᵀ‖ bounds the largest singular value more closely than ‖x‖ does, for one product that is needed anyway.
    scale = gram.square().sum((-2, -1), keepdim=True).sqrt_().sqrt_().mul_(SAFETY).clamp_min_(1e-7)
    x, gram = x / scale, gram / scale.square()
    if x.dtype == torch.bfloat16 or x.shape[-1] < 2 * x.shape[-2]:
        for index, (a, b, c) in enumerate(POLYNOMIALS):
            gram = gram if index == 0 else x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        return x
    (a, b, c), *others = POLYNOMIALS
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
