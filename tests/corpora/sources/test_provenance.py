"""Licence and source travel with a corpus through add, clean and mixtures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_gpt.corpora import add_corpus, find_corpus, provenance
from tui_gpt.corpora.cleaning.pipeline import clean
from tui_gpt.corpora.sources.corpus_manifest import Provenance

BOOK = "It was a dark and stormy night, and the rain fell in torrents. " * 20


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    (tmp_path / "book.txt").write_text(BOOK)
    add_corpus("mine", tmp_path / "book.txt", tmp_path / "corpus", licence="CC BY 4.0", source="https://example.org")
    return tmp_path / "corpus"


def test_a_licence_travels_through_add_clean_and_mixtures(corpora: Path) -> None:
    mine = Provenance("mine", "CC BY 4.0", "https://example.org")
    assert provenance("mine", corpora) == [mine]
    clean("mine", corpora, lambda *_: None, ("unicode",))
    assert provenance("mine-clean", corpora) == [Provenance("mine-clean", mine.licence, mine.source)]
    add_corpus("copy", corpora / "mine-clean", corpora)
    assert provenance("copy", corpora) == [Provenance("copy", mine.licence, mine.source)]
    copied, cleaned = (find_corpus(name, corpora) for name in ("copy", "mine-clean"))
    assert [piece.text for piece in copied.pieces()] == [piece.text for piece in cleaned.pieces()] == [BOOK]
    mixed = provenance("0.5 mine + 0.5 tiny", corpora)
    assert [each.licence for each in mixed] == ["CC BY 4.0", "MIT"]


def test_what_the_catalogue_knows_needs_no_manifest(corpora: Path) -> None:
    assert provenance("stories:2:7", corpora)[0].licence == "MIT"
    assert provenance("pydocs", corpora)[0].licence == "PSF-2.0"


def test_an_unknown_licence_stays_unknown(corpora: Path) -> None:
    assert provenance(str(corpora.parent / "book.txt"), corpora) == [Provenance("book")]
