"""Evaluation scores each token once, in windows and in packed documents."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Literal

import numpy as np
import pytest
import torch

from tui_gpt.config import ModelConfig
from tui_gpt.model import GPT
from tui_gpt.training.data.batches import BatchLoader, CorpusPart
from tui_gpt.training.measuring.evaluation import PASSES_PER_CLOCK_READING, evaluate


def eval_loader(
    tokens: np.ndarray, sequences: int, mode: Literal["windows", "packed"] = "windows", starts=(0,)
) -> BatchLoader:
    parts = [CorpusPart(0, len(tokens), np.array(starts))]
    context = min(16, len(tokens) - 1)
    return BatchLoader(tokens, mode, context, sequences, 0, parts=parts, end_of_text=49)


@pytest.mark.parametrize("length", [3, 16, 17, 50, 81])
def test_an_evaluation_scores_every_token_once(length: int) -> None:
    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=16, context_length=16), 50)
    tokens = np.random.default_rng(length).integers(0, 50, length).astype(np.uint16)
    lengths = np.full(50, 2)
    result = evaluate(model, eval_loader(tokens, 3), lengths, step=1, max_tokens=0, autocast=nullcontext)
    assert result is not None and result.whole and result.tokens == length - 1
    assert model.training
    context = min(16, length - 1)
    last = (length - 2) // context * context  # where the last row's own targets begin; it sees what is before them
    with torch.no_grad():
        nats = sum(
            model(torch.tensor([tokens[s:e].tolist()]), torch.tensor([tokens[s + 1 : e + 1].tolist()])).item()
            for s in range(0, last, context)
            for e in [s + context]
        )
        targets = torch.tensor([tokens[-context:].tolist()])
        targets[:, : last - (length - 1 - context)] = -1
        nats += model(torch.tensor([tokens[-context - 1 : -1].tolist()]), targets).item()
    assert result.val_loss == pytest.approx(nats / (length - 1), rel=1e-5)
    assert result.bits_per_byte == pytest.approx(result.val_loss / math.log(2) / 2, rel=1e-6)
    assert result.perplexity == pytest.approx(math.exp(result.val_loss))


def test_an_evaluation_of_packed_documents_scores_each_document_separately() -> None:
    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=16, context_length=16), 50)
    tokens = np.random.default_rng(0).integers(0, 49, 40).astype(np.uint16)
    tokens[[6, 19, 39]] = 49
    batches = eval_loader(tokens, 4, "packed", starts=(0, 7, 20))
    batches.attend_across_documents = False
    result = evaluate(model, batches, np.ones(50), step=1, max_tokens=0, autocast=nullcontext)
    assert result is not None and result.whole and result.tokens == 40
    alone = 0.0
    for document in np.split(tokens, [7, 20]):
        rows = [document[at : at + 16].tolist() for at in range(0, len(document), 16)]
        before = 49
        for row in rows:
            with torch.no_grad():
                alone += model(torch.tensor([[before, *row[:-1]]]), torch.tensor([row])).item()
            before = row[-1]
    assert result.val_loss == pytest.approx(alone / 40, rel=1e-5)


def test_an_evaluation_reports_the_fraction_done() -> None:
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=16, context_length=16), 50)
    told: list[float] = []
    batches = eval_loader(np.zeros(161, np.uint16), 4)
    evaluate(model, batches, np.ones(50), step=1, max_tokens=0, autocast=nullcontext, report=told.append)
    assert told == [0.0, 0.4, 0.8]


def test_an_evaluation_of_a_part_is_marked() -> None:
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=16, context_length=16), 50)
    batches = eval_loader(np.zeros(1025, np.uint16), 4)
    result = evaluate(model, batches, np.ones(50), step=1, max_tokens=100, autocast=nullcontext)
    assert result is not None and not result.whole and result.tokens == 96


def test_an_evaluation_ends_at_its_time_limit_and_is_marked() -> None:
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=16, context_length=16), 50)
    batches = eval_loader(np.zeros(6401, np.uint16), 4)  # 100 passes
    seconds = iter(range(10_000))
    result = evaluate(
        model, batches, np.ones(50), step=1, max_tokens=0, autocast=nullcontext,
        at_most_seconds=2.5, now=lambda: float(next(seconds)),
    )  # fmt: skip
    assert result is not None and not result.whole
    assert result.tokens == (3 * PASSES_PER_CLOCK_READING - 1) * 64  # the third reading of the clock says 3 seconds
