"""The table of corpora: those that are here, those that can be fetched, and the ways to name another, one row each.

Token counts and floors are read from the shards that the draft's tokenizer has made, and left out where there are none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tui_gpt.errors import UserError
from tui_gpt.safe_text import UNSAFE
from tui_gpt.workbench.state.corpora.corpus_summary import newest_shards

if TYPE_CHECKING:
    from tui_gpt.corpora import CorpusEntry, ShardsInfo, Source

Kind = Literal["bundled", "file", "folder", "fetched", "cleaned", "made", "mixture", "to fetch", "pattern", "path"]
PATTERN_LICENCES = {"gutenberg": "public domain in the USA", "hf": "on its card", "stories": "MIT"}
MIXTURE = "0.7 NAME + 0.3 NAME"
PATH = "a path…"


@dataclass(frozen=True)
class CorpusRow:
    """One corpus. kind: what it is, or how to get it. Counts are None where they are unknown.

    problem: why it cannot be used.
    """

    name: str
    kind: Kind
    about: str = ""
    good_for: str = ""
    licence: str = ""
    source: str = ""
    size_bytes: int = 0
    documents: int | None = None
    tokens: int | None = None
    floor: float | None = None  # nats a token
    floor_bits: float | None = None  # bits a byte
    has_floor: bool = False  # True also where the floor has not been computed yet
    problem: str = ""

    @property
    def is_here(self) -> bool:
        """Return whether there is a text to read."""
        return self.kind not in ("to fetch", "pattern", "path") and not self.problem


def read_rows(corpus_dir: Path, tokenizer: str, chosen: str) -> tuple[list[CorpusRow], str]:
    """Return the rows, and why the corpus folder cannot be read ("" when it can). Blocking.

    The bundled corpora and those that can be named are listed in any case.
    """
    from tui_gpt.corpora import CorpusEntry, list_corpora
    from tui_gpt.corpora.sources.catalogue import BUNDLED, CATALOGUE, PATTERNS

    shards, problem = newest_shards(tokenizer, corpus_dir), ""
    try:
        entries = list_corpora(corpus_dir)
    except (UserError, OSError) as error:
        problem = str(error)
        known = [(name, CATALOGUE[name]) for name in BUNDLED]
        entries = [CorpusEntry(name=name, description=about.description, kind="bundled") for name, about in known]
    rows = [_row(entry) for entry in entries]
    if all(row.name != chosen for row in rows):
        rows.insert(0, _elsewhere(chosen, corpus_dir))
    rows = [_counted(row, shards, corpus_dir) if row.is_here else row for row in rows]
    rows.sort(key=lambda row: row.kind == "to fetch")
    for pattern, about in PATTERNS.items():
        licence = PATTERN_LICENCES.get(pattern.partition(":")[0], "")
        rows.append(CorpusRow(pattern, "pattern", about, licence=licence))
    rows.append(CorpusRow(MIXTURE, "pattern", "several corpora as one, drawn from by weight"))
    rows.append(CorpusRow(PATH, "path", "any text file or folder of texts on this machine"))
    return rows, problem


def matching(rows: list[CorpusRow], text: str) -> list[CorpusRow]:
    """Return the rows that contain every word of `text`."""
    words = text.lower().split()
    texts = ((row, f"{row.name} {row.kind} {row.licence} {row.about} {row.good_for}".lower()) for row in rows)
    return [row for row, text in texts if all(word in text for word in words)]


def _row(entry: CorpusEntry) -> CorpusRow:
    """Return the row of a corpus of the list."""
    from tui_gpt.corpora.sources.catalogue import CATALOGUE

    if UNSAFE.search(entry.name):
        problem = "rename it: its name holds characters that cannot be typed"
        return CorpusRow(entry.name, "file", problem=problem, size_bytes=entry.size_bytes)
    return CorpusRow(
        entry.name,
        "to fetch" if entry.kind == "absent" else entry.kind,
        entry.description,
        entry.good_for,
        entry.licence or (CATALOGUE["stories"].licence if entry.kind == "made" else ""),
        entry.source,
        entry.size_bytes,
    )


def _elsewhere(chosen: str, corpus_dir: Path) -> CorpusRow:
    """Return the row of the draft's corpus where the list has none: of a path, a mixture, stories, or a lost file."""
    from tui_gpt.corpora import find_corpus
    from tui_gpt.corpora.sources.catalogue import CATALOGUE, GUTENBERG, HF
    from tui_gpt.corpora.sources.mixtures import Mixture
    from tui_gpt.corpora.sources.source import Folder, Stories

    try:
        source = find_corpus(chosen, corpus_dir)
        kinds: list[tuple[type[Source], Kind]] = [(Mixture, "mixture"), (Stories, "made"), (Folder, "folder")]
        kind: Kind = next((kind for each, kind in kinds if isinstance(source, each)), "file")
        licence = CATALOGUE["stories"].licence if kind == "made" else ""
        return CorpusRow(chosen, kind, source.description, licence=licence, size_bytes=source.size_bytes())
    except (UserError, OSError) as error:
        if GUTENBERG.fullmatch(chosen) or HF.fullmatch(chosen):
            return CorpusRow(chosen, "to fetch", str(error))
        return CorpusRow(chosen, "file", problem=str(error))


def _counted(row: CorpusRow, shards: dict[str, ShardsInfo], corpus_dir: Path) -> CorpusRow:
    """Return the row with the counts that take no reading of the text."""
    from tui_gpt.corpora import find_corpus
    from tui_gpt.corpora.sources.source import Stories

    try:
        source = find_corpus(row.name, corpus_dir)
        if (info := shards.get(source.name)) is None:
            documents = source.count() if source.count_is_cheap() else None
            return replace(row, documents=documents, has_floor=isinstance(source, Stories))
    except (UserError, OSError) as error:
        return replace(row, problem=str(error))
    return replace(
        row,
        documents=info.documents,
        tokens=info.tokens,
        floor=info.floor_loss,
        floor_bits=info.floor_bits_per_byte,
        has_floor=info.floor_nats is not None,
    )
