"""GaLore (Zhao et al. 2024): AdamW with its moments in a low-rank projection of the gradient of each matrix.

The authors' package requires bitsandbytes and transformers, so the projection is implemented here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tui_gpt.config import OptimizerConfig


class GaLore(torch.optim.Optimizer):
    """AdamW in the span of the leading singular vectors of the gradient, recomputed every `galore_every` steps."""

    def __init__(self, parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> None:
        super().__init__(parameters, {"lr": 0.0})
        self._config = config

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the parameters. If `found_inf` is set to 1, change nothing."""
        skip_step: Tensor | None = getattr(self, "found_inf", None)
        if skip_step is not None and bool(skip_step):  # a sync; the SVD needs one anyway
            return
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group["lr"])

    def _update(self, parameter: nn.Parameter, grad: Tensor, rate: float) -> None:
        config, state = self._config, self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
        if int(state["step"]) % config.galore_every == 0:
            state["projection"] = projection(grad, config.galore_rank)
        basis = state["projection"]
        tall = grad.shape[0] >= grad.shape[1]
        low = grad @ basis if tall else basis.mT @ grad
        if "exp_avg" not in state:
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(low), torch.zeros_like(low)
        state["step"] += 1
        step = int(state["step"])
        state["exp_avg"].lerp_(low, 1 - config.beta1)
        state["exp_avg_sq"].mul_(config.beta2).addcmul_(low, low, value=1 - config.beta2)
        correction = math.sqrt(1 - config.beta2**step) / (1 - config.beta1**step)
        low = state["exp_avg"] / state["exp_avg_sq"].sqrt().add_(config.eps) * correction
        full = low @ basis.mT if tall else basis @ low
        parameter.mul_(1 - rate * config.weight_decay).sub_(full, alpha=rate * config.galore_scale)


def projection(grad: Tensor, rank: int) -> Tensor:
    """Return up to `rank` leading singular vectors of the shorter side of grad (n, m): (min(n, m), rank)."""
    left, _, right = torch.linalg.svd(grad.float(), full_matrices=False)
    vectors = right.mT if grad.shape[0] >= grad.shape[1] else left
    return vectors[:, :rank].contiguous()
