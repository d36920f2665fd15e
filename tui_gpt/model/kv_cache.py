"""Keys and values of the tokens already seen, so that generating one more token costs one more token."""

from __future__ import annotations

import torch
from torch import Tensor

from tui_gpt.config import ModelConfig


class KVCache:
    """Room for `capacity` tokens of every layer. The model reads `length` for positions and calls `extend`."""

    def __init__(
        self, config: ModelConfig, batch_size: int, capacity: int, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        heads = config.n_kv_head or config.n_head
        shape = (config.n_layer, 2, batch_size, heads, capacity, config.n_embd // config.n_head)
        self._store = torch.empty(shape, device=device, dtype=dtype)
        self.capacity = capacity
        self.length = 0

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append (batch, heads, new, head_dim) at `length` and return all of that layer's keys and values.

        `length` itself moves on in `advance`, once every layer has been extended.
        """
        end = self.length + keys.shape[2]
        self._store[layer, 0, :, :, self.length : end] = keys
        self._store[layer, 1, :, :, self.length : end] = values
        return self._store[layer, 0, :, :, :end], self._store[layer, 1, :, :, :end]

    def advance(self, new: int) -> None:
        self.length += new

    def clear(self) -> None:
        self.length = 0
