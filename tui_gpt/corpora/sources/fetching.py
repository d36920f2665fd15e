"""A corpus by name from its source to the cache: planned, downloaded file by file, and renamed into place when whole.

A kill leaves a folder called `.partial`, whose files the next fetch goes on with. Two fetches of one corpus wait for
each other. Sets of the hub that have no files of their own here are streamed through the `datasets` library, an extra.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tui_gpt.corpora.sources.catalogue import (
    BUNDLED,
    CATALOGUE,
    PATTERNS,
    STORIES,
    CatalogueEntry,
    HubDataset,
    RemoteFile,
    catalogue_entry,
    parse_hub_name,
)
from tui_gpt.corpora.sources.corpus_manifest import MANIFEST, Manifest, read_manifest, write_manifest
from tui_gpt.corpora.sources.download import download, remote_size
from tui_gpt.corpora.sources.formats import require_pyarrow, text_column
from tui_gpt.corpora.sources.locks import exclusive_lock
from tui_gpt.corpora.sources.registry import fetched_folder
from tui_gpt.corpora.sources.source import Progress
from tui_gpt.errors import CorpusError, reason

STREAMED = "documents.jsonl"


class FetchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a fetch would bring. `size_bytes`: of the files, 0 where nobody says beforehand."""

    name: str
    description: str
    licence: str
    source: str
    remotes: tuple[RemoteFile, ...]
    size_bytes: int
    megabytes: float | None = None


def plan_fetch(name: str, megabytes: float | None = None) -> FetchPlan:
    """What fetching `name` brings: as many files, from the first, as hold `megabytes`. Raises CorpusError."""
    if name in BUNDLED or STORIES.fullmatch(name):
        raise CorpusError(f"{name} comes with gpt-tui: there is nothing to fetch")
    about = catalogue_entry(name)
    if about is None:
        fetched = [each for each, about in CATALOGUE.items() if about.kind == "fetched"]
        patterns = [pattern for pattern in PATTERNS if not pattern.startswith("stories")]
        raise CorpusError(
            f"no corpus that can be fetched is called {name!r}", do=f"There are {', '.join([*fetched, *patterns])}"
        )
    if any(remote.name.endswith(".parquet") for remote in about.remotes):
        require_pyarrow(name)  # before gigabytes come that nothing here can read
    sizes: list[int] = []
    for number, remote in enumerate(about.remotes):
        if megabytes is None and number >= about.first:
            break
        if megabytes is not None and sum(sizes) >= megabytes * 1e6:
            break
        sizes.append(remote_size(remote))
        if megabytes is not None and not sizes[-1]:
            raise CorpusError("nobody says how large it is", where=remote.url, do="Fetch without --megabytes")
    return FetchPlan(
        name=name,
        description=about.description,
        licence=about.licence,
        source=about.source,
        remotes=about.remotes[: len(sizes)],
        size_bytes=sum(sizes) if sizes and all(sizes) else 0,
        megabytes=megabytes,
    )


def fetch(plan: FetchPlan, corpus_dir: Path, progress: Progress) -> Path:
    """Bring what `plan` says into the cache; the folder that holds it. Raises CorpusError."""
    folder = fetched_folder(plan.name, corpus_dir)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(
            folder.with_name(f"{folder.name}.lock"),
            lambda: progress("waiting for another process that fetches this corpus", None),
        ):
            if not _has(folder, plan):
                _fetch(plan, folder, progress)
    except OSError as error:
        raise CorpusError(
            f"cannot be written: {reason(error)}",
            where=str(error.filename or folder),
            do="Free some space, or move the cache with GPT_TUI_CACHE",
        ) from None
    return folder


def _has(folder: Path, plan: FetchPlan) -> bool:
    manifest = read_manifest(folder) if folder.exists() else None
    wanted = [remote.name for remote in plan.remotes] or [STREAMED]
    return manifest is not None and all(_is_whole(folder, file, manifest) for file in wanted)


def _is_whole(folder: Path, file: str, manifest: Manifest) -> bool:
    path = folder / file
    return file in manifest.files and path.exists() and path.stat().st_size == manifest.files[file]


def _fetch(plan: FetchPlan, folder: Path, progress: Progress) -> None:
    about = catalogue_entry(plan.name)
    assert about is not None  # it has a plan
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(exist_ok=True)
    earlier = read_manifest(folder) if folder.exists() else None  # of fewer files, or of damaged ones
    sha256 = {}
    documents = None
    for remote in plan.remotes:
        target = partial / remote.name
        if earlier is not None and not target.exists() and _is_whole(folder, remote.name, earlier):
            os.link(folder / remote.name, target)
        sha256[remote.name] = download(remote, target, progress)
    hub_set = parse_hub_name(plan.name)
    if hub_set is not None:
        documents = _stream(hub_set, partial / STREAMED, plan.megabytes, progress)
    names = [remote.name for remote in plan.remotes] or [STREAMED]
    write_manifest(partial, _manifest(plan, about, partial, names, sha256, documents))
    for path in partial.iterdir():  # of an earlier fetch of more files that was cut short
        if path.name not in (*names, MANIFEST):
            path.unlink()
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _manifest(
    plan: FetchPlan,
    about: CatalogueEntry,
    folder: Path,
    names: list[str],
    sha256: dict[str, str],
    documents: int | None,
) -> Manifest:
    return Manifest(
        name=plan.name,
        made="fetched",
        files={name: (folder / name).stat().st_size for name in names},
        description=plan.description,
        licence=plan.licence,
        source=plan.source,
        sha256=sha256,
        layout=about.layout,
        documents=documents,
    )


def _stream(hub_set: HubDataset, path: Path, megabytes: float | None, progress: Progress) -> int:
    """Write the set's training texts to `path`, up to `megabytes` of them; how many documents they are."""
    encode = msgspec.json.Encoder().encode
    documents = written = 0
    limit = megabytes * 1e6 if megabytes is not None else None
    with path.open("wb") as file:
        for text in _texts(hub_set):
            file.write(encode({"text": text}) + b"\n")
            documents += 1
            written += len(text.encode())
            if documents % 100 == 0:
                progress(f"fetching {hub_set.repository}", min(1.0, written / limit) if limit else None)
            if limit is not None and written >= limit:
                break
        file.flush()
        os.fsync(file.fileno())
    if not documents:
        raise CorpusError("holds no texts", where=hub_set.repository)
    return documents


def _texts(hub_set: HubDataset) -> Iterator[str]:
    try:
        from datasets import load_dataset
    except ImportError:
        raise CorpusError(
            "sets of the hub are read by the datasets library, which is not installed",
            where=f"hf:{hub_set.repository}",
            do="Install it: pip install 'gpt-tui[hub]'",
        ) from None
    column = hub_set.column
    try:
        for row in load_dataset(hub_set.repository, hub_set.config or None, split="train", streaming=True):
            column = column or text_column(row, hub_set.repository)
            if column not in row:
                raise CorpusError(f"has no column {column!r}: there are {', '.join(row)}", where=hub_set.repository)
            if row[column]:
                yield str(row[column])
    except CorpusError:
        raise
    except Exception as error:  # the library and its file systems raise whatever they meet
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CorpusError(
            f"cannot be read from the hub: {said}",
            where=f"hf:{hub_set.repository}",
            do="hf:OWNER/NAME[:CONFIG][:COLUMN]; hf:OWNER/NAME::COLUMN leaves the config out",
        ) from error
