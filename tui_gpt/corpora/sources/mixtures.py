"""Several corpora mixed by weight: `0.7 stories + 0.3 shakespeare`.

A mixture is a formula in the single setting `data.corpus` rather than a table, so that it is written the same way in
TOML, in a form and on the command line. Corpus names contain colons and commas (`gutenberg:84,1342`), so the weight
comes first. The corpora are prepared together and each is split on its own; the weights set how often training draws
from each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import xxhash

from tui_gpt.corpora.sources.source import Progress, Source
from tui_gpt.errors import CorpusError

if TYPE_CHECKING:
    from tui_gpt.corpora.sources.formats import Piece

_TERM = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s+(\S.*?)\s*")
MIN_SHARE = 0.001


class Term(NamedTuple):
    """A corpus of a mixture and its weight."""

    weight: float
    reference: str


def parse_mixture(reference: str) -> list[Term]:
    """Return the weighted corpora of a mixture, with weights that sum to 1; an empty list if `reference` is not a
    mixture.

    Raises CorpusError for a weight that is too small and for a corpus named twice.
    """
    found = [_TERM.fullmatch(term) for term in re.split(r"\s\+\s", reference)]
    terms = [Term(float(term[1]), term[2]) for term in found if term]
    if len(terms) < 2 or len(terms) < len(found):
        return []
    total = sum(term.weight for term in terms)
    for term in terms:
        if term.weight < MIN_SHARE * total or not total:
            raise CorpusError(
                f"the weight of {term.reference} is less than 0.001 of the mixture",
                where=f"data.corpus = {reference}",
                do="Leave it out or increase its weight",
            )
    names = [term.reference for term in terms]
    if len(set(names)) < len(names):
        raise CorpusError("a corpus is named twice", where=f"data.corpus = {reference}", do="Add up its weights")
    return [Term(term.weight / total, term.reference) for term in terms]


class Mixture(Source):
    """Several sources read one after another."""

    description = "a mixture"

    def __init__(self, sources: Sequence[Source], name: str) -> None:
        self.sources, self.name = sources, name

    def materialize(self, progress: Progress) -> None:
        for source in self.sources:
            source.materialize(progress)

    def pieces(self) -> Iterator[Piece]:
        return (piece for source in self.sources for piece in source.pieces())

    def count(self) -> int:
        return sum(source.count() for source in self.sources)

    def count_is_cheap(self) -> bool:
        return all(source.count_is_cheap() for source in self.sources)

    def size_bytes(self) -> int:
        return sum(source.size_bytes() for source in self.sources)

    def digest(self) -> str:
        return xxhash.xxh3_128_hexdigest("\n".join(["mixture", *(source.digest() for source in self.sources)]).encode())
