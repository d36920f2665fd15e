"""The roles of the parameters: how each starts, and which group of the optimizers it belongs to.

`ROLES` is the one table of them. The name of a parameter ends with that of its module and its own, as in
`blocks.3.attention.qkv.weight`: a weight has the role of its module, and every bias the same one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import Tensor, nn

from tui_gpt.config import ModelConfig

Group = Literal["matrix", "embedding", "head", "vector"]
Initializer = Callable[[Tensor, ModelConfig], object]

STD = 0.02  # GPT-2's


class Role(NamedTuple):
    """Group of the optimizers, initial values in both architectures, and whether each row belongs to a token."""

    group: Group
    gpt2: Initializer
    modern: Initializer
    rows_are_tokens: bool = False


def _zeros(parameter: Tensor, config: ModelConfig) -> None:
    nn.init.zeros_(parameter)


def _ones(parameter: Tensor, config: ModelConfig) -> None:
    nn.init.ones_(parameter)


def _normal(parameter: Tensor, config: ModelConfig) -> None:
    nn.init.normal_(parameter, std=STD)


def _normal_by_width(parameter: Tensor, config: ModelConfig) -> None:
    nn.init.normal_(parameter, std=1 / math.sqrt(config.n_embd))


def _normal_by_depth(parameter: Tensor, config: ModelConfig) -> None:
    nn.init.normal_(parameter, std=STD / math.sqrt(2 * config.n_layer))


_NORM = Role("vector", gpt2=_ones, modern=_ones)

ROLES: dict[str, Role] = {
    "embedding": Role("embedding", gpt2=_normal, modern=_normal, rows_are_tokens=True),
    "positions": Role("embedding", gpt2=_normal, modern=_normal),
    "values": Role("embedding", gpt2=_zeros, modern=_zeros, rows_are_tokens=True),
    "qkv": Role("matrix", gpt2=_normal, modern=_normal_by_width),
    "expand": Role("matrix", gpt2=_normal, modern=_normal_by_width),
    "projection": Role("matrix", gpt2=_normal_by_depth, modern=_zeros),  # adds to the residual stream
    "head": Role("head", gpt2=_normal, modern=_normal, rows_are_tokens=True),
    "norm": _NORM,
    "attention_norm": _NORM,
    "mlp_norm": _NORM,
    "bias": Role("vector", gpt2=_zeros, modern=_zeros),
}


def role_of(name: str) -> Role:
    """Return the role of a parameter by its full name."""
    module, kind = name.split(".")[-2:]
    return ROLES["bias" if kind == "bias" else module]


def initialize(name: str, parameter: Tensor, config: ModelConfig) -> None:
    """Give a parameter the initial values of its role, with torch's default generator."""
    role = role_of(name)
    (role.modern if config.architecture == "modern" else role.gpt2)(parameter, config)
