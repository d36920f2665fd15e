"""The optimisers: which follows which weights, and at what share of the learning rate.

Weights play four roles: the blocks' matrices, embeddings, the head, and vectors (biases and norms). AdamW follows all
of them; Muon and GaLore follow the matrices only, and AdamW the rest. Every group carries `lr_scale`, its share of the
rate that the schedule gives. Weight decay is decoupled, and for the blocks' matrices and an untied head only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from tui_gpt.config import OptimizerConfig
from tui_gpt.model import GPT
from tui_gpt.training.optimizers.galore import GaLore
from tui_gpt.training.optimizers.muon import Muon

BASE_WIDTH = 128  # n_embd at which `learning_rate` is what matrices get: pico's

Role = Literal["matrix", "embedding", "head", "vector"]


def make_optimizers(model: GPT, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """The optimisers of a run, between them over each parameter once.

    With `width_scaling` the AdamW rate of matrices and head falls as 1/width (Yang et al. 2022, µP), so that one rate
    serves every width; Muon's update has a spectral norm that needs no such help (Bernstein & Newhouse 2024).
    """
    by_role: dict[Role, list[nn.Parameter]] = {"matrix": [], "embedding": [], "head": [], "vector": []}
    for name, parameter in model.named_parameters():
        by_role[role_of(name, parameter)].append(parameter)
    narrowing = BASE_WIDTH / model.config.n_embd if config.width_scaling else 1.0
    scales: dict[Role, float] = {
        "matrix": narrowing,
        "embedding": config.embedding_lr_ratio,
        "head": config.head_lr_ratio * narrowing,
        "vector": 1.0,
    }
    matrices: list[torch.optim.Optimizer] = []
    if config.name == "muon":
        rows = {id(parameter): rows for parameter, rows in model.stacked_matrices()}
        matrices = [Muon(by_role.pop("matrix"), config.momentum, config.weight_decay, rows)]
        matrices[0].param_groups[0]["lr_scale"] = config.muon_learning_rate / config.learning_rate
    elif config.name == "galore":
        matrices = [GaLore(by_role.pop("matrix"), config)]
        matrices[0].param_groups[0]["lr_scale"] = narrowing
    groups: list[dict[str, Any]] = [
        {
            "params": parameters,
            "lr_scale": scales[role],
            "weight_decay": config.weight_decay if role in ("matrix", "head") else 0.0,
        }
        for role, parameters in by_role.items()
        if parameters
    ]
    betas = (config.beta1, config.beta2)
    return [*matrices, torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, eps=config.eps, fused=True)]


def role_of(name: str, parameter: nn.Parameter) -> Role:
    if name.startswith(("embedding", "positions")) or ".values." in name:
        return "embedding"
    if name.startswith("head"):
        return "head"
    return "matrix" if parameter.ndim >= 2 else "vector"


def set_learning_rate(optimizers: Sequence[torch.optim.Optimizer], rate: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]


def update(optimizers: Sequence[torch.optim.Optimizer], hold: torch.Tensor) -> None:
    """One step of each, but none where `hold` (0 or 1, fp32, on the device) is 1: nobody has to wait to know it."""
    for optimizer in optimizers:
        optimizer.found_inf = hold  # type: ignore[attr-defined]  # how torch's fused optimisers take it
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
