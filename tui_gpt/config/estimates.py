"""Estimates of a config's cost in closed form: parameters, FLOPs and memory."""

from __future__ import annotations

import sys

from tui_gpt.config.schema import Config, ModelConfig

OPENAI_VOCABULARIES = {
    "gpt2": 50257,
    "r50k_base": 50257,
    "p50k_base": 50281,
    "cl100k_base": 100258,  # up to the end-of-text token
    "o200k_base": 200000,
}


MAX_EVAL_TOKENS = 10_000_000  # the standard error of the loss is then below 0.001
MAX_FINAL_EVAL_SECONDS = 300.0


def eval_tokens(configured: int, val_tokens: int, trained_tokens: int | None = None) -> int:
    """Return how many validation tokens an evaluation scores. trained_tokens: of the run, for its last evaluation.

    The last one scores as many as were trained on, at most 10M, or as many as are configured if that is more.
    """
    most = configured or MAX_EVAL_TOKENS
    if configured and trained_tokens is not None:
        most = max(configured, min(trained_tokens, MAX_EVAL_TOKENS))
    return min(val_tokens, most)


def describe_final_eval(config: Config, val_tokens: int | None, trained_tokens: int | None) -> str:
    """Return the bound of the last evaluation in words. Arguments as in `eval_tokens`, None where unknown."""
    trained = MAX_EVAL_TOKENS if trained_tokens is None else trained_tokens
    tokens = eval_tokens(config.training.eval_tokens, val_tokens or sys.maxsize, trained)
    whole = " (all)" if tokens == val_tokens else f" of {val_tokens:,}" if val_tokens else ""
    minutes = MAX_FINAL_EVAL_SECONDS / 60
    return f"last evaluation: at most {tokens:,}{whole} validation tokens and {minutes:.0f} minutes"


def vocab_size_of(tokenizer: str) -> int | None:
    """Return the vocabulary size that a tokenizer's name implies, None if it depends on the text."""
    if tokenizer == "byte":
        return 257
    if tokenizer in OPENAI_VOCABULARIES:
        return OPENAI_VOCABULARIES[tokenizer]
    kind, _, number = tokenizer.partition(":")
    return int(number) if kind == "bpe" and number.isdigit() else None


def parameters(model: ModelConfig, vocab_size: int) -> int:
    """Return the number of parameters of the GPT. A tied head counts once; vocabulary padding does not count."""
    return embedding_parameters(model, vocab_size) + block_parameters(model) + head_parameters(model, vocab_size)


def embedding_parameters(model: ModelConfig, vocab_size: int) -> int:
    """Return the number of parameters of the token, position and value embeddings."""
    positions = model.context_length if model.architecture == "gpt2" else 0
    tables = (model.n_layer + 1) // 2 if model.value_embeddings else 0
    return (vocab_size + positions) * model.n_embd + tables * vocab_size * _key_width(model)


def head_parameters(model: ModelConfig, vocab_size: int) -> int:
    """Return the number of parameters of the output head, 0 if it is tied."""
    return 0 if model.tied else vocab_size * model.n_embd


def block_parameters(model: ModelConfig) -> int:
    """Return the number of parameters of all blocks and of the final norm."""
    width = model.n_embd
    queries = width + 2 * _key_width(model)
    mlp = 3 * width * swiglu_width(width) if model.mlp == "swiglu" else 8 * width * width
    matrices = width * queries + width * width + mlp
    if model.architecture == "modern":
        return model.n_layer * matrices
    biases_and_norms = queries + width + 5 * width + 4 * width
    return model.n_layer * (matrices + biases_and_norms) + 2 * width


def swiglu_width(n_embd: int) -> int:
    """Return the hidden width of a SwiGLU with as many parameters as an MLP of width 4 · n_embd, rounded to a multiple
    of 16.
    """
    return -(-8 * n_embd // 48) * 16


def _key_width(model: ModelConfig) -> int:
    return (model.n_kv_head or model.n_head) * (model.n_embd // model.n_head)


def flops_per_token(model: ModelConfig, vocab_size: int) -> float:
    """Return the FLOPs of the forward and backward pass per token (PaLM, appendix B: 6 N + 12 L C T).

    Look-ups are free, so the embedding counts only as the head.
    """
    matmul_parameters = block_parameters(model) + vocab_size * model.n_embd
    return 6.0 * matmul_parameters + 12.0 * model.n_layer * model.n_embd * model.context_length


def window_step(mode: str, stride: int, context: int) -> int:
    """Return the tokens between the starts of consecutive windows for `data.mode` and `data.stride`."""
    return (stride or max(1, context // 2)) if mode == "sliding" else context


def rows_per_epoch(tokens: int, context: int, step: int) -> int:
    """Return how many windows of `context` tokens, one every `step`, predict each of `tokens` but the first."""
    return 1 + max(0, -(-(tokens - 1 - context) // step))


def memory_bytes(config: Config, vocab_size: int) -> int:
    """Return a rough upper estimate of the training memory: weights, gradients, AdamW's two moments and activations.

    Activations are counted without fusion: about 34 widths of the compute type per token and layer and nothing
    quadratic (flash attention). Logits are counted twice in fp32, as values and gradient.
    """
    count = parameters(config.model, vocab_size)
    tokens = config.training.micro_batch_size * config.model.context_length
    element = 4 if config.training.precision == "fp32" else 2
    activations = tokens * config.model.n_layer * config.model.n_embd * 34 * element
    return count * 16 + activations + tokens * vocab_size * 4 * 2
