"""Generated stories: their exact probability, and the properties of the text."""

from __future__ import annotations

import itertools
import json
import math
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.config.schema import DataConfig
from tui_gpt.corpora import find_corpus, list_corpora, prepare
from tui_gpt.corpora.stories.generator import BOYS, GIRLS, generate_stories, story_grammar, story_nats
from tui_gpt.corpora.stories.grammar import Generator, Interpreter, Parser
from tui_gpt.errors import CorpusError


def words_of(text: str) -> list[str]:
    return re.findall(r"[A-Za-z'-]+", text)


class StrictWriter(Generator):
    """Objects to a choice that a reader could take for another."""

    def choose(self, options: Sequence[str], weights: Sequence[int] = ()) -> str:
        for one, other in itertools.permutations(options, 2):
            assert not other.startswith(one), (one, other)
        assert not weights or len(weights) == len(options)
        return super().choose(options, weights)


@pytest.fixture(scope="module")
def stories():
    return list(generate_stories(1.0, seed=7))


def test_thousands_of_stories_parse_with_the_same_probability_to_the_bit(stories):
    assert len(stories) > 2000
    assert [story_nats(story.text) for story in stories] == [story.nats for story in stories]


@given(st.integers(0, 2**64))
def test_every_choice_is_unambiguous(seed):
    writer = StrictWriter(random.Random(seed))
    story_grammar(writer)
    assert story_nats(writer.text) == writer.nats


@given(st.integers(0, 2**32), st.data())
def test_text_that_is_not_a_story_is_rejected(seed, data):
    text = next(generate_stories(1e-6, seed)).text
    at = data.draw(st.integers(0, len(text)))
    for other in (text[:at] + "\x00" + text[at:], text[: min(at, len(text) - 1)], text + " "):
        with pytest.raises(ValueError):
            story_nats(other)


def test_probabilities_match_the_draws():
    def grammar(interpreter: Interpreter) -> None:
        interpreter.literal("x")
        if interpreter.choose(("a", "b"), (3, 1)) == "a":
            interpreter.choose(("c", "d", "e"))

    seen = Counter()
    nats = {}
    for seed in range(4000):
        writer = Generator(random.Random(seed))
        grammar(writer)
        seen[writer.text] += 1
        nats[writer.text] = writer.nats
        reader = Parser(writer.text)
        grammar(reader)
        assert reader.nats == writer.nats
    assert sum(math.exp(-value) for value in nats.values()) == pytest.approx(1.0)
    assert {text: math.exp(-value) for text, value in nats.items()} == pytest.approx(
        {text: count / 4000 for text, count in seen.items()}, abs=0.03
    )


def test_same_seed_generates_the_same_stories():
    assert list(generate_stories(0.01, 1)) == list(generate_stories(0.01, 1))
    assert list(generate_stories(0.01, 1)) != list(generate_stories(0.01, 2))


def test_size_is_as_requested(stories):
    assert 1e6 <= sum(len(story.text) for story in stories) < 1e6 + 1000
    assert all(story.text.isascii() for story in stories)


def test_stories_are_short_simple_and_of_low_entropy(stories):
    lengths = [len(words_of(story.text)) for story in stories]
    assert min(lengths) >= 40 and max(lengths) <= 100
    vocabulary = {word for story in stories for word in words_of(story.text)}
    assert 300 < len(vocabulary) < 900
    assert 20 < sum(story.nats for story in stories) / len(stories) < 30


def test_hero_is_named_within_every_short_context(stories):
    for story in stories:
        words = words_of(story.text)
        heard = [(place, word) for place, word in enumerate(words) if word in BOYS + GIRLS]
        assert len({word for _, word in heard}) == 1
        places = [place for place, _ in heard] + [len(words)]
        assert max(after - before for before, after in itertools.pairwise(places)) <= 30


def test_pronouns_agree_with_the_hero(stories):
    for story in stories:
        words = [word.lower() for word in words_of(story.text)]
        hero = next(word for word in words_of(story.text) if word in BOYS + GIRLS)
        assert not {"he", "him", "his"} & set(words) if hero in GIRLS else not {"she", "her"} & set(words)


def test_articles_agree_with_the_next_word(stories):
    for story in stories:
        assert not re.search(r"\b[Aa] [aeio]|\b[Aa]n [^aeio]|  ", story.text), story.text


