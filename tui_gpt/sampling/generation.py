"""Text from a model, a token at a time.

Keys and values of what was seen are cached. Past the model's context the window slides: when the cache is full, the
last seven eighths of the text are read anew, so a long text costs one more look at the window for each eighth of it.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from tui_gpt.config import SamplingConfig
from tui_gpt.corpora import Tokenizer
from tui_gpt.model import GPT, KVCache
from tui_gpt.sampling.strategies import sample_token


@dataclass(frozen=True)
class SamplingOptions:
    """How to draw: at most `tokens` tokens, temperature 0 for greedy, filters off by default.

    ignore_end: go on past end of text; the next document begins.
    """

    tokens: int = 128
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    ignore_end: bool = False

    @classmethod
    def of(cls, config: SamplingConfig, seed: int) -> SamplingOptions:
        return cls(config.tokens, config.temperature, config.top_k, config.top_p, config.min_p, seed)


@torch.inference_mode()
def generate(
    model: GPT,
    prompt: Sequence[int],
    options: SamplingOptions,
    *,
    end_of_text: int | None = None,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[int]:
    """Token ids that continue `prompt` (one id at least), until `options.tokens` or end of text, which is yielded too.

    The model keeps its mode: put it in evaluation mode first. Draws from a generator of its own.
    """
    device = model.embedding.weight.device
    capacity = model.config.context_length
    dtype = model.embedding.weight.dtype
    cache = KVCache(model.config, 1, capacity, device=device, dtype=dtype)
    generator = torch.Generator().manual_seed(options.seed)
    text = list(prompt)
    unread = text[-capacity:]
    for _ in range(options.tokens):
        if cache.length + len(unread) > capacity:
            cache.clear()
            unread = text[-max(1, capacity - capacity // 8) :]
        with autocast():
            logits = model(torch.tensor([unread], device=device), cache=cache)
        token = sample_token(
            logits[0, -1].float().cpu(),
            generator,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            min_p=options.min_p,
        )
        yield token
        if token == end_of_text and not options.ignore_end:
            return
        text.append(token)
        unread = [token]


def prompt_tokens(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """The prompt's tokens; for an empty prompt, the end of text that every document's start follows."""
    return [int(token) for token in tokenizer.encode(prompt)] or [tokenizer.end_of_text]


def stream_text(model: GPT, tokenizer: Tokenizer, prompt: str, options: SamplingOptions) -> Iterator[str]:
    """The continuation, piece by piece; a piece never ends inside a character. End of text reads as a blank line."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for token in generate(model, prompt_tokens(tokenizer, prompt), options, end_of_text=tokenizer.end_of_text):
        if token == tokenizer.end_of_text:
            yield decoder.decode(b"", final=True) + ("\n\n" if options.ignore_end else "")
            decoder.reset()
        else:
            yield decoder.decode(tokenizer.decode_bytes([token]))
    yield decoder.decode(b"", final=True)


def generate_text(model: GPT, tokenizer: Tokenizer, prompt: str, options: SamplingOptions) -> str:
    """The continuation as one text."""
    return "".join(stream_text(model, tokenizer, prompt, options))
