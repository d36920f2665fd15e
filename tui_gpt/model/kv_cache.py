"""Key-value cache for generation: each new token needs one forward pass of one token."""

from __future__ import annotations

import torch
from torch import Tensor

from tui_gpt.config import ModelConfig


class KVCache:
    """Keys and values of up to `capacity` tokens in every layer, of which `length` are filled.

    dtype: on a CPU without bf16 arithmetic fp32 is faster, also with weights in bf16: attention over 900 tokens at
    GPT-2's shape takes 12 ms a token, in bf16 57.
    """

    def __init__(
        self, config: ModelConfig, batch_size: int, capacity: int, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        heads = config.n_kv_head or config.n_head
        shape = (config.n_layer, 2, batch_size, heads, capacity, config.n_embd // config.n_head)
        self._store = torch.empty(shape, device=device, dtype=dtype)
        self.capacity = capacity
        self.length = 0

    def repeat(self, count: int) -> KVCache:
        """Return a cache in which each of `count` sequences continues the one of this cache."""
        other = KVCache.__new__(KVCache)
        other._store = self._store.expand(-1, -1, count, -1, -1, -1).clone()
        other.capacity, other.length = self.capacity, self.length
        return other

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values, (batch, heads, new, head_dim) each, to a layer, and return all of that layer.

        Call `advance` once every layer has been extended: this method does not change `length`.
        """
        end = self.length + keys.shape[2]
        self._store[layer, 0, :, :, self.length : end] = keys
        self._store[layer, 1, :, :, self.length : end] = values
        return self._store[layer, 0, :, :, :end], self._store[layer, 1, :, :, :end]

    def advance(self, new: int) -> None:
        """Add `new` tokens to `length`."""
        self.length += new

    def clear(self) -> None:
        """Drop all tokens."""
        self.length = 0
