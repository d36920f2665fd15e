"""Samples of a run: text that the model generates as it trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager

from tui_gpt.config import SamplingConfig
from tui_gpt.corpora import Tokenizer
from tui_gpt.model import GPT
from tui_gpt.run.messages import Sample
from tui_gpt.sampling import SamplingOptions, generate
from tui_gpt.sampling.generation import prompt_tokens


def sample_text(
    model: GPT,
    tokenizer: Tokenizer,
    config: SamplingConfig,
    prompt: str,
    *,
    step: int,
    seed: int,
    max_tokens: int | None,
    autocast: Callable[[], AbstractContextManager],
    interrupted: Callable[[], bool],
) -> Sample | None:
    """Return the text after `prompt`, of at most `max_tokens`, or None if interrupted. Has its own random generator.

    interrupted: polled after each token.
    """
    options = SamplingOptions.of(config, seed)
    if max_tokens is not None:
        options = dataclasses.replace(options, tokens=min(options.tokens, max_tokens))
    end, was_training = tokenizer.end_of_text, model.training
    tokens: list[int] = []
    model.eval()
    try:
        for token in generate(model, prompt_tokens(tokenizer, prompt), options, end_of_text=end, autocast=autocast):
            tokens.append(token)
            if interrupted():
                return None
    finally:
        model.train(was_training)
    return Sample(
        step=step,
        prompt=prompt,
        text=tokenizer.decode([token for token in tokens if token != end]),
        seed=seed,
        tokens=len(tokens),
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        ended=end in tokens,
    )
