"""How well the model predicts text that it was not trained on.

Every validation token but the first is scored once, in non-overlapping windows, or a stated sample of those windows,
evenly spread. Bits per byte count the raw bytes that the scored tokens stand for, so that models with different
tokenizers compare; end of text stands for no byte, yet its loss counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

from tui_gpt.model import GPT
from tui_gpt.run.messages import Eval, finite

MIN_TOKENS = 8192  # of one forward pass


@torch.no_grad()
def evaluate(
    model: GPT,
    tokens: np.ndarray,
    byte_lengths: np.ndarray,
    *,
    step: int,
    batch_size: int,
    max_tokens: int,
    autocast: Callable[[], AbstractContextManager],
    interrupted: Callable[[], bool] = lambda: False,
) -> Eval | None:
    """Score `tokens` (at least 2), about `max_tokens` of them (0: all); None when interrupted.

    byte_lengths: raw bytes of each token id, shape (vocab_size,).
    """
    started = time.perf_counter()
    device = model.embedding.weight.device
    lengths = torch.from_numpy(byte_lengths.astype(np.int64)).to(device)
    nats = torch.zeros((), dtype=torch.float64, device=device)
    scored_bytes = torch.zeros((), dtype=torch.int64, device=device)
    scored, was_training = 0, model.training
    model.eval()
    try:
        for inputs, targets in _batches(tokens, model.config.context_length, batch_size, max_tokens, device):
            if interrupted():
                return None
            with autocast():
                loss = model(inputs, targets)
            nats += loss.double()
            scored_bytes += lengths[targets].sum()
            scored += targets.numel()
    finally:
        model.train(was_training)
    total_nats, total_bytes = float(nats), int(scored_bytes)
    val_loss, non_finite = finite(total_nats / scored)
    return Eval(
        step=step,
        val_loss=val_loss,
        perplexity=math.exp(val_loss) if val_loss is not None and val_loss < 700 else None,
        bits_per_byte=total_nats / math.log(2) / total_bytes if val_loss is not None and total_bytes else None,
        tokens=scored,
        whole=scored == len(tokens) - 1,
        seconds=time.perf_counter() - started,
        non_finite=non_finite,
    )


def _batches(
    tokens: np.ndarray, context: int, batch_size: int, max_tokens: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """(inputs, targets) of equal windows, then of the shorter last one."""
    context = min(context, len(tokens) - 1)
    batch_size = max(batch_size, MIN_TOKENS // context)  # without gradients there is room for more
    starts = np.arange(0, len(tokens) - context, context)
    rest = (len(tokens) - 1) % context
    if max_tokens and max_tokens < len(tokens) - 1:
        wanted = max(1, max_tokens // context)
        starts, rest = starts[np.linspace(0, len(starts) - 1, wanted).round().astype(int)], 0
    for first in range(0, len(starts), batch_size):
        places = starts[first : first + batch_size, None] + np.arange(context + 1)
        window = torch.from_numpy(tokens[places].astype(np.int64)).to(device)
        yield window[:, :-1].contiguous(), window[:, 1:].contiguous()
    if rest:
        window = torch.from_numpy(np.asarray(tokens[-rest - 1 :]).astype(np.int64)).to(device)[None]
        yield window[:, :-1].contiguous(), window[:, 1:].contiguous()
