"""The GPT, both architectures in one readable model.

`gpt2` is OpenAI's (Radford et al. 2019): learned positions, LayerNorm with bias, GELU, a tied head, residual
projections initialised at 0.02/√(2·n_layer). `modern` is what small models train fastest with today: rotary positions
(Su et al. 2021), RMSNorm without gain, QK-norm, ReLU² (So et al. 2021), output projections that start at zero, logits
capped softly at 15 (Gemma 2), and by choice grouped queries (Ainslie et al. 2023), SwiGLU (Shazeer 2020) and value
embeddings (Zhou et al. 2024).

The vocabulary is padded to a multiple of 64 rows, which the matrix units like; padded rows are never part of the
softmax, and no parameter count includes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tui_gpt.config import ModelConfig
from tui_gpt.config.estimates import swiglu_width
from tui_gpt.model.autograd_functions import rms_norm, squared_relu
from tui_gpt.model.cross_entropy import linear_cross_entropy
from tui_gpt.model.kv_cache import KVCache

LOGIT_CAP = 15.0
ROPE_BASE = 10_000.0


class GPT(nn.Module):
    """Tokens in, next-token logits or the mean loss out."""

    rope_cos: Tensor
    rope_sin: Tensor

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.checkpoint_activations = False  # recompute each block in the backward pass (Chen et al. 2016)
        self.modern = config.architecture == "modern"
        padded = -(-vocab_size // 64) * 64
        self.embedding = nn.Embedding(padded, config.n_embd)
        self.positions = None if self.modern else nn.Embedding(config.context_length, config.n_embd)
        self.blocks = nn.ModuleList(Block(config, layer, padded) for layer in range(config.n_layer))
        self.norm = make_norm(config)
        self.head = None if config.tied else nn.Linear(config.n_embd, padded, bias=False)
        if self.modern:
            cos, sin = rotations(config.context_length, config.n_embd // config.n_head)
            self.register_buffer("rope_cos", cos, persistent=False)
            self.register_buffer("rope_sin", sin, persistent=False)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Draw the weights from torch's default generator."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("projection.weight", "values.weight")):
                if self.modern:
                    nn.init.zeros_(parameter)
                else:
                    nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.config.n_layer))
            elif self.modern and name.startswith("blocks"):
                nn.init.normal_(parameter, std=1 / math.sqrt(self.config.n_embd))
            else:
                nn.init.normal_(parameter, std=0.02)

    def forward(
        self,
        tokens: Tensor,
        targets: Tensor | None = None,
        cache: KVCache | None = None,
        documents: Tensor | None = None,
    ) -> Tensor:
        """tokens: (batch, time) int64, time at most context_length.

        Returns logits (batch, time, vocab_size) in fp32 or, given targets (batch, time), the sum of their losses in
        nats; a negative target is none. With a cache, `tokens` continue what it holds: any number of them on an empty
        cache, else one. With documents (batch, time), a position attends to its own document only.
        """
        start = cache.length if cache is not None else 0
        span = slice(start, start + tokens.shape[1])
        x = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions.weight[span]
            rotation = None
        else:
            x = self.norm(x)
            rotation = (self.rope_cos[span, None], self.rope_sin[span, None])
        x = F.dropout(x, self.config.dropout, self.training)
        shared = Shared(tokens, rotation, cache, None if documents is None else same_document(documents))
        for block in self.blocks:
            if self.checkpoint_activations and self.training:
                x = checkpoint(block, x, shared, use_reentrant=False)
            else:
                x = block(x, shared)
        if cache is not None:
            cache.advance(tokens.shape[1])
        x = self.norm(x)
        weight = self.embedding.weight if self.head is None else self.head.weight
        cap = LOGIT_CAP if self.modern else 0.0
        if targets is not None:
            return linear_cross_entropy(x, weight, targets, self.vocab_size, cap)
        logits = F.linear(x, weight)[..., : self.vocab_size].float()
        return cap * torch.tanh(logits / cap) if cap else logits

    def stacked_matrices(self) -> Iterator[tuple[Tensor, tuple[int, ...]]]:
        """Parameters that hold several matrices one above the other, with the height of each."""
        for module in self.modules():
            if isinstance(module, Attention):
                keys = module.kv_heads * module.head_dim
                yield module.qkv.weight, (module.heads * module.head_dim, keys, keys)
            elif isinstance(module, SwiGLU):
                height = module.expand.out_features // 2
                yield module.expand.weight, (height, height)

    def num_parameters(self) -> int:
        """Parameters without the vocabulary's padding."""
        padding = self.embedding.num_embeddings - self.vocab_size
        named = dict(self.named_parameters())
        tables = [p for name, p in named.items() if name.startswith(("embedding", "head")) or "values" in name]
        return sum(p.numel() for p in named.values()) - padding * sum(table.shape[1] for table in tables)


