"""What a corpus name means: bundled text, what the user keeps in the corpus folder, or a path.

A name of the registry wins, then a file or folder in the corpus folder, then a path from the current folder; anything
with a slash in it is a path. `verdict` and `shakespeare` are names whose text is not ours to ship: they resolve to the
user's copy, or to one line that says where to get it.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from tui_gpt.corpora.files import TEXT_SUFFIXES, cache_dir, check_text, kind_of, text_files, unreadable
from tui_gpt.corpora.sources import Bundled, Folder, Source, Stories, TextFile
from tui_gpt.corpora.stories import MEGABYTES
from tui_gpt.errors import CorpusError, reason

CHECKED_FILES = 256  # of a folder, before a run starts; preparation reads them all
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


class Known(NamedTuple):
    """A name of the registry. `get` tells where its text is found, empty for what is bundled."""

    description: str
    get: str = ""


KNOWN = {
    "stories": Known("very short children's stories, made here, with a known entropy: for the first minute"),
    "tiny": Known("a few sentences on machine learning: for a test of everything"),
    "verdict": Known("The Verdict, a short story by Edith Wharton (1908)", "it is on Wikisource and Project Gutenberg"),
    "shakespeare": Known(
        "40,000 lines of Shakespeare's plays", "it is data/tinyshakespeare/input.txt in karpathy's char-rnn repository"
    ),
}
BUNDLED = [name for name, known in KNOWN.items() if not known.get]


class CorpusEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the corpus list. `how` tells how to get one that is absent."""

    name: str
    description: str
    kind: Literal["bundled", "file", "folder", "absent"]
    path: str = ""
    size_bytes: int = 0
    how: str = ""


def list_corpora(corpus_dir: Path) -> list[CorpusEntry]:
    """The registry's names, then the texts and folders of `corpus_dir`. Raises CorpusError when it cannot be read."""
    entries = []
    for name, known in KNOWN.items():
        path = None if name in BUNDLED else _kept(name, corpus_dir)
        if path is not None:
            entries.append(_entry(name, known.description, path))
        elif name in BUNDLED:
            size = Bundled(name, "").size_bytes() if name != "stories" else int(MEGABYTES * 1e6)
            entries.append(CorpusEntry(name=name, description=known.description, kind="bundled", size_bytes=size))
        else:
            entries.append(
                CorpusEntry(
                    name=name,
                    description=known.description,
                    kind="absent",
                    path=str(corpus_dir / f"{name}.txt"),
                    how=known.get,
                )
            )
    listed = {entry.path for entry in entries if entry.kind != "absent"}
    for path in _texts_in(corpus_dir):
        if str(path) not in listed:
            entries.append(_entry(_short_name(path), "", path))
    return entries


def _texts_in(corpus_dir: Path) -> list[Path]:
    if kind_of(corpus_dir) != "folder":
        return []
    try:
        return [path for path in sorted(corpus_dir.iterdir()) if _is_corpus(path)]
    except OSError as error:
        raise unreadable(corpus_dir, error) from None


def _is_corpus(path: Path) -> bool:
    if path.name.startswith(".") or path.name == "README.md":
        return False
    try:
        kind = kind_of(path)
    except CorpusError:  # listed, with what is wrong with it
        return True
    return kind == "folder" or (kind == "file" and path.name.lower().endswith(TEXT_SUFFIXES))


def _short_name(path: Path) -> str:
    """The shortest name that finds `path` in its folder."""
    stem = path.name.removesuffix(".txt")
    return path.name if stem in KNOWN or os.path.lexists(path.with_name(stem)) else stem


def _entry(name: str, description: str, path: Path) -> CorpusEntry:
    """One that cannot be read says so in its description: it must not hide the others."""
    kind: Literal["file", "folder"] = "file"
    size = 0
    try:
        if kind_of(path) == "folder":
            kind, files = "folder", text_files(path)
            description = description or ("1 text file" if len(files) == 1 else f"{len(files):,} text files")
        else:
            files, description = [path], description or "a text file"
        size = sum(file.stat().st_size for file in files)
    except CorpusError as error:
        description = error.what
    except OSError as error:
        description = f"cannot be read: {reason(error)}"
    return CorpusEntry(name=name, description=description, kind=kind, path=str(path), size_bytes=size)


