"""Evaluation: loss, perplexity and bits per byte on a split.

Each token is scored once, in windows or packed documents as in training, or a part of these rows is scored. Bits per
byte divide by the raw bytes of the scored tokens, which makes models with different tokenizers comparable; end of text
has no bytes, but its loss counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tui_gpt.corpora import Tokenizer
from tui_gpt.model import GPT
from tui_gpt.run.messages import Eval, finite
from tui_gpt.training.data.batches import BatchLoader, MicroBatch, StepBatch, to_device
from tui_gpt.training.out_of_memory import skip_on_oom

PASSES_PER_CLOCK_READING = 16


@torch.no_grad()
def evaluate(
    model: GPT,
    batches: BatchLoader,
    byte_lengths: np.ndarray,
    *,
    step: int,
    max_tokens: int,
    autocast: Callable[[], AbstractContextManager],
    interrupted: Callable[[], bool] = lambda: False,
    at_most_seconds: float | None = None,
    report: Callable[[float], object] = lambda fraction: None,
    now: Callable[[], float] = time.perf_counter,
) -> Eval | None:
    """Score an epoch of `batches`, or about `max_tokens` of it (0 for all). Return None if interrupted.

    byte_lengths: raw bytes of each token id, (vocab_size,). interrupted: polled before each forward pass. Where memory
    runs out, fewer rows are scored at once. at_most_seconds: end after this time, by the clock `now`, with what has
    been scored by then. report: called with the fraction done, before each batch.
    """
    started = now()
    device = model.embedding.weight.device
    lengths = torch.from_numpy(byte_lengths.astype(np.int64)).to(device)
    scores: list[Tensor] = []  # of each forward pass: loss in nats, on the device, so that the host does not wait
    scored_bytes = torch.zeros((), dtype=torch.int64, device=device)
    rows = min(batches.rows, max(1, max_tokens // batches.context)) if max_tokens else batches.rows
    scored, was_training, at_once = 0, model.training, batches.sequences

    def score(batch: StepBatch) -> tuple[Tensor, Tensor, int]:
        (micro_batch,) = to_device(batch, 1, device)
        with autocast():
            loss = model(micro_batch.inputs, micro_batch.targets, documents=micro_batch.documents)
        counted = (lengths[micro_batch.targets.clamp_min(0)] * (micro_batch.targets >= 0)).sum()
        return loss, counted, micro_batch.num_targets

    model.eval()
    try:
        for first in range(0, rows, batches.sequences):
            report(first / rows)
            if at_most_seconds is not None and len(scores) % PASSES_PER_CLOCK_READING == PASSES_PER_CLOCK_READING - 1:
                scores[-1].item()  # wait for the device, which may be far behind
                if now() - started > at_most_seconds:
                    rows = first
                    break
            batch, begin = batches.batch(first // batches.sequences + 1).rows(0, rows - first), 0
            while begin < len(batch.inputs):
                if interrupted():
                    return None
                found = skip_on_oom(partial(score, batch.rows(begin, begin + at_once)))
                if found is None and at_once == 1:
                    raise torch.OutOfMemoryError("out of memory with one sequence")
                if found is None:
                    at_once = max(1, at_once // 2)
                    continue
                loss, counted, targets = found
                scores.append(loss)
                scored_bytes += counted
                scored += targets
                begin += at_once
    finally:
        model.train(was_training)
    # Summed in double precision, which not every device has.
    nats, total_bytes = sum(torch.stack(scores).tolist()), int(scored_bytes)
    val_loss, non_finite = finite(nats / scored)
    return Eval(
        step=step,
        val_loss=val_loss,
        perplexity=math.exp(val_loss) if val_loss is not None and val_loss < 700 else None,
        bits_per_byte=nats / math.log(2) / total_bytes if val_loss is not None and total_bytes else None,
        tokens=scored,
        whole=rows == batches.rows,
        seconds=now() - started,
        non_finite=non_finite,
    )


@torch.no_grad()
def highest_loss_text(
    model: GPT,
    micro_batches: Sequence[MicroBatch],
    tokenizer: Tokenizer,
    autocast: Callable[[], AbstractContextManager],
) -> str:
    """Return the text of the sequence that has the highest loss."""
    highest, text, was_training = -math.inf, "", model.training
    model.eval()
    try:
        for micro_batch in micro_batches:
            for row, inputs in enumerate(micro_batch.inputs):
                documents = None if micro_batch.documents is None else micro_batch.documents[row, None]
                with autocast():
                    loss = float(model(inputs[None], micro_batch.targets[row, None], documents=documents))
                loss = math.inf if math.isnan(loss) else loss
                if loss > highest:
                    highest, text = loss, tokenizer.decode(inputs.tolist())
    finally:
        model.train(was_training)
    return text