class Shared(NamedTuple):
    """What every block of one forward pass is given beside its input."""

    tokens: Tensor  # (batch, time)
    rotation: tuple[Tensor, Tensor] | None
    cache: KVCache | None
    mask: Tensor | None  # (batch, 1, time, time)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: ModelConfig, layer: int, vocabulary: int) -> None:
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = Attention(config, layer, vocabulary)
        self.mlp_norm = make_norm(config)
        self.mlp = SwiGLU(config) if config.mlp == "swiglu" else MLP(config)

    def forward(self, x: Tensor, shared: Shared) -> Tensor:
        x = x + self.attention(self.attention_norm(x), shared)
        return x + self.mlp(self.mlp_norm(x))


class Attention(nn.Module):
    """Causal self-attention; queries, keys and values from one matrix.

    With value embeddings, every second layer up to the last adds a table's row for the token to its values.
    """

    def __init__(self, config: ModelConfig, layer: int, vocabulary: int) -> None:
        super().__init__()
        self.layer = layer
        self.heads, self.kv_heads = config.n_head, config.n_kv_head or config.n_head
        self.head_dim = config.n_embd // config.n_head
        self.dropout = config.dropout
        bias = config.architecture == "gpt2"
        self.qkv = nn.Linear(config.n_embd, (self.heads + 2 * self.kv_heads) * self.head_dim, bias=bias)
        self.projection = nn.Linear(config.n_embd, config.n_embd, bias=bias)
        adds_values = config.value_embeddings and (config.n_layer - 1 - layer) % 2 == 0
        self.values = nn.Embedding(vocabulary, self.kv_heads * self.head_dim) if adds_values else None

    def forward(self, x: Tensor, shared: Shared) -> Tensor:
        batch, time, width = x.shape
        heads = self.qkv(x).view(batch, time, -1, self.head_dim)
        qk, v = heads.split((self.heads + self.kv_heads, self.kv_heads), dim=2)
        if shared.rotation is not None:
            qk = rotate(rms_norm(qk), shared.rotation)
        if self.values is not None:
            v = v + self.values(shared.tokens).view(v.shape)
        qk, v = qk.transpose(1, 2), v.transpose(1, 2)
        q, k = qk.split((self.heads, self.kv_heads), dim=1)
        if shared.cache is not None:
            k, v = shared.cache.extend(self.layer, k, v)
        y = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=shared.mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=time > 1 and shared.mask is None,
            enable_gqa=self.kv_heads != self.heads,
        )
        y = self.projection(y.transpose(1, 2).reshape(batch, time, width))
        return F.dropout(y, self.dropout, self.training)


class MLP(nn.Module):
    """Four widths wide: GELU by tanh in GPT-2, squared ReLU in the modern one, exact GELU by choice."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        bias = config.architecture == "gpt2"
        own = tanh_gelu if bias else squared_relu
        self.activation: Callable[[Tensor], Tensor] = F.gelu if config.mlp == "gelu" else own
        self.dropout = config.dropout
        self.expand = nn.Linear(config.n_embd, 4 * config.n_embd, bias=bias)
        self.projection = nn.Linear(4 * config.n_embd, config.n_embd, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.projection(self.activation(self.expand(x))), self.dropout, self.training)


class SwiGLU(nn.Module):
    """silu(gate) × up, from one matrix, as wide as makes its parameters those of the plain MLP (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden = swiglu_width(config.n_embd)
        self.dropout = config.dropout
        self.expand = nn.Linear(config.n_embd, 2 * hidden, bias=False)
        self.projection = nn.Linear(hidden, config.n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.expand(x).chunk(2, dim=-1)
        return F.dropout(self.projection(F.silu(gate) * up), self.dropout, self.training)


def tanh_gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def same_document(documents: Tensor) -> Tensor:
    """Which positions see which: (batch, 1, time, time) bool, causal and within one document of (batch, time)."""
    return (documents[:, :, None] == documents[:, None, :]).tril()[:, None]


def make_norm(config: ModelConfig) -> nn.Module:
    if config.architecture == "gpt2":
        return nn.LayerNorm(config.n_embd)
    return nn.RMSNorm(config.n_embd, elementwise_affine=False)


def rotations(length: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, head_dim / 2) of the rotary embedding; on the CPU also for a model without storage."""
    channels = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu")
    angles = torch.arange(length, dtype=torch.float32, device="cpu")[:, None] * ROPE_BASE ** -(channels / head_dim)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn channel pairs (i, i + head_dim / 2) of x (batch, time, heads, head_dim) by their position's angle."""
    cos, sin = rotation
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1).type_as(x)
