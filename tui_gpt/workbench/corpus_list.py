"""Every corpus there is or could be had, as one line each: what the list of corpora shows.

Read in a thread, since a folder may lie on a network disk. Tokens and the floor are those of the shards that the
draft's tokenizer made; of what was not prepared with it they are left out rather than guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tui_gpt.errors import UserError
from tui_gpt.workbench.canvas import Row, fit, row, under_cursor
from tui_gpt.workbench.corpus_facts import newest_shards
from tui_gpt.workbench.text import cut, cut_head, one_line, short, size

if TYPE_CHECKING:
    from tui_gpt.corpora import CorpusEntry, ShardsInfo, Source

Kind = Literal["bundled", "file", "folder", "fetched", "cleaned", "made", "mixture", "to fetch", "pattern", "path"]
PATTERN_LICENCES = {"gutenberg": "public domain in the USA", "hf": "on its card", "stories": "MIT"}
MIXTURE = "0.7 NAME + 0.3 NAME"
PATH = "a path…"


@dataclass(frozen=True)
class CorpusLine:
    """One corpus. `kind`: what it is here, or how it could be had; figures are None where they are not known."""

    name: str
    kind: Kind
    about: str = ""
    good_for: str = ""
    licence: str = ""
    source: str = ""
    path: str = ""
    size_bytes: int = 0
    documents: int | None = None
    tokens: int | None = None
    floor: float | None = None  # nats a token
    floor_bits: float | None = None  # bits a byte
    has_floor: bool = False  # also where it has not been counted yet

    @property
    def is_here(self) -> bool:
        return self.kind not in ("to fetch", "pattern", "path")


def read_lines(corpus_dir: Path, tokenizer: str, chosen: str) -> list[CorpusLine]:
    """What is here, then what can be fetched, then the ways to name another. Raises UserError. Blocking."""
    from tui_gpt.corpora import list_corpora
    from tui_gpt.corpora.sources.catalogue import PATTERNS

    shards = newest_shards(tokenizer, corpus_dir)
    lines = [_line(entry, shards, corpus_dir) for entry in list_corpora(corpus_dir)]
    if all(line.name != chosen for line in lines):
        lines.insert(0, _elsewhere(chosen, shards, corpus_dir))
    lines.sort(key=lambda line: not line.is_here)
    for pattern, about in PATTERNS.items():
        licence = PATTERN_LICENCES.get(pattern.partition(":")[0], "")
        lines.append(CorpusLine(pattern, "pattern", about, licence=licence))
    lines.append(CorpusLine(MIXTURE, "pattern", "several corpora as one, drawn from by weight"))
    lines.append(CorpusLine(PATH, "path", "any text file or folder of texts on this machine"))
    return lines


def matching(lines: list[CorpusLine], needle: str) -> list[CorpusLine]:
    """Those whose line holds every word of `needle`."""
    words = needle.lower().split()
    texts = ((line, f"{line.name} {line.kind} {line.licence} {line.about} {line.good_for}".lower()) for line in lines)
    return [line for line, text in texts if all(word in text for word in words)]


def _line(entry: CorpusEntry, shards: dict[str, ShardsInfo], corpus_dir: Path) -> CorpusLine:
    from tui_gpt.corpora.sources.catalogue import CATALOGUE

    kind: Kind = "to fetch" if entry.kind == "absent" else entry.kind
    about = CorpusLine(
        entry.name,
        kind,
        entry.description,
        entry.good_for,
        entry.licence or (CATALOGUE["stories"].licence if kind == "made" else ""),
        entry.source,
        "" if entry.kind == "absent" else entry.path,
        entry.size_bytes,
    )
    return about if entry.kind == "absent" else _counted(about, shards, corpus_dir)


def _elsewhere(chosen: str, shards: dict[str, ShardsInfo], corpus_dir: Path) -> CorpusLine:
    """The draft's corpus where the list does not hold it: a path, a mixture, stories, or what is not there."""
    from tui_gpt.corpora import find_corpus
    from tui_gpt.corpora.sources.catalogue import GUTENBERG, HF
    from tui_gpt.corpora.sources.mixtures import Mixture
    from tui_gpt.corpora.sources.source import Folder, Stories

    try:
        source = find_corpus(chosen, corpus_dir)
        kinds: list[tuple[type[Source], Kind]] = [(Mixture, "mixture"), (Stories, "made"), (Folder, "folder")]
        kind: Kind = next((kind for each, kind in kinds if isinstance(source, each)), "file")
        about = CorpusLine(chosen, kind, source.description, size_bytes=source.size_bytes())
    except UserError as error:
        fetchable = GUTENBERG.fullmatch(chosen) or HF.fullmatch(chosen)
        return CorpusLine(chosen, "to fetch" if fetchable else "file", str(error))
    return _counted(about, shards, corpus_dir)


