"""The table of parameter roles: every parameter has one, and starts with its values."""

from __future__ import annotations

import pytest
import torch

from tui_gpt.config import ModelConfig
from tui_gpt.model import GPT, role_of

OPTIONS: list[dict] = [
    {"architecture": "gpt2", "tied": True},
    {"architecture": "gpt2", "tied": False},
    {"value_embeddings": True, "mlp": "swiglu"},
]


def gpt(options: dict) -> GPT:
    torch.manual_seed(0)
    return GPT(ModelConfig(n_layer=4, n_head=4, n_embd=64, context_length=32, **options), 500)


@pytest.mark.parametrize("options", OPTIONS)
def test_every_parameter_has_a_role_of_a_fitting_shape(options: dict) -> None:
    model = gpt(options)
    for name, parameter in model.named_parameters():
        role = role_of(name)
        assert (role.group == "vector") == (parameter.ndim == 1), name
        assert role.rows_are_tokens == (parameter.shape[0] == model.embedding.num_embeddings), name


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (OPTIONS[1], {"embedding": 0.02, "positions": 0.02, "head": 0.02, "qkv": 0.02, "projection": 0.02 / 8**0.5}),
        (OPTIONS[2], {"embedding": 0.02, "head": 0.02, "qkv": 1 / 8, "expand": 1 / 8, "projection": 0, "values": 0}),
    ],
)
def test_weights_start_with_the_spread_of_their_role(options: dict, expected: dict[str, float]) -> None:
    spreads: dict[str, set[float]] = {}
    for name, parameter in gpt(options).named_parameters():
        module, kind = name.split(".")[-2:]
        if kind == "bias":
            assert not parameter.any(), name
        elif "norm" in module:
            assert (parameter == 1).all(), name
        else:
            spreads.setdefault(module, set()).add(float(parameter.detach().std()))
    for module, spread in expected.items():
        assert all(found == pytest.approx(spread, rel=0.1) for found in spreads[module]), module
