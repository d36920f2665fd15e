"""`stories`: very short children's stories whose exact probability is known.

Made for the first minute of a 1M-parameter model: some hundreds of words, 40 to 100 of them a story, one hero named
again before a context of 64 tokens forgets the name, one object that matters to the end. A story costs about 22 nats:
little enough to be learned on a CPU while one watches, enough that two stories alike hardly ever meet. The grammar
(`story_grammar`) is written once; generating and parsing interpret it (`grammar.py`), so the entropy of the text is
exact and is drawn as the floor under the loss. Repeats are kept: rejecting them would change the probabilities.
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
    """A story and -log p of having told exactly this one, its end included."""

    text: str
    nats: float


def generate_stories(megabytes: float = MEGABYTES, seed: int = SEED) -> Iterator[Story]:
    """Stories of `megabytes` (10⁶ bytes) in all, the same ones for the same seed."""
    rng = random.Random(seed)
    left = megabytes * 1e6
    while left > 0:
        writer = Generator(rng)
        story_grammar(writer)
        left -= len(writer.text)
        yield Story(writer.text, writer.nats)


def story_nats(text: str) -> float:
    """-log p of a story, in nats. Raises ValueError for a text that is not one."""
    reader = Parser(text)
    story_grammar(reader)
    reader.finish()
    return reader.nats


# few names on purpose: pico learns to keep to one of eight after 200 to 400 steps, to one of sixteen after 750
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
    """One story, from its first word to its end."""
    interpreter.choose(OPENINGS, (5, 2, 1, 2))
    kind = interpreter.choose(KINDS)
    interpreter.literal(" named ")
    name = interpreter.choose(GIRLS if kind == "a little girl" else BOYS if kind == "a little boy" else BOYS + GIRLS)
    hero = Hero(name, "he", "him", "his") if name in BOYS else Hero(name, "she", "her", "her")
    interpreter.literal(f". {name} lived ")
    interpreter.choose(HOMES)
    interpreter.literal(".")
    plots = {begin(hero): go_on for begin, go_on in PLOTS.items()}
    plots[interpreter.choose(tuple(plots))](interpreter, hero)
