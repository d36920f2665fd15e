"""The chunked loss compared with autograd, and hand-written gradients compared with finite differences."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tui_gpt.model import autograd_functions, cross_entropy


@pytest.mark.parametrize("cap", [0.0, 15.0])
@pytest.mark.parametrize("chunk_rows", [1, 7, 1000])
def test_chunked_loss_and_gradients_equal_those_of_autograd(
    monkeypatch: pytest.MonkeyPatch, cap: float, chunk_rows: int
) -> None:
    monkeypatch.setattr(cross_entropy, "CHUNK_LOGITS_CPU", 64 * chunk_rows)
    torch.manual_seed(0)
    hidden, weight = torch.randn(5, 8, 16, requires_grad=True), torch.randn(64, 16, requires_grad=True)
    targets = torch.randint(0, 50, (5, 8))
    targets[0, :3] = -1
    logits = F.linear(hidden, weight)[..., :50]
    logits = cap * torch.tanh(logits / cap) if cap else logits
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum") * 0.3
    wanted = torch.autograd.grad(expected, (hidden, weight))
    found = cross_entropy.linear_cross_entropy(hidden, weight, targets, 50, cap) * 0.3
    assert torch.allclose(found, expected)
    for ours, theirs in zip(torch.autograd.grad(found, (hidden, weight)), wanted, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_ignored_targets_have_no_loss_and_no_gradient() -> None:
    hidden = torch.randn(4, 16, requires_grad=True)
    total = cross_entropy.linear_cross_entropy(hidden, torch.randn(64, 16), torch.full((4,), -1), 50, 15.0)
    total.backward()
    assert total.item() == 0 and not hidden.grad.any()


def test_under_autocast_the_loss_is_in_fp32() -> None:
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(8, 16), torch.randn(64, 16, requires_grad=True), torch.randint(0, 50, (8,))
    exact = cross_entropy.linear_cross_entropy(hidden, weight, targets, 50, 15.0)
    with torch.autocast("cpu", torch.bfloat16):
        found = cross_entropy.linear_cross_entropy(hidden, weight, targets, 50, 15.0)
    found.backward()
    assert found.dtype == torch.float32 and found.item() == pytest.approx(exact.item(), rel=1e-2)
    assert weight.grad is not None and weight.grad.dtype == torch.float32


@pytest.mark.parametrize("function", [autograd_functions.rms_norm, autograd_functions.squared_relu])
def test_hand_written_gradients_agree_with_finite_differences(function) -> None:
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(function, torch.randn(3, 8, dtype=torch.double, requires_grad=True))


def test_rms_norm_equals_torch() -> None:
    x = torch.randn(4, 7, 32)
    assert torch.allclose(autograd_functions.rms_norm(x), F.rms_norm(x, (32,), eps=autograd_functions.EPS), atol=1e-6)
    assert not autograd_functions.rms_norm(torch.zeros(2, 8)).any()
