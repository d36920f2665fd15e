"""Sampling strategies: greedy, temperature, top-k, top-p (Holtzman et al. 2020), min-p (Nguyen et al. 2024)."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_token(
    logits: Tensor,
    generator: torch.Generator,
    *,
    temperature: float,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
) -> int:
    """Sample a token id from logits (vocab_size,), fp32 on the CPU.

    Filters apply to the probabilities after temperature, and always keep the most likely token. NaN logits, as of a
    diverged model, are never sampled; if no logit is finite, return the argmax.
    """
    logits = logits.nan_to_num(nan=-torch.inf, posinf=torch.finfo(logits.dtype).max)
    if temperature == 0 or not torch.isfinite(logits).any():
        return int(logits.argmax())
    logits = (logits - logits.max()) / temperature
    if 0 < top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(top_k).values[-1], -torch.inf)
    probabilities = logits.softmax(-1)
    if min_p > 0:
        probabilities = probabilities.where(probabilities >= min_p * probabilities.max(), 0.0)
    if top_p < 1:
        ordered, order = probabilities.sort(descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        probabilities[order[before >= top_p * ordered.sum()]] = 0.0
    return int(torch.multinomial(probabilities, 1, generator=generator))
