"""Norms of gradient and update by block, which show where training makes progress."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tui_gpt.model import GPT


def parameters_by_block(model: GPT) -> dict[str, list[nn.Parameter]]:
    """Return the parameters by block: "embedding", "block 0", …, "head", "norm"."""
    found: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        first, *rest = name.split(".")
        key = f"block {rest[0]}" if first == "blocks" else "embedding" if first == "positions" else first
        found.setdefault(key, []).append(parameter)
    return found


class BlockNorms:
    """Euclidean norms by block, on the device: of the gradient at construction, of the update by `measure_update`."""

    @torch.no_grad()
    def __init__(self, model: GPT) -> None:
        self._blocks = parameters_by_block(model)
        self.names = list(self._blocks)
        self.gradient = self._norms({key: [p.grad for p in block] for key, block in self._blocks.items()})
        self._before = {key: [parameter.clone() for parameter in block] for key, block in self._blocks.items()}
        self.update = torch.zeros_like(self.gradient)

    @torch.no_grad()
    def measure_update(self) -> bool:
        """Compute the norms of the update; call after the optimizer step. Return True."""
        updates = {
            key: [now - then for now, then in zip(block, self._before[key], strict=True)]
            for key, block in self._blocks.items()
        }
        self.update = self._norms(updates)
        self._before.clear()
        return True

    @staticmethod
    def _norms(tensors: dict[str, list[Tensor]] | dict[str, list[Tensor | None]]) -> Tensor:
        kept = [[tensor for tensor in block if tensor is not None] for block in tensors.values()]
        return torch.stack([nn.utils.get_total_norm(block) for block in kept]).float()
