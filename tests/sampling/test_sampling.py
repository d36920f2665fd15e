"""Sampling strategies, determinism of generation, and the sliding window."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_gpt.config import ModelConfig
from tui_gpt.corpora import make_tokenizer
from tui_gpt.model import GPT
from tui_gpt.sampling import SamplingOptions, generate, generate_batch, generate_text
from tui_gpt.sampling.strategies import sample_token


def draw(logits: torch.Tensor, times: int = 200, **options: float) -> set[int]:
    generator = torch.Generator().manual_seed(0)
    return {sample_token(logits, generator, **{"temperature": 1.0} | options) for _ in range(times)}


LOGITS = torch.log(torch.tensor([0.5, 0.25, 0.15, 0.07, 0.03]))


def test_temperature_zero_is_greedy_and_one_reaches_all() -> None:
    assert draw(LOGITS, temperature=0.0) == {0}
    assert draw(LOGITS) == {0, 1, 2, 3, 4}


def test_filters_keep_the_tokens_of_their_definition() -> None:
    assert draw(LOGITS, top_k=2) == {0, 1}
    assert draw(LOGITS, top_p=0.7) == {0, 1}
    assert draw(LOGITS, top_p=0.76) == {0, 1, 2}
    assert draw(LOGITS, min_p=0.25) == {0, 1, 2}
    assert draw(LOGITS, top_p=1e-6) == {0}


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=2, max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_logits_give_a_token(values: list[float]) -> None:
    generator = torch.Generator().manual_seed(0)
    token = sample_token(torch.tensor(values), generator, temperature=0.7, top_k=3, top_p=0.9, min_p=0.05)
    assert 0 <= token < len(values)


@pytest.fixture(scope="module")
def model() -> GPT:
    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layer=2, n_head=2, n_embd=16, context_length=16), 257)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model.eval()


def test_the_same_seed_gives_the_same_text_beyond_the_context(model: GPT) -> None:
    options = SamplingOptions(tokens=100, temperature=1.0, seed=5)
    once, twice = list(generate(model, [1, 2], options)), list(generate(model, [1, 2], options))
    assert once == twice and len(once) == 100
    assert once != list(generate(model, [1, 2], SamplingOptions(tokens=100, temperature=1.0, seed=6)))


@torch.inference_mode()
def test_greedy_generation_is_the_likeliest_continuation_of_the_window(model: GPT) -> None:
    prompt = [5, 6, 7]
    written = list(generate(model, prompt, SamplingOptions(tokens=13, temperature=0)))
    text = list(prompt)
    for token in written:
        assert token == int(model(torch.tensor([text]))[0, -1].argmax())
        text.append(token)


@pytest.mark.parametrize("tokens", [9, 60])
def test_completions_in_one_batch_are_those_of_their_seeds_beyond_the_context_too(model: GPT, tokens: int) -> None:
    options = SamplingOptions(tokens=tokens, temperature=1.0, seed=3)
    alone = [list(generate(model, [1, 2], replace(options, seed=seed))) for seed in (3, 4, 5)]
    together = list(generate_batch(model, [1, 2], options, 3))
    assert [list(completion) for completion in zip(*together, strict=True)] == alone
    assert len({tuple(completion) for completion in alone}) == 3


def test_a_completion_that_has_ended_writes_nothing_while_others_go_on(model: GPT) -> None:
    options = SamplingOptions(tokens=30, temperature=1.0, seed=3)
    end = list(generate(model, [1, 2], options))[4]
    alone = [list(generate(model, [1, 2], replace(options, seed=seed), end_of_text=end)) for seed in (3, 4, 5)]
    together = zip(*generate_batch(model, [1, 2], options, 3, end_of_text=end), strict=True)
    assert [[token for token in completion if token is not None] for completion in together] == alone
    assert min(map(len, alone)) < max(map(len, alone))


@torch.inference_mode()
def test_with_weights_in_bf16_greedy_tokens_are_nearly_as_likely(model: GPT) -> None:
    half = copy.deepcopy(model)
    for parameter in half.parameters():
        parameter.data = parameter.data.bfloat16()
    text = [5, 6, 7, *generate(half, [5, 6, 7], SamplingOptions(tokens=12, temperature=0))]
    logits = model(torch.tensor([text]))[0, 2:-1]
    chosen = logits.gather(-1, torch.tensor(text[3:])[:, None])[:, 0]
    assert float((logits.max(-1).values - chosen).max()) < 0.5 < float(logits.std())


def test_of_a_prompt_longer_than_the_context_only_the_end_is_used(model: GPT) -> None:
    options = SamplingOptions(tokens=5, temperature=0)
    assert list(generate(model, list(range(40)), options)) == list(generate(model, list(range(24, 40)), options))


def test_end_of_text_ends_the_generation_unless_ignored(model: GPT) -> None:
    first = next(generate(model, [9], SamplingOptions(temperature=0)))
    assert list(generate(model, [9], SamplingOptions(tokens=9, temperature=0), end_of_text=first)) == [first]
    on = list(generate(model, [9], SamplingOptions(tokens=9, temperature=0, ignore_end=True), end_of_text=first))
    assert len(on) == 9


def test_pieces_never_end_within_a_character(model: GPT) -> None:
    from tui_gpt.sampling import stream_text

    tokenizer = make_tokenizer("byte", iter(["text"]), lambda *_: None)
    options = SamplingOptions(tokens=80, temperature=1.0, seed=1)
    pieces = list(stream_text(model, tokenizer, "é", options))
    ids = list(generate(model, tokenizer.encode("é").tolist(), options, end_of_text=tokenizer.end_of_text))
    assert "".join(pieces) == tokenizer.decode([token for token in ids if token != tokenizer.end_of_text])
    assert generate_text(model, tokenizer, "é", options) == "".join(pieces)
