"""`stories`: very short generated stories whose probability is known exactly.

Made for the first minute of a 1M-parameter model: a vocabulary of some hundred words, 40 to 100 words per story, a hero
who is named again before a context of 64 tokens loses the name, and one object that matters to the end. A story carries
about 22 nats: few enough to be learned on a CPU in a minute, enough that identical stories are rare. The grammar
(`story_grammar`) is written once and interpreted in two ways (`grammar.py`), so the entropy of the text is exact and
serves as the lower bound of the loss. Repeats are kept: rejecting them would change the probabilities.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from tui_gpt.corpora.stories.grammar import Generator, Interpreter, Parser
from tui_gpt.corpora.stories.plots import PLOTS, Hero

MEGABYTES = 2.0
SEED = 1


class Story(NamedTuple):
    """A story and -log p of generating exactly this one, its end included."""

    text: str
    nats: float


def generate_stories(megabytes: float = MEGABYTES, seed: int = SEED) -> Iterator[Story]:
    """Yield stories of `megabytes` (10⁶ bytes) in all. The same seed yields the same stories."""
    rng = random.Random(seed)
    left = megabytes * 1e6
    while left > 0:
        generator = Generator(rng)
        story_grammar(generator)
        left -= len(generator.text)
        yield Story(generator.text, generator.nats)


def story_nats(text: str) -> float:
    """Return -log p of a story, in nats. Raises ValueError for a text that the grammar cannot generate."""
    parser = Parser(text)
    story_grammar(parser)
    parser.finish()
    return parser.nats


# few names on purpose: pico learns to repeat one of eight after 200 to 400 steps, one of sixteen after 750
BOYS = ("Tom", "Ben", "Max", "Sam")
GIRLS = ("Mia", "Lily", "Anna", "Lucy")
OPENINGS = ("Once upon a time, there was ", "There once was ", "Long ago, there was ", "Once there was ")
KINDS = (
    *("a little girl", "a little boy", "a small rabbit", "a young fox", "a brown bear"),
    *("a gray mouse", "a yellow duck", "a clever cat", "a playful puppy", "a green frog"),
)
HOMES = (
    *("by the sea", "near a big forest", "on a farm", "on a green hill"),
    *("beside a blue lake", "in a quiet village", "next to an old mill", "in the woods"),
)


def story_grammar(interpreter: Interpreter) -> None:
    """The grammar of one story."""
    interpreter.choose(OPENINGS, (5, 2, 1, 2))
    kind = interpreter.choose(KINDS)
    interpreter.literal(" named ")
    name = interpreter.choose(GIRLS if kind == "a little girl" else BOYS if kind == "a little boy" else BOYS + GIRLS)
    hero = Hero(name, "he", "him", "his") if name in BOYS else Hero(name, "she", "her", "her")
    interpreter.literal(f". {name} lived ")
    interpreter.choose(HOMES)
    interpreter.literal(".")
    plots = {opening(hero): plot for opening, plot in PLOTS.items()}
    plots[interpreter.choose(tuple(plots))](interpreter, hero)
