"""Fused output head and cross-entropy, computed in chunks of tokens, so that the full logits are never stored.

With GPT-2's vocabulary the logits and their gradient are the largest tensors of a step. Here the gradients of each
chunk are computed together with its loss (as in Liger Kernel's fused linear cross-entropy, Hsu et al. 2024): the same
arithmetic in the memory of one chunk. Small models also save autograd's passes over these tensors.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_LOGITS = 1 << 27  # elements in fp32 (0.5 GiB): enough work for a GPU
CHUNK_LOGITS_CPU = 1 << 23  # as fast on a CPU, with a sixteenth of the memory


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, vocab_size: int, logit_cap: float) -> Tensor:
    """Return the sum of the cross-entropies in nats, a scalar in fp32 (or wider).

    hidden: (…, n_embd). weight: (rows, n_embd), rows ≥ vocab_size; further rows are padding and are ignored.
    targets: (…) int64; negative targets are ignored. logit_cap: soft cap of the logits; 0 turns it off.
    """
    loss: Tensor = _LinearCrossEntropy.apply(hidden.flatten(0, -2), weight, targets.flatten(), vocab_size, logit_cap)
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, vocab_size: int, logit_cap: float) -> Tensor:
        wants_grad = any(ctx.needs_input_grad[:2])
        wide = torch.promote_types(hidden.dtype, torch.float32)
        loss = torch.zeros((), dtype=wide, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if wants_grad else None
        grad_weight = torch.zeros_like(weight) if wants_grad else None
        chunk = CHUNK_LOGITS_CPU if hidden.device.type == "cpu" else CHUNK_LOGITS
        rows = max(1, chunk // weight.shape[0])
        for start in range(0, hidden.shape[0], rows):
            part, target = hidden[start : start + rows], targets[start : start + rows, None]
            counts = target >= 0
            target = target.clamp_min(0)
            raw = F.linear(part, weight)
            logits = raw.to(wide)
            if logit_cap:
                logits.div_(logit_cap).tanh_().mul_(logit_cap)
            logits[:, vocab_size:] = -torch.inf
            log_probabilities = logits.log_softmax(-1)
            loss -= (log_probabilities.gather(-1, target) * counts).sum()
            if grad_hidden is None or grad_weight is None:
                continue
            grad = log_probabilities.exp_()
            grad.scatter_add_(-1, target, torch.full_like(target, -1, dtype=wide))
            grad *= counts
            if logit_cap:
                grad *= logits.div_(logit_cap).square_().neg_().add_(1)
                grad[:, vocab_size:] = 0
            grad = grad.to(raw.dtype)
            grad_hidden[start : start + rows] = grad @ weight.to(raw.dtype)
            if raw.dtype == grad_weight.dtype:
                grad_weight.addmm_(grad.T, part)
            else:  # under autocast: products in low precision, their sum in fp32
                grad_weight += grad.T @ part.to(raw.dtype)
        if wants_grad:
            ctx.save_for_backward(grad_hidden, grad_weight)
        return loss

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> tuple[Tensor | None, ...]:
        (grad_loss,) = outputs
        grad_hidden, grad_weight = ctx.saved_tensors
        return (
            grad_hidden * grad_loss.to(grad_hidden.dtype),
            grad_weight * grad_loss.to(grad_weight.dtype),
            None,
            None,
            None,
        )
