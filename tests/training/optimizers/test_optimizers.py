"""Parameter groups and their learning rates, orthogonal updates, projections, and skipped steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.bench.polar_express import coefficients, extremes, matrices
from tui_gpt.config import ModelConfig, OptimizerConfig
from tui_gpt.model import GPT, role_of
from tui_gpt.training.optimizers import make_optimizers, set_learning_rate, update
from tui_gpt.training.optimizers.galore import GaLore, projection
from tui_gpt.training.optimizers.muon import POLAR_EXPRESS_4, POLAR_EXPRESS_5, Muon, orthogonalize

GO, HOLD = torch.zeros(()), torch.ones(())


def gpt(n_embd: int = 32, **changes: object) -> GPT:
    torch.manual_seed(0)
    return GPT(ModelConfig(n_layer=2, n_head=2, n_embd=n_embd, context_length=8, **changes), 50)


def with_gradients(model: GPT, seed: int = 1) -> GPT:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("name", ["adamw", "muon", "galore"])
@pytest.mark.parametrize("changes", [{}, {"architecture": "gpt2", "tied": True}, {"value_embeddings": True}])
def test_every_parameter_is_updated_once(name: str, changes: dict) -> None:
    model = gpt(**changes)
    optimizers = make_optimizers(model, OptimizerConfig(name=name))
    followed = [id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    assert sorted(followed) == sorted(id(p) for p in model.parameters())


def test_width_scaling_lowers_the_learning_rate_of_matrices_and_head() -> None:
    for width, expected in ((128, 1.0), (512, 0.25)):
        model = gpt(width, dropout=0.0)
        config = OptimizerConfig(width_scaling=True, embedding_lr_ratio=3.0, learning_rate=0.1)
        set_learning_rate(optimizers := make_optimizers(model, config), 0.1)
        rates = {id(p): group["lr"] for o in optimizers for group in o.param_groups for p in group["params"]}
        for parameter_name, parameter in model.named_parameters():
            share = 3.0 if role_of(parameter_name).group == "embedding" else expected
            assert rates[id(parameter)] == pytest.approx(0.1 * share), parameter_name


def test_muon_has_its_own_learning_rate_and_follows_the_schedule() -> None:
    muon, adamw = make_optimizers(gpt(), OptimizerConfig(name="muon", learning_rate=3e-3, muon_learning_rate=0.02))
    set_learning_rate([muon, adamw], 1.5e-3)
    assert isinstance(muon, Muon) and muon.param_groups[0]["lr"] == pytest.approx(0.01)
    assert {group["lr"] for group in adamw.param_groups} == {1.5e-3}


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 16, 64), (1, 8, 17), (1, 300, 300), (1, 260, 600)])
def test_orthogonalize_keeps_singular_vectors_and_sets_singular_values_to_1(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape)
    u, sizes, v = torch.linalg.svd(orthogonalize(x, torch.float32), full_matrices=False)
    assert float(sizes.median()) > 0.7 and float(sizes.max()) < 1.3
    exact_u, _, exact_v = torch.linalg.svd(x, full_matrices=False)
    agreement = torch.einsum("bij,bij->b", u @ v, exact_u @ exact_v) / shape[1]
    assert float(agreement.min()) > 0.99


# The whole sweep, 100 matrices of each shape, is `python -m tests.bench.polar_express`.
@pytest.mark.parametrize(
    ("rows", "columns", "count"),
    [(128, 128, 24), (384, 384, 8), (512, 512, 4), (768, 768, 2), (768, 3072, 2), (3072, 768, 1)],
)
def test_in_bf16_and_fp32_singular_values_come_out_near_1_also_of_low_rank(rows: int, columns: int, count: int) -> None:
    for matrix in matrices(rows, columns, count):
        for largest, smallest in extremes(matrix, (torch.float32, torch.bfloat16)):
            assert largest <= 1.3 and smallest >= 0.5


def test_the_polynomials_are_those_that_the_script_computes() -> None:
    for polynomials in (POLAR_EXPRESS_4, POLAR_EXPRESS_5):
        assert np.allclose(coefficients(len(polynomials)), polynomials, rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_norm_of_tiny_and_huge_updates_neither_vanishes_nor_overflows(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 16, 32)
    for scale in (1e-6, 1e6):
        sizes = torch.linalg.svdvals(orthogonalize(x * scale, dtype).float())
        assert float(sizes.min()) > 0.7 and float(sizes.max()) < 1.3
    assert not orthogonalize(torch.zeros(1, 16, 32), dtype).any()


@pytest.mark.parametrize(("width", "cosine"), [(128, 0.87), (384, 0.82)])
def test_weak_directions_of_a_power_law_spectrum_are_reached(width: int, cosine: float) -> None:
    torch.manual_seed(0)
    left, right = torch.linalg.qr(torch.randn(2, width, width))[0]
    x = (left * torch.arange(1, width + 1) ** -1.5) @ right.mT
    found = torch.cosine_similarity(orthogonalize(x[None], torch.float32).flatten(), (left @ right.mT).flatten(), 0)
    assert float(found) > cosine


def test_stacked_matrices_are_orthogonalized_separately() -> None:
    together, apart = torch.nn.Parameter(torch.zeros(48, 16)), [torch.nn.Parameter(torch.zeros(16, 16)) for _ in "qkv"]
    together.grad = torch.randn(48, 16)
    for parameter, grad in zip(apart, together.grad.split(16), strict=True):
        parameter.grad = grad.clone()
    stacked = Muon([together], 0.95, 0.0, {id(together): (16, 16, 16)})
    single = Muon(apart, 0.95, 0.0, {})
    for optimizer in (stacked, single):
        optimizer.param_groups[0]["lr"] = 0.1
        optimizer.step()
    assert torch.allclose(together, torch.cat(apart), atol=1e-6) and together.abs().max() > 0.01


@pytest.mark.parametrize("name", ["adamw", "muon", "galore"])
def test_a_skipped_step_changes_nothing_even_with_non_finite_gradients(name: str) -> None:
    model = with_gradients(gpt())
    optimizers = make_optimizers(model, OptimizerConfig(name=name, galore_rank=4))
    set_learning_rate(optimizers, 1e-2)
    update(optimizers, GO)
    before = [p.detach().clone() for p in model.parameters()]
    states = [{k: v.clone() for k, v in o.state[p].items()} for p in model.parameters() for o in optimizers]
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    update(optimizers, HOLD)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    after = [o.state[p] for p in model.parameters() for o in optimizers]
    for one, other in zip(states, after, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_galore_updates_within_the_leading_directions_of_the_gradient() -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(12, 20))
    weight.grad = torch.randn(12, 2) @ torch.randn(2, 20)
    optimizer = GaLore([weight], OptimizerConfig(galore_rank=2, galore_scale=1.0, weight_decay=0.0))
    optimizer.param_groups[0]["lr"] = 1.0
    basis = projection(weight.grad, 2)
    optimizer.step()
    assert basis.shape == (12, 2) and torch.linalg.matrix_rank(weight.detach()) == 2
    assert torch.allclose(basis @ basis.T @ weight, weight, atol=1e-5)
    assert optimizer.state[weight]["exp_avg"].shape == (2, 20)


@pytest.mark.parametrize("name", ["adamw", "muon", "galore"])
def test_each_optimizer_memorizes_a_sequence(name: str) -> None:
    model = gpt()
    optimizers = make_optimizers(model, OptimizerConfig(name=name, galore_rank=8, galore_every=20))
    tokens = torch.randint(0, 50, (4, 9))
    for _ in range(60):
        loss = model(tokens[:, :-1], tokens[:, 1:]) / 32
        loss.backward()
        set_learning_rate(optimizers, 1e-2 if name != "galore" else 3e-2)
        update(optimizers, GO)
    assert loss.item() < 1.0


def test_weight_decay_applies_to_matrices_only() -> None:
    model = GPT(ModelConfig(architecture="gpt2", n_layer=1, n_head=2, n_embd=16, context_length=8, tied=True), 50)
    (optimizer,) = make_optimizers(model, OptimizerConfig())
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed = {names[id(p)] for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert {name.split(".")[-2] for name in decayed} == {"qkv", "projection", "expand"}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)
