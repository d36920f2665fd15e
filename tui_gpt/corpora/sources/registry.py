"""What a corpus name means: bundled text, what the user keeps in the corpus folder, or a path.

A name of the registry (`catalogue.py`) wins, then a file or folder in the corpus folder, then a path from the current
folder; anything else with a slash in it is a path. What is not bundled resolves to the user's own copy, to what was
fetched, or to one line that says how to fetch it.
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
from tui_gpt.corpora.sources.corpus_manifest import MANIFEST, Manifest, read_manifest, write_manifest
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
CHECKED_FILES = 256  # of a folder, before a run starts; preparation reads them all
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


class CorpusEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the corpus list. `how` tells how to get one that is absent, whose size is what would be fetched."""

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
    """The registry's names, then the texts and folders of `corpus_dir`. Raises CorpusError when it cannot be read."""
    entries = []
    for name, about in CATALOGUE.items():
        path = None if name in BUNDLED else _kept(name, corpus_dir)
        fetched = fetched_folder(name, corpus_dir)
        if path is not None:
            entry = _entry(name, about.description, path)
        elif name in BUNDLED:
            size = _bundled(name, corpus_dir).size_bytes()
            entry = CorpusEntry(name=name, description=about.description, kind="bundled", size_bytes=size)
        elif fetched.exists():
            entry = msgspec.structs.replace(_entry(name, about.description, fetched), kind="fetched")
        else:
            entry = CorpusEntry(
                name=name,
                description=about.description,
                kind="absent",
                path=str(corpus_dir / f"{name}.txt"),
                size_bytes=about.size_bytes,
                how=f"gpt-tui corpus fetch {name}",
            )
        entries.append(
            msgspec.structs.replace(entry, licence=about.licence, source=about.source, good_for=about.good_for)
        )
    entries += _by_pattern(corpus_dir)
    listed = {entry.path for entry in entries if entry.kind != "absent"}
    for path in _texts_in(corpus_dir):
        if str(path) not in listed:
            entries.append(_entry(_short_name(path), "", path))
    return entries


def _by_pattern(corpus_dir: Path) -> list[CorpusEntry]:
    """Books, sets of the hub and stories that were fetched or made, under the names that find them."""
    cache = cache_dir(corpus_dir)
    entries = []
    for path in sorted(cache.glob(f"fetched/*/{MANIFEST}")):
        manifest = read_manifest(path.parent)
        if manifest is not None and manifest.name not in CATALOGUE:
            entry = _entry(manifest.name, manifest.description, path.parent)
            entries.append(
                msgspec.structs.replace(entry, kind="fetched", licence=manifest.licence, source=manifest.source)
            )
    for made in Stories.find_generated(cache):
        if (made.megabytes, made.seed) != (MEGABYTES, SEED):
            name = f"stories:{made.megabytes:g}:{made.seed}"
            description = CATALOGUE["stories"].description
            entries.append(CorpusEntry(name=name, description=description, kind="made", size_bytes=made.size_bytes()))
    return entries


def fetched_folder(name: str, corpus_dir: Path) -> Path:
    """Where the text of a fetched corpus lies, or would."""
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
    except CorpusError:  # listed, with what is wrong with it
        return True
    return kind == "folder" or (kind == "file" and path.name.lower().endswith(TEXT_SUFFIXES))


def _short_name(path: Path) -> str:
    """The shortest name that finds `path` in its folder."""
    stem = next((path.name.removesuffix(end) for end in KEPT_SUFFIXES if path.name.endswith(end)), path.name)
    found = next((place for place in _places(stem, path.parent) if os.path.lexists(place)), None)
    return stem if stem not in CATALOGUE and found == path else path.name


def _entry(name: str, description: str, path: Path) -> CorpusEntry:
    """One that cannot be read says so in its description: it must not hide the others."""
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


def _places(name: str, corpus_dir: Path) -> list[Path]:
    return [corpus_dir / name, *(corpus_dir / f"{name}{suffix}" for suffix in KEPT_SUFFIXES)]


def _kept(name: str, corpus_dir: Path) -> Path | None:
    """What the user keeps in `corpus_dir` under `name`."""
    for path in _places(name, corpus_dir):
        if path_kind(path) in ("file", "folder"):
            return path
    return None


