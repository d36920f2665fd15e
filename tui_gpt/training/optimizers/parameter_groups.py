"""Parameter groups: which optimizer updates which parameters, and with which learning rate.

The model's table of roles puts each parameter into one of four groups: matrices of the blocks, embeddings, the head,
and vectors (biases and norms). AdamW updates all of them by default; Muon and GaLore update the matrices, and AdamW the
rest. `lr_scale` of a group multiplies the learning rate of the schedule. Weight decay is decoupled, and applies to
matrices and an untied head only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tui_gpt.config import OptimizerConfig
from tui_gpt.model import GPT, role_of
from tui_gpt.model.parameter_roles import Group
from tui_gpt.training.optimizers.galore import GaLore
from tui_gpt.training.optimizers.muon import Muon

BASE_WIDTH = 128  # n_embd of pico, at which width scaling is 1


def make_optimizers(model: GPT, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """Return the optimizers of a run, which together update each parameter once.

    With `width_scaling` the AdamW learning rate of matrices and head scales as 1/width (Yang et al. 2022, µP), so that
    one value works for every width. Muon's update has a fixed spectral norm and needs no scaling (Bernstein & Newhouse
    2024).
    """
    groups: dict[Group, list[nn.Parameter]] = {"matrix": [], "embedding": [], "head": [], "vector": []}
    for name, parameter in model.named_parameters():
        groups[role_of(name).group].append(parameter)
    width_scale = BASE_WIDTH / model.config.n_embd if config.width_scaling else 1.0
    scales: dict[Group, float] = {
        "matrix": width_scale,
        "embedding": config.embedding_lr_ratio,
        "head": config.head_lr_ratio * width_scale,
        "vector": 1.0,
    }
    matrices: list[torch.optim.Optimizer] = []
    if config.name == "muon":
        rows = {id(parameter): rows for parameter, rows in model.stacked_matrices()}
        device = model.embedding.weight.device
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        dtype = torch.bfloat16 if has_bf16 else torch.float32
        matrices = [Muon(groups.pop("matrix"), config.momentum, config.weight_decay, rows, dtype)]
        matrices[0].param_groups[0]["lr_scale"] = config.muon_learning_rate / config.learning_rate
    elif config.name == "galore":
        matrices = [GaLore(groups.pop("matrix"), config)]
        matrices[0].param_groups[0]["lr_scale"] = width_scale
    rest: list[dict[str, Any]] = [
        {
            "params": parameters,
            "lr_scale": scales[group],
            "weight_decay": config.weight_decay if group in ("matrix", "head") else 0.0,
        }
        for group, parameters in groups.items()
        if parameters
    ]
    betas = (config.beta1, config.beta2)
    return [*matrices, torch.optim.AdamW(rest, lr=config.learning_rate, betas=betas, eps=config.eps, fused=True)]


def set_learning_rate(optimizers: Sequence[torch.optim.Optimizer], rate: float) -> None:
    """Set the learning rate of every group to `rate` times its `lr_scale`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]


def update(optimizers: Sequence[torch.optim.Optimizer], skip_step: torch.Tensor) -> None:
    """Step every optimizer and clear the gradients. If `skip_step` (fp32 scalar on the device) is 1, change nothing.

    The decision stays on the device, so the host does not wait for it.
    """
    for optimizer in optimizers:
        optimizer.found_inf = skip_step  # type: ignore[attr-defined]  # the protocol of torch's fused optimizers
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