def _counted(line: CorpusLine, shards: dict[str, ShardsInfo], corpus_dir: Path) -> CorpusLine:
    """The line with what can be counted without reading the text."""
    from dataclasses import replace

    from tui_gpt.corpora import find_corpus
    from tui_gpt.corpora.sources.source import Stories

    try:
        source = find_corpus(line.name, corpus_dir)
        made = isinstance(source, Stories)
        info = shards.get(source.name)
        if info is None:
            return replace(line, documents=_documents(source), has_floor=made)
    except UserError as error:
        return replace(line, about=str(error))
    return replace(
        line,
        documents=info.documents,
        tokens=info.tokens,
        floor=info.floor_loss,
        floor_bits=info.floor_bits_per_byte,
        has_floor=info.floor_nats is not None,
    )


def _documents(source: Source) -> int | None:
    return source.count() if source.count_is_cheap() else None


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────────

_FIGURES = (("size", 9), ("documents", 10), ("tokens", 8), ("floor", 7))
_FROM = {"size": 36, "documents": 76, "tokens": 46, "floor": 58}  # cells of the table from which on each is shown
LICENCE_FROM, NAME, KIND = 70, 16, 10


def _widths(width: int) -> tuple[int, list[tuple[str, int]], int]:
    """Of the name, the figures that fit, and the licence."""
    columns = [(name, wide) for name, wide in _FIGURES if width >= _FROM[name]]
    rest = width - 2 - KIND - sum(wide for _, wide in columns)
    if width < LICENCE_FROM:
        return max(8, rest), columns, 0
    name = max(NAME, min(32, rest - 26))
    return name, columns, rest - name - 2


def _named(name: str, width: int) -> str:
    """A name in so many cells; of a path the end says more than the beginning."""
    text = one_line(name)
    return cut_head(text, width) if "/" in text else text


def table_head(width: int) -> Row:
    name, columns, licence = _widths(width)
    spans = [("  " + "name".ljust(name) + "kind".ljust(KIND), "dim")]
    spans += [(label.rjust(wide), "dim") for label, wide in columns]
    return row(*spans, ("  licence" if licence else "", "dim"))


def table_row(line: CorpusLine, width: int, *, selected: bool, chosen: bool) -> Row:
    """`chosen`: the next run learns from it."""
    name, columns, licence = _widths(width)
    mark: Row = (("● " if chosen else "  ", "accent"),)
    about: Row = (("  " + cut(one_line(line.licence), licence) if licence else "", "dim"),)
    if line.kind in ("pattern", "path"):  # no figures, and a long name
        wide = name + KIND + sum(wide for _, wide in columns)
        spans: Row = (*mark, *fit(row(one_line(line.name)), wide), *about)
    else:
        figures = {
            "size": size(line.size_bytes) if line.size_bytes else "?",
            "documents": short(line.documents) if line.documents is not None else "",
            "tokens": short(line.tokens) if line.tokens is not None else "",
            "floor": f"{line.floor:.3f}" if line.floor is not None else "known" if line.has_floor else "",
        }
        here, role = ("bright", "text") if line.is_here else ("text", "dim")
        numbers = "".join(figures[key].rjust(wide) for key, wide in columns)
        label = (*fit(((_named(line.name, name - 1), here),), name - 1), (" ", "text"))
        spans = (*mark, *label, (line.kind.ljust(KIND) + numbers, role), *about)
    return under_cursor(spans, width) if selected else spans