def find_corpus(reference: str, corpus_dir: Path) -> Source:
    """The corpus that a name or path means. Raises CorpusError with the nearest known name."""
    if terms := parse_mixture(reference):
        return Mixture([find_corpus(term.reference, corpus_dir) for term in terms], reference)
    if reference in BUNDLED:
        return _bundled(reference, corpus_dir)
    if match := STORIES.fullmatch(reference):
        if not float(match[1]):
            raise CorpusError(f"{reference!r} has no stories in it", do="Write stories:MEGABYTES[:SEED]")
        description = CATALOGUE["stories"].description
        return Stories(reference, description, cache_dir(corpus_dir), float(match[1]), int(match[2] or SEED))
    about = catalogue_entry(reference)
    digests = Digests(cache_dir(corpus_dir) / "digests")
    path = None if about and ":" in reference else _path_of(reference, corpus_dir)
    fetched = fetched_folder(reference, corpus_dir)
    if about and path is None and path_kind(fetched) == "folder":
        path = fetched
    if path is not None:
        source = Folder if path_kind(path) == "folder" else TextFile
        return source(path, reference, about.description, digests) if about else source(path, digests=digests)
    if about:
        raise CorpusError(
            f"the text of {reference} is not here yet",
            where=str(fetched),
            do=f"gpt-tui corpus fetch {reference} ({_size_of(about.size_bytes)}{about.licence})",
        )
    if _looks_like_path(reference):
        raise CorpusError("there is no such file or folder", where=reference)
    names = [*CATALOGUE, *(_short_name(path) for path in _texts_in(corpus_dir))]
    near = difflib.get_close_matches(reference, names, n=1)
    raise CorpusError(
        f"no corpus and no file is called {reference!r}",
        where="data.corpus",
        do=f"Did you mean {near[0]}?" if near else f"Corpora: {', '.join(names)}",
    )


def _size_of(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB, " if size_bytes else ""


def _looks_like_path(reference: str) -> bool:
    return "/" in reference or reference in (".", "..") or reference.startswith("~")


def _path_of(reference: str, corpus_dir: Path) -> Path | None:
    """The absolute path of a reference that is no name of the registry's bundled text, None where nothing is there."""
    if not reference:
        return None
    if not _looks_like_path(reference):
        kept = _kept(reference, corpus_dir)
        if kept is not None or reference in CATALOGUE:
            return kept
    try:
        path = Path(os.path.abspath(Path(reference).expanduser()))  # noqa: PTH100  `..` goes, links stay
    except (RuntimeError, ValueError):
        return None
    kind = path_kind(path)
    if kind == "other":
        raise CorpusError("is neither a file nor a folder", where=reference)
    return path if kind else None


def check_corpus(reference: str, corpus_dir: Path) -> str:
    """`reference` with a path made absolute, if it can be read and begins as text. Raises CorpusError otherwise."""
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
    in_corpus_dir = not _looks_like_path(reference) and _kept(reference, corpus_dir) is not None
    return reference if in_corpus_dir else str(source.path)


def free_name(name: str, corpus_dir: Path) -> Path:
    """The folder that a new corpus called `name` gets. Raises CorpusError for a name that is taken or cannot be one."""
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
    return corpus_dir / name


def cleaned_name(source: Source, corpus_dir: Path) -> str:
    """What the cleaned copy of a corpus is called unless told: mine-clean, mine-clean-2, … Raises CorpusError."""
    stem = re.sub(r"[^\w.-]+", "-", source.name, flags=re.ASCII).strip("-.") + "-clean"
    taken = {path.name for path in corpus_dir.glob(f"{stem}*")}
    names = (stem if number == 1 else f"{stem}-{number}" for number in itertools.count(1))
    return free_name(next(name for name in names if name not in taken), corpus_dir).name


def add_corpus(name: str, path: Path, corpus_dir: Path, column: str = "") -> Path:
    """Copy a file or the texts of a folder to `corpus_dir` under `name`; the copy's path. Raises CorpusError.

    column: which one of the records holds the text, where that does not go without saying.
    """
    name = free_name(name, corpus_dir).name
    kind = path_kind(path)
    if kind is None:
        raise CorpusError("there is no such file or folder", where=str(path))
    if kind == "other":
        raise CorpusError("is neither a file nor a folder", where=str(path))
    files = Folder(path).files() if kind == "folder" else [path]
    layout = Layout(column=column)
    for file in files:
        check_file(file, layout)
    as_folder = kind == "folder" or bool(column)
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
        if column:
            sizes = {str(file.relative_to(root)): file.stat().st_size for file in files}
            write_manifest(temporary, Manifest(name=name, made="added", files=sizes, layout=layout))
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
    """What says how a file is read: `.txt` for plain text, `.jsonl.gz` for packed records."""
    name = path.name.lower()
    packed = next((suffix for suffix in PACKED_SUFFIXES if name.endswith(suffix)), "")
    kind = next(
        (suffix for suffix in (*RECORD_SUFFIXES, ".json") if name.removesuffix(packed).endswith(suffix)), ".txt"
    )
    return kind + packed