def _kept(name: str, corpus_dir: Path) -> Path | None:
    """What the user keeps in `corpus_dir` under `name`."""
    for path in (corpus_dir / name, corpus_dir / f"{name}.txt"):
        if kind_of(path) in ("file", "folder"):
            return path
    return None


def find_corpus(reference: str, corpus_dir: Path) -> Source:
    """The corpus that a name or path means. Raises CorpusError with the nearest known name."""
    known = KNOWN.get(reference)
    if reference == "stories":
        return Stories(reference, KNOWN[reference].description, cache_dir(corpus_dir))
    if reference in BUNDLED:
        return Bundled(reference, KNOWN[reference].description)
    path = _path_of(reference, corpus_dir)
    if path is not None:
        source = Folder if kind_of(path) == "folder" else TextFile
        return source(path, reference, known.description) if known else source(path)
    if known:
        raise CorpusError(
            f"the text of {reference} is not shipped with gpt-tui: {known.get}",
            where=str(corpus_dir / f"{reference}.txt"),
            do=f"Save it there, or: gpt-tui corpus add {reference} FILE (bundled: {', '.join(BUNDLED)})",
        )
    if _looks_like_path(reference):
        raise CorpusError("there is no such file or folder", where=reference)
    names = [*KNOWN, *(_short_name(path) for path in _texts_in(corpus_dir))]
    near = difflib.get_close_matches(reference, names, n=1)
    raise CorpusError(
        f"no corpus and no file is called {reference!r}",
        where="data.corpus",
        do=f"Did you mean {near[0]}?" if near else f"Corpora: {', '.join(names)}",
    )


def _looks_like_path(reference: str) -> bool:
    return "/" in reference or reference in (".", "..") or reference.startswith("~")


def _path_of(reference: str, corpus_dir: Path) -> Path | None:
    """The absolute path of a reference that is no name of the registry's bundled text, None where nothing is there."""
    if not reference:
        return None
    if not _looks_like_path(reference):
        kept = _kept(reference, corpus_dir)
        if kept is not None or reference in KNOWN:
            return kept
    try:
        path = Path(os.path.abspath(Path(reference).expanduser()))  # noqa: PTH100  `..` goes, links stay
    except (RuntimeError, ValueError):
        return None
    kind = kind_of(path)
    if kind == "other":
        raise CorpusError("is neither a file nor a folder", where=reference)
    return path if kind else None


def check_corpus(reference: str, corpus_dir: Path) -> str:
    """`reference` with a path made absolute, if it can be read and begins as text. Raises CorpusError otherwise."""
    source = find_corpus(reference, corpus_dir)
    if isinstance(source, Folder):
        for file in source.files()[:CHECKED_FILES]:
            check_text(file)
    elif isinstance(source, TextFile):
        check_text(source.path)
    else:
        return reference
    in_corpus_dir = not _looks_like_path(reference) and _kept(reference, corpus_dir) is not None
    return reference if in_corpus_dir else str(source.path)


def add_corpus(name: str, path: Path, corpus_dir: Path) -> Path:
    """Copy a text file or the texts of a folder to `corpus_dir` under `name`; the copy's path. Raises CorpusError."""
    if not NAME.fullmatch(name):
        raise CorpusError(
            f"{name!r} cannot be a corpus name",
            do="Use letters, digits, '.', '_', '+' and '-', beginning with a letter or digit",
        )
    name = name.removesuffix(".txt")
    if name in BUNDLED:
        raise CorpusError(f"{name} is the name of a bundled corpus", do="Choose another name")
    if _kept(name, corpus_dir) is not None:
        raise CorpusError(f"a corpus called {name} exists already", where=str(corpus_dir), do="Choose another name")
    kind = kind_of(path)
    if kind is None:
        raise CorpusError("there is no such file or folder", where=str(path))
    if kind == "other":
        raise CorpusError("is neither a file nor a folder", where=str(path))
    files = Folder(path).files() if kind == "folder" else [path]
    for file in files:
        check_text(file)
    temporary = corpus_dir / f".adding-{name}-{os.getpid()}"
    target = corpus_dir / (name if kind == "folder" else f"{name}.txt")
    try:
        corpus_dir.mkdir(parents=True, exist_ok=True)
        if kind == "folder":
            for file in files:
                copy = temporary / file.relative_to(path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
        else:
            shutil.copyfile(path, temporary)
        temporary.rename(target)
    except OSError as error:
        raise CorpusError(f"cannot be copied: {reason(error)}", where=str(error.filename or corpus_dir)) from None
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
    return target