def test_stories_rarely_repeat(stories):
    assert len({story.text for story in stories}) > 0.999 * len(stories)


def make(corpus: Path, *arguments: str) -> dict:
    command = [
        sys.executable,
        "-m",
        "tui_gpt",
        "corpus",
        "make",
        "stories",
        "--json",
        "--workspace",
        str(corpus.parent),
    ]
    return json.loads(subprocess.run([*command, *arguments], capture_output=True, text=True, check=True).stdout)


def test_stories_of_any_size_are_generated_with_their_floor(tmp_path, monkeypatch):
    monkeypatch.delenv("GPT_TUI_CACHE", raising=False)
    made = make(tmp_path / "corpus", "--megabytes", "0.2", "--seed", "5", "--tokenizer", "byte")
    assert made["name"] == "stories:0.2:5"
    source = find_corpus("stories:0.2:5", tmp_path / "corpus")
    texts = list(source.documents())
    nats = [story_nats(text) for text in texts]
    assert texts == [story.text for story in generate_stories(0.2, 5)]
    assert made["documents"] == source.count() == len(texts) and list(source.nats()) == nats
    assert made["nats"] == pytest.approx(sum(nats))
    assert made["nats_per_character"] == pytest.approx(sum(nats) / sum(map(len, texts)))
    assert made["bits_per_byte"] == pytest.approx(made["nats_per_character"] / math.log(2))

    shards = prepare(DataConfig(corpus="stories:0.2:5", tokenizer="byte"), tmp_path / "corpus", lambda *_: None)
    end = shards.tokenizer.end_of_text
    held_out = shards.tokenizer.decode(shards.val[shards.val != end].tolist())
    floor = sum(story_nats(text) for text in texts if text in held_out)
    assert made["floor_nats_per_token"] == pytest.approx(floor / shards.info.val_tokens)
    assert made["floor_nats_per_character"] == pytest.approx(floor / len(held_out))
    assert made["floor_bits_per_byte"] == pytest.approx(floor / len(held_out) / math.log(2))
    names = {entry.name: entry.kind for entry in list_corpora(tmp_path / "corpus")}
    assert names["stories:0.2:5"] == "made"


@pytest.mark.parametrize("name", ["stories:", "stories:0", "stories:x", "stories:1:x", "stories:1:2:3", "stories:-1"])
def test_stories_of_invalid_size_are_rejected(name, tmp_path):
    with pytest.raises(CorpusError, match="stories:MEGABYTES"):
        find_corpus(name, tmp_path)


class NGram:
    """A model of words, interpolated over its orders (Witten and Bell 1991), and a proper one: stories sum to 1."""

    def __init__(self, order: int) -> None:
        self.order = order
        self.counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)

    def learn(self, text: str) -> None:
        for before, word in self._steps(text):
            for context in before:
                self.counts[context][word] += 1

    def nats(self, text: str) -> float:
        total = 0.0
        for before, word in self._steps(text):
            p = 256.0 ** -(len(word) + 1)  # a word never seen is spelled out, and ended
            for seen in filter(None, map(self.counts.get, before)):
                p = (seen[word] + len(seen) * p) / (seen.total() + len(seen))
            total -= math.log(p)
        return total

    def _steps(self, text: str) -> Iterator[tuple[list[tuple[str, ...]], str]]:
        """Each word after its contexts, the shortest first."""
        words = ["\0", *re.findall(r" ?[A-Za-z'-]+|[^A-Za-z'-]", text), "\0"]
        for at in range(1, len(words)):
            yield [tuple(words[at - length : at]) for length in range(min(self.order, at + 1))], words[at]


def test_n_gram_models_stay_above_the_floor(stories):
    """A model that has not seen them falls t nats below it, in all, with a chance of at most exp(-t): by Markov's
    inequality, since the mean of q / p under p is at most 1. With 20 nats of room that is one in 480 million.
    """
    known, unknown = stories[:-200], stories[-200:]
    floor = sum(story.nats for story in unknown)
    scores = []
    for order in (1, 2, 4, 8):
        model = NGram(order)
        for story in known:
            model.learn(story.text)
        scores.append(sum(model.nats(story.text) for story in unknown))
    assert scores == sorted(scores, reverse=True)
    assert floor - 20 < scores[-1] < 2.5 * floor
