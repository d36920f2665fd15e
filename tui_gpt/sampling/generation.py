"""Text generation with a key-value cache.

Beyond the context of the model the window slides: when the cache is full, the last seven eighths of the window are
processed again, so that a long text costs one forward pass over the window for each eighth of it.
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
    """Options of a generation of at most `tokens` tokens. Temperature 0 is greedy; filters are off by default.

    ignore_end: continue after end of text, with the next document.
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
        """Return the options of a run's config, with `seed`."""
        return cls(config.tokens, config.temperature, config.top_k, config.top_p, config.min_p, seed)


def generate(
    model: GPT,
    prompt: Sequence[int],
    options: SamplingOptions,
    *,
    end_of_text: int | None = None,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[int]:
    """Yield token ids that continue `prompt` (at least one id), up to `options.tokens` or end of text, inclusive.

    Put the model in evaluation mode first. Uses its own random generator, seeded by `options.seed`.
    """
    for (token,) in generate_batch(model, prompt, options, 1, end_of_text=end_of_text, autocast=autocast):
        assert token is not None
        yield token


@torch.inference_mode()
def generate_batch(
    model: GPT,
    prompt: Sequence[int],
    options: SamplingOptions,
    count: int,
    *,
    end_of_text: int | None = None,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[list[int | None]]:
    """Yield the next token of each of `count` completions of one prompt, None for one that has ended.

    Completion i has the seed `options.seed + i`, and the tokens of `generate` with that seed, within rounding. The
    prompt is processed once, and the weights are read once for the next tokens of all.
    """
    device, capacity = model.embedding.weight.device, model.config.context_length
    dtype = torch.float32 if device.type == "cpu" else model.embedding.weight.dtype
    generators = [torch.Generator().manual_seed(options.seed + index) for index in range(count)]
    texts = [list(prompt) for _ in range(count)]
    running = [True] * count
    cache = KVCache(model.config, 1, capacity, device=device, dtype=dtype)
    unread = [text[-capacity:] for text in texts[:1]]  # one row for all while they are alike
    for _ in range(options.tokens):
        if cache.length + len(unread[0]) > capacity:
            cache.clear()
            unread = [text[-max(1, capacity - capacity // 8) :] for text in texts]
        with autocast():
            logits = model(torch.tensor(unread, device=device), cache=cache)[:, -1].float().cpu()
        if len(unread) < count:
            cache, logits = cache.repeat(count), logits.expand(count, -1)
        tokens: list[int | None] = [None] * count
        for index, text in enumerate(texts):
            if not running[index]:
                text.append(text[-1])  # keeps the rows alike in length
                continue
            tokens[index] = token = sample_token(
                logits[index],
                generators[index],
                temperature=options.temperature,
                top_k=options.top_k,
                top_p=options.top_p,
                min_p=options.min_p,
            )
            text.append(token)
            running[index] = options.ignore_end or token != end_of_text
        yield tokens
        if not any(running):
            return
        unread = [text[-1:] for text in texts]


def prompt_tokens(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Return the tokens of a prompt; for an empty one the end-of-text token, which precedes every document."""
    return [int(token) for token in tokenizer.encode(prompt)] or [tokenizer.end_of_text]


def stream_text(model: GPT, tokenizer: Tokenizer, prompt: str, options: SamplingOptions) -> Iterator[str]:
    """Yield the generated text in pieces, which never end within a character. End of text becomes a blank line."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for token in generate(model, prompt_tokens(tokenizer, prompt), options, end_of_text=tokenizer.end_of_text):
        if token == tokenizer.end_of_text:
            yield decoder.decode(b"", final=True) + ("\n\n" if options.ignore_end else "")
            decoder.reset()
        else:
            yield decoder.decode(tokenizer.decode_bytes([token]))
    yield decoder.decode(b"", final=True)


def generate_text(model: GPT, tokenizer: Tokenizer, prompt: str, options: SamplingOptions) -> str:
    """Return the generated text."""
    return "".join(stream_text(model, tokenizer, prompt, options))
