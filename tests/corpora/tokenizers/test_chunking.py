"""Chunking never changes a token and does not depend on how the text is read."""

from __future__ import annotations

from functools import cache

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_gpt.corpora.sources.formats import Piece
from tui_gpt.corpora.stories.generator import generate_stories
from tui_gpt.corpora.tokenizers import chunking
from tui_gpt.corpora.tokenizers.build import make_tokenizer
from tui_gpt.corpora.tokenizers.chunking import Chunk, boundary_for_pattern, chunks, find_boundary
from tui_gpt.corpora.tokenizers.tokenizer import GPT2_PATTERN
from tui_gpt.errors import CorpusError

# as tiktoken and published tokenizers write them
PATTERNS = {
    "gpt2": GPT2_PATTERN,
    "first gpt2": r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    "cl100k": r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|"""
    r"""\s*[\r\n]|\s+(?!\S)|\s""",
    "llama": r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"""
    r"""\s*[\r\n]+|\s+(?!\S)|\s+""",
    "qwen": r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"""
    r"""\s+(?!\S)|\s+""",
    "o200k": r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"""
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"""
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"""
    r"""\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
}
texts = st.one_of(
    st.text(st.sampled_from("aB'sS1.,:?! \n\t\r\x1c\xa0\u2028\u3000é日。\u0301/<"), max_size=120),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.lists(st.sampled_from(["don't", "DON'T", "it's", "12.5", "3:", " ", "\n", "  ", "x", "?!", "日本。"])).map(
        "".join
    ),
)


@cache
def encoding(name: str) -> tiktoken.Encoding:
    made = make_tokenizer("bpe:700", [story.text for story in generate_stories(0.02)], lambda *_: None)
    return tiktoken.Encoding(name, pat_str=PATTERNS[name], mergeable_ranks=made.ranks, special_tokens={})


@pytest.mark.parametrize("name", PATTERNS)
@settings(max_examples=300)
@given(texts, st.integers(1, 60))
def test_splitting_at_any_boundary_keeps_the_tokens(name, text, after):
    cuts = boundary_for_pattern(PATTERNS[name])
    assert cuts == "words"
    place = find_boundary(text, after, cuts)
    if place is not None:
        assert after <= place < len(text)
        parts = [encoding(name).encode(part) for part in (text[:place], text[place:])]
        assert parts[0] + parts[1] == encoding(name).encode(text)


@pytest.mark.parametrize("pattern", [r"\S+ \S+|\s", r"[\s\S]{1,9}", r" ?\p{L}+ |\s+", r"\w+|\W+", r"a:b|\s+"])
def test_documents_are_not_split_for_unknown_patterns(pattern):
    assert boundary_for_pattern(pattern) == "never"
    assert find_boundary("one two three", 1, "never") is None


def pieces(documents: list[str], sizes: list[int]) -> list[Piece]:
    found, turn = [], 0
    for document in documents:
        start = 0
        while start < len(document) or not start:
            size = sizes[turn % len(sizes)]
            found.append(Piece(document[start : start + size], start == 0, "here"))
            start, turn = start + size, turn + 1
    return found


documents = st.lists(st.text(st.sampled_from("ab, \n"), max_size=80), min_size=1, max_size=8)
steps = st.lists(st.integers(1, 40), min_size=1, max_size=4)


@pytest.mark.parametrize("cuts", ["anywhere", "words", "never"])
@given(documents, steps, steps, st.integers(1, 40))
def test_chunks_contain_all_documents_and_do_not_depend_on_pieces(cuts, documents, one, other, size):
    found = list(chunks(pieces(documents, one), cuts, size))
    assert found == list(chunks(pieces(documents, other), cuts, size))
    joined = "".join("\0".join(chunk.texts) + "\0" * chunk.ends for chunk in found)
    assert joined.split("\0") == [*documents, ""]
    if cuts == "anywhere":
        assert max(sum(map(len, chunk.texts)) for chunk in found) <= size


def test_chunks_have_about_the_requested_size():
    found = list(chunks([Piece("four five\nsix " * 1000, True, "")], "words", 100))
    assert len(found) > 100 and max(len(chunk.texts[0]) for chunk in found) < 110
    assert [chunk.ends for chunk in found] == [False] * (len(found) - 1) + [True]
    assert list(chunks([Piece("x" * 1000, True, "")], "words", 100)) == [Chunk(["x" * 1000], True)]


def test_endless_word_is_rejected_with_its_origin(monkeypatch):
    monkeypatch.setattr(chunking, "LONGEST_WORD", 1000)
    endless = (Piece("x" * 100, n == 0, "log.txt") for n in range(50))
    with pytest.raises(CorpusError, match=r"log\.txt: not text: 1,000 characters without a blank"):
        list(chunks(endless, "words", 10))
