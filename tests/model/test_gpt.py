"""The GPT: parameter counts, causality, generation with a cache, padding of the vocabulary."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tui_gpt.config import ModelConfig, build
from tui_gpt.config.estimates import parameters
from tui_gpt.model import GPT, KVCache

VOCABULARIES = {"pico": 1024, "nano": 4096}
SIZES = {"gpt2": 124_439_808, "gpt2-medium": 354_823_168, "gpt2-large": 774_030_080, "gpt2-xl": 1_557_611_200}


def small(architecture: str, vocab_size: int = 50, **changes: object) -> GPT:
    torch.manual_seed(0)
    settings = {"n_layer": 2, "n_head": 4, "n_embd": 32, "context_length": 24, "tied": architecture == "gpt2"}
    model = GPT(ModelConfig(architecture=architecture, **settings | changes), vocab_size)
    with torch.no_grad():  # projections that start at zero would hide what attention does
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model.eval()


@pytest.mark.parametrize("preset", ["pico", "nano", "small", "medium", *SIZES])
def test_parameters_match_the_closed_form_and_the_published_sizes(preset: str) -> None:
    config = build({"preset": preset}).model
    vocab_size = VOCABULARIES.get(preset, 50257)
    with torch.device("meta"):
        model = GPT(config, vocab_size)
    assert model.num_parameters() == parameters(config, vocab_size) == SIZES.get(preset, model.num_parameters())


@pytest.mark.parametrize("changes", [{}, {"n_kv_head": 2}, {"tied": True}])
def test_attention_is_causal(changes: dict) -> None:
    model = small("modern", **changes)
    tokens = torch.randint(0, 50, (2, 24))
    later = tokens.clone()
    later[:, 15:] = torch.randint(0, 50, (2, 9))
    assert torch.allclose(model(tokens)[:, :15], model(later)[:, :15], atol=1e-6)


@pytest.mark.parametrize(("architecture", "changes"), [("gpt2", {}), ("modern", {}), ("modern", {"n_kv_head": 1})])
@torch.no_grad()
def test_generation_with_a_cache_gives_the_logits_of_one_pass(architecture: str, changes: dict) -> None:
    model = small(architecture, **changes)
    tokens = torch.randint(0, 50, (2, 24))
    cache = KVCache(model.config, 2, 24, device=torch.device("cpu"), dtype=torch.float32)
    pieces = [model(tokens[:, :7], cache=cache)] + [model(tokens[:, i : i + 1], cache=cache) for i in range(7, 24)]
    assert torch.allclose(torch.cat(pieces, 1), model(tokens), atol=1e-5)


@pytest.mark.parametrize("architecture", ["gpt2", "modern"])
def test_loss_is_the_summed_cross_entropy_without_padding(architecture: str) -> None:
    model = small(architecture)
    tokens, targets = torch.randint(0, 50, (3, 10)), torch.randint(0, 50, (3, 10))
    logits = model(tokens)
    assert logits.shape == (3, 10, 50) and model.embedding.num_embeddings == 64
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    assert torch.allclose(model(tokens, targets), expected)
    model(tokens, targets).backward()
    head = model.embedding.weight if model.head is None else model.head.weight
    assert head.grad is not None and not head.grad[50:].any()


@pytest.mark.parametrize("architecture", ["gpt2", "modern"])
def test_a_new_model_predicts_nearly_uniformly(architecture: str) -> None:
    torch.manual_seed(0)
    model = GPT(ModelConfig(architecture=architecture, tied=architecture == "gpt2"), 1000)
    tokens = torch.randint(0, 1000, (4, 64))
    assert model(tokens, tokens.roll(-1, 1)).item() / 256 == pytest.approx(math.log(1000), abs=0.2)


def test_gpt2_scales_its_residual_projections_with_depth() -> None:
    torch.manual_seed(0)
    model = GPT(ModelConfig(architecture="gpt2", n_layer=8, n_embd=128, tied=True), 100)
    assert float(model.blocks[0].mlp.projection.weight.std()) == pytest.approx(0.02 / math.sqrt(16), rel=0.05)


def test_modern_soft_caps_its_logits() -> None:
    model = small("modern")
    with torch.no_grad():
        model.head.weight.mul_(1000)
    assert float(model(torch.randint(0, 50, (1, 8))).abs().max()) <= 15.0


@pytest.mark.parametrize("changes", [{"mlp": "swiglu"}, {"value_embeddings": True}, {"n_kv_head": 2, "mlp": "swiglu"}])
def test_each_architecture_option_is_causal_and_matches_the_closed_form(changes: dict) -> None:
    model = small("modern", **changes)
    assert model.num_parameters() == parameters(model.config, 50)
    assert model.num_parameters() == pytest.approx(small("modern").num_parameters(), rel=0.25)
    tokens = torch.randint(0, 50, (2, 24))
    later = tokens.clone()
    later[:, 15:] = torch.randint(0, 50, (2, 9))
    assert torch.allclose(model(tokens)[:, :15], model(later)[:, :15], atol=1e-5)
    cache = KVCache(model.config, 2, 24, device=torch.device("cpu"), dtype=torch.float32)
    pieces = [model(tokens[:, :7], cache=cache)] + [model(tokens[:, i : i + 1], cache=cache) for i in range(7, 24)]
    assert torch.allclose(torch.cat(pieces, 1), model(tokens), atol=1e-4)


@pytest.mark.parametrize(("architecture", "changes"), [("gpt2", {}), ("modern", {}), ("modern", {"n_kv_head": 2})])
def test_documents_in_one_sequence_do_not_attend_to_each_other(architecture: str, changes: dict) -> None:
    model = small(architecture, **changes)
    tokens, targets = torch.randint(0, 50, (2, 24)), torch.randint(0, 50, (2, 24))
    documents = torch.tensor([[0] * 10 + [1] * 14, [0] * 3 + [1] * 21])
    other = tokens.clone()
    other[0, :10] = torch.randint(0, 50, (10,))
    alone = targets.clone()
    alone[0, :10], alone[1] = -1, -1
    losses = [model(x, alone, documents=documents) for x in (tokens, other)]
    assert torch.allclose(*losses) and not torch.allclose(model(tokens, alone), model(other, alone))


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_grouped_queries_within_documents_give_the_losses_of_each_document_alone(kv_heads: int) -> None:
    model = small("modern", n_kv_head=kv_heads, context_length=24)
    model.rope_cos.fill_(1)  # the same angle everywhere, so that a document may begin at any position
    model.rope_sin.zero_()
    tokens, targets = torch.randint(0, 50, (1, 24)), torch.randint(0, 50, (1, 24))
    documents = torch.tensor([[0] * 10 + [1] * 14])
    together = model(tokens, targets, documents=documents)
    alone = [model(tokens[:, part], targets[:, part]) for part in (slice(0, 10), slice(10, 24))]
    assert torch.allclose(together, sum(alone), atol=1e-4)


def test_masks_and_grouped_queries_never_reach_the_attention_kernel_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA has no kernel for both at once, and falls back to one that stores T×T scores of each head."""
    calls: list[dict] = []
    attention = F.scaled_dot_product_attention

    def watched(*tensors: torch.Tensor, **named: object) -> torch.Tensor:
        calls.append(named | {"heads": [x.shape[1] for x in tensors]})
        return attention(*tensors, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    model = small("modern", n_kv_head=2)
    tokens = torch.randint(0, 50, (1, 24))
    for documents in (None, torch.zeros_like(tokens)):
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):  # raises if it cannot
            model(tokens, tokens, documents=documents)
    assert [(call["attn_mask"] is None, call["enable_gqa"], call["heads"]) for call in calls] == [
        *[(True, True, [4, 2, 2])] * 2,
        *[(False, False, [4, 4, 4])] * 2,
    ]


@pytest.mark.parametrize("architecture", ["gpt2", "modern"])
def test_recomputed_activations_give_the_same_gradients_with_dropout_on(architecture: str) -> None:
    gradients = []
    for recompute in (False, True):
        model = small(architecture, dropout=0.2).train()
        model.checkpoint_activations = recompute
        torch.manual_seed(5)
        tokens = torch.arange(48).view(2, 24)
        model(tokens, tokens.roll(-1, 1)).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
