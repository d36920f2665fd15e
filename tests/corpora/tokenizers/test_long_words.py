"""Training on words of any length takes time that grows with the length, not with its square."""

from __future__ import annotations

import random
import time

import pytest

from tui_gpt.corpora.tokenizers import build
from tui_gpt.corpora.tokenizers.build import LONGEST_WORD, make_tokenizer

LONG = "x" * LONGEST_WORD


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [""]),
        ("short words only " * 200, None),
        (LONG[1:] + " y", None),
        (LONG, [LONG, ""]),
        ("a " + LONG + "xx b", ["a ", LONG, "xx", " b"]),
        ("a" + "\n" * (2 * LONGEST_WORD + 1) + "b", ["a", *["\n" * LONGEST_WORD] * 2, "\n", "b"]),
    ],
)
def test_only_runs_that_are_no_words_are_cut(text: str, parts: list[str] | None) -> None:
    found = list(build._cut_long_runs([text]))
    assert "".join(found) == text
    assert [part for part in found if part] == [part for part in parts or [text] if part]


@pytest.mark.parametrize("offset", [0, 1, LONGEST_WORD // 2 - 1, LONGEST_WORD // 2, LONGEST_WORD])
def test_a_long_run_is_found_wherever_it_begins(offset: int) -> None:
    text = ("ab " * offset)[:offset] + " " + LONG + " end"
    assert max(len(part.strip()) for part in build._cut_long_runs([text])) == LONGEST_WORD
    assert len(list(build._cut_long_runs([text]))) > 1


def test_a_megabyte_without_a_blank_is_trained_on_in_seconds() -> None:
    """200,000 letters took 32 s, and a megabyte of them a quarter of an hour."""
    draw = random.Random(1)
    word = "".join(draw.choice("abcdefghij") for _ in range(1_000_000))
    started = time.process_time()
    tokenizer = make_tokenizer("bpe:300", [word], lambda *_: None)
    assert time.process_time() - started < 30
    assert tokenizer.decode(tokenizer.encode(word[:5000])) == word[:5000]
