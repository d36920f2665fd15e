"""Resolve corpus names: bundled text, corpora in the user's corpus folder, fetched corpora, and paths.

A name in the catalogue comes first, then a file or folder in the corpus folder, then a path relative to the current
folder; a name with a slash is always a path. A catalogue name that is not bundled resolves to the user's own copy or
the fetched one; if there is neither, the error says how to fetch it.
"""

from __future__ import annotations

import difflib
import itertools
import os
import re
import shutil
from pathlib import Path
from typing import Literal

import msgspec

from tui_gpt.corpora.sources.catalogue import BUNDLED, CATALOGUE, STORIES, catalogue_entry, folder_name
from tui_gpt.corpora.sources.corpus_manifest import MANIFEST, Manifest, Provenance, read_manifest, write_manifest
from tui_gpt.corpora.sources.digests import Digests
from tui_gpt.corpora.sources.formats import Layout, check_file
from tui_gpt.corpora.sources.mixtures import Mixture, parse_mixture
from tui_gpt.corpora.sources.source import Bundled, Folder, PythonTopics, Source, Stories, TextFile
from tui_gpt.corpora.sources.text_files import (
    PACKED_SUFFIXES,
    RECORD_SUFFIXES,
    TEXT_SUFFIXES,
    cache_dir,
    path_kind,
    read_error,
)
from tui_gpt.corpora.stories.generator import MEGABYTES, SEED
from tui_gpt.errors import CorpusError, reason

KEPT_SUFFIXES = (".txt", *(kind + packed for kind in RECORD_SUFFIXES for packed in ("", *PACKED_SUFFIXES)))
CHECKED_FILES = 256  # files of a folder that are checked before a run starts; preparation reads all
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


class CorpusEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the corpus list.

    how: the command that gets an absent corpus, whose size is that of the download.
    """

    name: str
    description: str
    kind: Literal["bundled", "file", "folder", "fetched", "cleaned", "made", "absent"]
    path: str = ""
    size_bytes: int = 0
    how: str = ""
    licence: str = ""
    source: str = ""
    good_for: str = ""


def list_corpora(corpus_dir: Path) -> list[CorpusEntry]:
    """Return the corpora of the catalogue, then the fetched and generated ones, then the files and folders in
    `corpus_dir`.

    Raises CorpusError if the folder cannot be read.
    """
    entries = []
    for name, known in CATALOGUE.items():
        path = None if name in BUNDLED else _find_in_folder(name, corpus_dir)
        fetched = fetched_folder(name, corpus_dir)
        if path is not None:
            entry = _entry(name, known.description, path)
        elif name in BUNDLED:
            size = _bundled(name, corpus_dir).size_bytes()
            entry = CorpusEntry(name=name, description=known.description, kind="bundled", size_bytes=size)
        elif fetched.exists():
            entry = msgspec.structs.replace(_entry(name, known.description, fetched), kind="fetched")
        else:
            entry = CorpusEntry(
                name=name,
                description=known.description,
                kind="absent",
                path=str(corpus_dir / f"{name}.txt"),
                size_bytes=known.size_bytes,
                how=f"gpt-tui corpus fetch {name}",
            )
        entries.append(
            msgspec.structs.replace(entry, licence=known.licence, source=known.source, good_for=known.good_for)
        )
    entries += _pattern_entries(corpus_dir)
    listed = {entry.path for entry in entries if entry.kind != "absent"}
    for path in _texts_in(corpus_dir):
        if str(path) not in listed:
            entries.append(_entry(_short_name(path), "", path))
    return entries


def _pattern_entries(corpus_dir: Path) -> list[CorpusEntry]:
    """Return the books and hub datasets that were fetched and the stories that were generated, with their names."""
    cache = cache_dir(corpus_dir)
    entries = []
    for path in sorted(cache.glob(f"fetched/*/{MANIFEST}")):
        manifest = read_manifest(path.parent)
        if manifest is not None and manifest.name not in CATALOGUE:
            entry = _entry(manifest.name, manifest.description, path.parent)
            entries.append(
                msgspec.structs.replace(entry, kind="fetched", licence=manifest.licence, source=manifest.source)
            )
    for stories in Stories.find_generated(cache):
        if (stories.megabytes, stories.seed) != (MEGABYTES, SEED):
            name = f"stories:{stories.megabytes:g}:{stories.seed}"
            description, size = CATALOGUE["stories"].description, stories.size_bytes()
            entries.append(CorpusEntry(name=name, description=description, kind="made", size_bytes=size))
    return entries


def fetched_folder(name: str, corpus_dir: Path) -> Path:
    """Return the folder of a fetched corpus; it may not exist."""
    return cache_dir(corpus_dir) / "fetched" / folder_name(name)


def _bundled(name: str, corpus_dir: Path) -> Source:
    description = CATALOGUE[name].description
    if name == "stories":
        return Stories(name, description, cache_dir(corpus_dir))
    return PythonTopics(name, description) if name == "pydocs" else Bundled(name, description)


def _texts_in(corpus_dir: Path) -> list[Path]:
    if path_kind(corpus_dir) != "folder":
        return []
    try:
        return [path for path in sorted(corpus_dir.iterdir()) if _is_corpus(path)]
    except OSError as error:
        raise read_error(corpus_dir, error) from None


def _is_corpus(path: Path) -> bool:
    if path.name.startswith(".") or path.name == "README.md":
        return False
    try:
        kind = path_kind(path)
    except CorpusError:  # listed, with the error as its description
        return True
    return kind == "folder" or (kind == "file" and path.name.lower().endswith(TEXT_SUFFIXES))


def _short_name(path: Path) -> str:
    """Return the shortest name that resolves to `path` in its folder."""
    stem = next((path.name.removesuffix(end) for end in KEPT_SUFFIXES if path.name.endswith(end)), path.name)
    found = next((candidate for candidate in _candidates(stem, path.parent) if os.path.lexists(candidate)), None)
    return stem if stem not in CATALOGUE and found == path else path.name


def _entry(name: str, description: str, path: Path) -> CorpusEntry:
    """Return the entry of a file or folder; if it cannot be read, the error is its description."""
    kind: Literal["file", "folder", "cleaned"] = "file"
    size = 0
    try:
        if path_kind(path) == "folder":
            kind, folder = "folder", Folder(path)
            files = folder.files()
            manifest = folder.manifest
            kind = "cleaned" if manifest and manifest.made == "cleaned" else kind
            description = description or (manifest.description if manifest else "")
            description = description or ("1 text file" if len(files) == 1 else f"{len(files):,} text files")
        else:
            files, description = [path], description or "a text file"
        size = sum(file.stat().st_size for file in files)
    except CorpusError as error:
        description = error.what
    except OSError as error:
        description = f"cannot be read: {reason(error)}"
    return CorpusEntry(name=name, description=description, kind=kind, path=str(path), size_bytes=size)


def _candidates(name: str, corpus_dir: Path) -> list[Path]:
    return [corpus_dir / name, *(corpus_dir / f"{name}{suffix}" for suffix in KEPT_SUFFIXES)]


def _find_in_folder(name: str, corpus_dir: Path) -> Path | None:
    """Return the file or folder in `corpus_dir` that `name` refers to, None if there is none."""
    for path in _candidates(name, corpus_dir):
        if path_kind(path) in ("file", "folder"):
            return path
    return None


def find_corpus(reference: str, corpus_dir: Path) -> Source:
    """Return the source that a name, a mixture or a path refers to. Raises CorpusError with the nearest known name."""
    if terms := parse_mixture(reference):
        return Mixture([find_corpus(term.reference, corpus_dir) for term in terms], reference)
    if reference in BUNDLED:
        return _bundled(reference, corpus_dir)
    if match := STORIES.fullmatch(reference):
        if not float(match[1]):
            raise CorpusError(f"{reference!r} is empty", do="Write stories:MEGABYTES[:SEED]")
        description = CATALOGUE["stories"].description
        return Stories(reference, description, cache_dir(corpus_dir), float(match[1]), int(match[2] or SEED))
    entry = catalogue_entry(reference)
    digests = Digests(cache_dir(corpus_dir) / "digests")
    path = None if entry and ":" in reference else _path_of(reference, corpus_dir)
    fetched = fetched_folder(reference, corpus_dir)
    if entry and path is None and path_kind(fetched) == "folder":
        path = fetched
    if path is not None:
        source = Folder if path_kind(path) == "folder" else TextFile
        return source(path, reference, entry.description, digests) if entry else source(path, digests=digests)
    if entry:
        raise CorpusError(
            f"{reference} has not been fetched yet",
            where=str(fetched),
            do=f"Run gpt-tui corpus fetch {reference} ({_format_size(entry.size_bytes)}{entry.licence})",
        )
    if _looks_like_path(reference):
        raise CorpusError("no such file or folder", where=reference)
    names = [*CATALOGUE, *(_short_name(path) for path in _texts_in(corpus_dir))]
    near = difflib.get_close_matches(reference, names, n=1)
    raise CorpusError(
        f"unknown corpus {reference!r}",
        where="data.corpus",
        do=f"Did you mean {near[0]}?" if near else f"Corpora: {', '.join(names)}",
    )


def provenance(reference: str, corpus_dir: Path) -> list[Provenance]:
    """Return licence and source of a corpus, or of each corpus of a mixture. Raises CorpusError."""
    if terms := parse_mixture(reference):
        return [each for term in terms for each in provenance(term.reference, corpus_dir)]
    source = find_corpus(reference, corpus_dir)
    manifest = source.manifest if isinstance(source, Folder) else None
    if manifest is not None and (manifest.licence or manifest.source):
        return [Provenance(source.name, manifest.licence, manifest.source)]
    known = CATALOGUE["stories"] if isinstance(source, Stories) else catalogue_entry(reference)
    return [Provenance(source.name, known.licence, known.source) if known else Provenance(source.name)]


def _format_size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB, " if size_bytes else ""


def _looks_like_path(reference: str) -> bool:
    return "/" in reference or reference in (".", "..") or reference.startswith("~")


def _path_of(reference: str, corpus_dir: Path) -> Path | None:
    """Return the absolute path of a reference that does not name a bundled corpus, None if nothing is there."""
    if not reference:
        return None
    if not _looks_like_path(reference):
        found = _find_in_folder(reference, corpus_dir)
        if found is not None or reference in CATALOGUE:
            return found
    try:
        path = Path(os.path.abspath(Path(reference).expanduser()))  # noqa: PTH100  resolves `..` but not links
    except (RuntimeError, ValueError):
        return None
    kind = path_kind(path)
    if kind == "other":
        raise CorpusError("neither a file nor a folder", where=reference)
    return path if kind else None


def check_corpus(reference: str, corpus_dir: Path) -> str:
    """Return `reference` with paths made absolute. Raises CorpusError unless it can be read and begins as text."""
    if terms := parse_mixture(reference):
        return " + ".join(f"{term.weight:g} {check_corpus(term.reference, corpus_dir)}" for term in terms)
    source = find_corpus(reference, corpus_dir)
    if isinstance(source, Folder):
        for file in source.files()[:CHECKED_FILES]:
            check_file(file, source.layout)
    elif isinstance(source, TextFile):
        check_file(source.path)
    else:
        return reference
    if source.name == reference and catalogue_entry(reference):
        return reference
    in_corpus_dir = not _looks_like_path(reference) and _find_in_folder(reference, corpus_dir) is not None
    return reference if in_corpus_dir else str(source.path)


def new_corpus_path(name: str, corpus_dir: Path) -> Path:
    """Return the path of a new corpus called `name`. Raises CorpusError for an invalid name and one in use."""
    if not NAME.fullmatch(name):
        raise CorpusError(
            f"invalid corpus name {name!r}",
            do="Use letters, digits, '.', '_', '+' and '-', beginning with a letter or digit",
        )
    name = name.removesuffix(".txt")
    if name in BUNDLED:
        raise CorpusError(f"{name} is the name of a bundled corpus", do="Choose another name")
    if _find_in_folder(name, corpus_dir) is not None:
        raise CorpusError(f"a corpus called {name} already exists", where=str(corpus_dir), do="Choose another name")
    return corpus_dir / name


def cleaned_name(source: Source, corpus_dir: Path) -> str:
    """Return the default name of a cleaned copy of `source`: mine-clean, mine-clean-2, … Raises CorpusError."""
    stem = re.sub(r"[^\w.-]+", "-", source.name, flags=re.ASCII).strip("-.") + "-clean"
    taken = {path.name for path in corpus_dir.glob(f"{stem}*")}
    names = (stem if number == 1 else f"{stem}-{number}" for number in itertools.count(1))
    return new_corpus_path(next(name for name in names if name not in taken), corpus_dir).name


def add_corpus(
    name: str, path: Path, corpus_dir: Path, column: str = "", *, licence: str = "", source: str = ""
) -> Path:
    """Copy a file, or the text files of a folder, to `corpus_dir` under `name`, and return the copy's path.

    column: the text column of records, if it cannot be inferred. licence, source: those of the text; by default what
    the folder's own manifest says. Raises CorpusError.
    """
    name = new_corpus_path(name, corpus_dir).name
    kind = path_kind(path)
    if kind is None:
        raise CorpusError("no such file or folder", where=str(path))
    if kind == "other":
        raise CorpusError("neither a file nor a folder", where=str(path))
    folder = Folder(path) if kind == "folder" else None
    files = folder.files() if folder else [path]
    known = folder.manifest if folder else None
    layout = Layout(column=column) if column or known is None else known.layout
    for file in files:
        check_file(file, layout)
    has_manifest = bool(column or licence or source or known)
    as_folder = kind == "folder" or has_manifest
    suffix = "" if as_folder else _suffix(path)
    temporary = corpus_dir / f".adding-{name}-{os.getpid()}"
    target = corpus_dir / f"{name}{suffix}"
    try:
        corpus_dir.mkdir(parents=True, exist_ok=True)
        if as_folder:
            root = path if kind == "folder" else path.parent
            for file in files:
                copy = temporary / file.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
        else:
            shutil.copyfile(path, temporary)
        if has_manifest:
            manifest = Manifest(
                name=name,
                made="added",
                files={str(file.relative_to(root)): file.stat().st_size for file in files},
                description=known.description if known else "",
                licence=licence or (known.licence if known else ""),
                source=source or (known.source if known else ""),
                layout=layout,
                documents=known.documents if known and not column else None,
            )
            write_manifest(temporary, manifest)
        temporary.rename(target)
    except OSError as error:
        raise CorpusError(f"cannot be copied: {reason(error)}", where=str(error.filename or corpus_dir)) from None
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
    return target


def _suffix(path: Path) -> str:
    """Return the suffix of the copy, which decides its format: `.txt` for plain text, `.jsonl.gz` for compressed
    records.
    """
    name = path.name.lower()
    compression = next((suffix for suffix in PACKED_SUFFIXES if name.endswith(suffix)), "")
    stem = name.removesuffix(compression)
    return next((suffix for suffix in (*RECORD_SUFFIXES, ".json") if stem.endswith(suffix)), ".txt") + compression
