"""The GPT, with both architectures in one model.

`gpt2` is OpenAI's (Radford et al. 2019): learned positions, LayerNorm with bias, GELU, a tied head, residual
projections initialized with 0.02/√(2·n_layer). `modern` collects what trains small models fastest: rotary positions
(Su et al. 2021), RMSNorm without gain, QK-norm, ReLU² (So et al. 2021), output projections initialized to zero, logits
soft-capped at 15 (Gemma 2) and, optionally, grouped queries (Ainslie et al. 2023), SwiGLU (Shazeer 2020) and value
embeddings (Zhou et al. 2024).

The vocabulary is padded to a multiple of 64 rows, which matrix units compute faster. Padded rows are excluded from the
softmax and from parameter counts.
"""

from __future__ import annotations

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
from tui_gpt.model.parameter_roles import initialize, role_of

LOGIT_CAP = 15.0
ROPE_BASE = 10_000.0


class GPT(nn.Module):
    """Decoder-only transformer: computes next-token logits, or the summed loss."""

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
            cos, sin = rotary_angles(config.context_length, config.n_embd // config.n_head)
            self.register_buffer("rope_cos", cos, persistent=False)
            self.register_buffer("rope_sin", sin, persistent=False)
        self.initialize()

    @torch.no_grad()
    def initialize(self) -> None:
        """Initialize the weights with torch's default generator."""
        for name, parameter in self.named_parameters():
            initialize(name, parameter, self.config)

    def forward(
        self,
        tokens: Tensor,
        targets: Tensor | None = None,
        cache: KVCache | None = None,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Return logits (batch, time, vocab_size) in fp32 or, with targets, the sum of their losses in nats.

        tokens: (batch, time) int64, time ≤ context_length. targets: (batch, time) int64; negative ones are ignored.
        cache: tokens continue those in the cache: any number of tokens if it is empty, else one. documents: (batch,
        time), to limit attention to positions of the same document.
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
        context = ForwardContext(tokens, rotation, cache, None if documents is None else same_document(documents))
        for block in self.blocks:
            if self.checkpoint_activations and self.training:
                x = checkpoint(block, x, context, use_reentrant=False)
            else:
                x = block(x, context)
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
        """Yield the parameters that hold several matrices stacked along their rows, with the rows of each."""
        for module in self.modules():
            if isinstance(module, Attention):
                keys = module.kv_heads * module.head_dim
                yield module.qkv.weight, (module.heads * module.head_dim, keys, keys)
            elif isinstance(module, SwiGLU):
                height = module.expand.out_features // 2
                yield module.expand.weight, (height, height)

    def num_parameters(self) -> int:
        """Return the number of parameters without the padding of the vocabulary."""
        padding = self.embedding.num_embeddings - self.vocab_size
        total = sum(parameter.numel() for parameter in self.parameters())
        return total - padding * sum(table.shape[1] for table in self.token_tables().values())

    def token_tables(self) -> dict[str, nn.Parameter]:
        """Return the parameters with one row for each token of the vocabulary, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if role_of(name).rows_are_tokens}


class ForwardContext(NamedTuple):
    """Inputs that all blocks of a forward pass share."""

    tokens: Tensor  # (batch, time)
    rotation: tuple[Tensor, Tensor] | None
    cache: KVCache | None
    mask: Tensor | None  # (batch, 1, time, time)


class Block(nn.Module):
    """Transformer block: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: ModelConfig, layer: int, vocabulary: int) -> None:
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = Attention(config, layer, vocabulary)
        self.mlp_norm = make_norm(config)
        self.mlp = SwiGLU(config) if config.mlp == "swiglu" else MLP(config)

    def forward(self, x: Tensor, context: ForwardContext) -> Tensor:
        x = x + self.attention(self.attention_norm(x), context)
        return x + self.mlp(self.mlp_norm(x))


class Attention(nn.Module):
    """Causal self-attention, with queries, keys and values from one matrix.

    With value embeddings every second layer, counted from the last, adds an embedding of the token to its values.
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
        has_value_embedding = config.value_embeddings and (config.n_layer - 1 - layer) % 2 == 0
        self.values = nn.Embedding(vocabulary, self.kv_heads * self.head_dim) if has_value_embedding else None

    def forward(self, x: Tensor, context: ForwardContext) -> Tensor:
        batch, time, width = x.shape
        heads = self.qkv(x).view(batch, time, -1, self.head_dim)
        qk, v = heads.split((self.heads + self.kv_heads, self.kv_heads), dim=2)
        if context.rotation is not None:
            qk = rotate(rms_norm(qk), context.rotation)
        if self.values is not None:
            v = v + self.values(context.tokens).view(v.shape)
        qk, v = qk.transpose(1, 2), v.transpose(1, 2)
        q, k = qk.split((self.heads, self.kv_heads), dim=1)
        dtype = v.dtype
        if context.cache is not None:
            k, v = context.cache.extend(self.layer, k, v)
            q = q.to(k.dtype)
        groups = self.heads // self.kv_heads
        if groups > 1 and context.mask is not None:  # with both, CUDA has no kernel but the one that stores T×T scores
            k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        y = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=context.mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=time > 1 and context.mask is None,
            enable_gqa=groups > 1 and context.mask is None,
        )
        if context.cache is not None:
            y = y.to(dtype)
        y = self.projection(y.transpose(1, 2).reshape(batch, time, width))
        return F.dropout(y, self.dropout, self.training)


class MLP(nn.Module):
    """MLP with a hidden width of 4·n_embd: tanh GELU in `gpt2`, squared ReLU in `modern`, or exact GELU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        bias = config.architecture == "gpt2"
        default = tanh_gelu if bias else squared_relu
        self.activation: Callable[[Tensor], Tensor] = F.gelu if config.mlp == "gelu" else default
        self.dropout = config.dropout
        self.expand = nn.Linear(config.n_embd, 4 * config.n_embd, bias=bias)
        self.projection = nn.Linear(4 * config.n_embd, config.n_embd, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.projection(self.activation(self.expand(x))), self.dropout, self.training)


class SwiGLU(nn.Module):
    """MLP of silu(gate) × up, from one matrix, with as many parameters as the plain MLP (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden = swiglu_width(config.n_embd)
        self.dropout = config.dropout
        self.expand = nn.Linear(config.n_embd, 2 * hidden, bias=False)
        self.projection = nn.Linear(hidden, config.n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.expand(x).chunk(2, dim=-1)
        return F.dropout(self.projection(F.silu(gate) * up), self.dropout, self.training)


class RMSNorm(nn.Module):
    """Root mean square normalization without gain (Zhang & Sennrich 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x)


def tanh_gelu(x: Tensor) -> Tensor:
    """Return GELU in the tanh approximation, as GPT-2 uses it."""
    return F.gelu(x, approximate="tanh")


def same_document(documents: Tensor) -> Tensor:
    """Return the causal mask within documents, (batch, 1, time, time) bool, for document numbers (batch, time)."""
    return (documents[:, :, None] == documents[:, None, :]).tril()[:, None]


def make_norm(config: ModelConfig) -> nn.Module:
    """Return the normalization layer of the architecture."""
    if config.architecture == "gpt2":
        return nn.LayerNorm(config.n_embd)
    return RMSNorm()


def rotary_angles(length: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (length, head_dim / 2) of the rotary embedding, on the CPU also on the meta device."""
    channels = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu")
    angles = torch.arange(length, dtype=torch.float32, device="cpu")[:, None] * ROPE_BASE ** -(channels / head_dim)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate channel pairs (i, i + head_dim / 2) of x (batch, time, heads, head_dim) by the angle of their position."""
    cos, sin = rotation
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1).type_as(x)
