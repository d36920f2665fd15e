"""Fetch a corpus by name into the cache: plan, download file by file, and rename into place when complete.

A killed fetch leaves a folder called `.partial`, whose files the next fetch continues. Concurrent fetches of one corpus
wait for each other. Hub datasets that are not in the catalogue are streamed by the `datasets` library, an optional
dependency, from the commit that the plan names, and without running any code of theirs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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
HUB_SECONDS = 30.0


class FetchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a fetch would download. size_bytes: 0 if unknown. revision: the commit of a dataset on the hub."""

    name: str
    description: str
    licence: str
    source: str
    remotes: tuple[RemoteFile, ...]
    size_bytes: int
    megabytes: float | None = None
    revision: str = ""


class _HubFacts(msgspec.Struct, frozen=True):
    revision: str
    licence: str


def plan_fetch(name: str, megabytes: float | None = None) -> FetchPlan:
    """Return what fetching `name` downloads: the first files, as many as hold `megabytes`.

    Raises CorpusError for a corpus that cannot be fetched.
    """
    if name in BUNDLED or STORIES.fullmatch(name):
        raise CorpusError(f"{name} is bundled with gpt-tui and need not be fetched")
    entry = catalogue_entry(name)
    if entry is None:
        fetched = [known for known, entry in CATALOGUE.items() if entry.kind == "fetched"]
        patterns = [pattern for pattern in PATTERNS if not pattern.startswith("stories")]
        raise CorpusError(
            f"unknown corpus {name!r}", do=f"Corpora that can be fetched: {', '.join([*fetched, *patterns])}"
        )
    if any(remote.name.endswith(".parquet") for remote in entry.remotes):
        require_pyarrow(name)  # before downloading gigabytes that could not be read
    sizes: list[int] = []
    for number, remote in enumerate(entry.remotes):
        if megabytes is None and number >= entry.first:
            break
        if megabytes is not None and sum(sizes) >= megabytes * 1e6:
            break
        sizes.append(remote_size(remote))
        if megabytes is not None and not sizes[-1]:
            raise CorpusError("the server does not report the size", where=remote.url, do="Fetch without --megabytes")
    dataset = parse_hub_name(name)
    facts = _hub_facts(dataset) if dataset else None
    return FetchPlan(
        name=name,
        description=entry.description,
        licence=facts.licence if facts and facts.licence else entry.licence,
        source=f"{entry.source}/tree/{facts.revision}" if facts else entry.source,
        revision=facts.revision if facts else "",
        remotes=entry.remotes[: len(sizes)],
        size_bytes=sum(sizes) if sizes and all(sizes) else 0,
        megabytes=megabytes,
    )


def fetch(plan: FetchPlan, corpus_dir: Path, progress: Progress) -> Path:
    """Download the files of `plan` into the cache and return their folder. Raises CorpusError."""
    folder = fetched_folder(plan.name, corpus_dir)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(
            folder.with_name(f"{folder.name}.lock"),
            lambda: progress("waiting for another process fetching this corpus", None),
        ):
            if not _is_fetched(folder, plan):
                _fetch(plan, folder, progress)
    except OSError as error:
        raise CorpusError(
            f"cannot be written: {reason(error)}",
            where=str(error.filename or folder),
            do="Free some space, or move the cache with GPT_TUI_CACHE",
        ) from None
    return folder


def _is_fetched(folder: Path, plan: FetchPlan) -> bool:
    manifest = read_manifest(folder) if folder.exists() else None
    names = [remote.name for remote in plan.remotes] or [STREAMED]
    return manifest is not None and all(_is_complete(folder, name, manifest) for name in names)


def _is_complete(folder: Path, file: str, manifest: Manifest) -> bool:
    path = folder / file
    return file in manifest.files and path.exists() and path.stat().st_size == manifest.files[file]


def _fetch(plan: FetchPlan, folder: Path, progress: Progress) -> None:
    entry = catalogue_entry(plan.name)
    assert entry is not None  # plan_fetch has checked it
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(exist_ok=True)
    earlier = read_manifest(folder) if folder.exists() else None  # a fetch of fewer files, or with damaged files
    sha256 = {}
    documents = None
    for remote in plan.remotes:
        target = partial / remote.name
        if earlier is not None and not target.exists() and _is_complete(folder, remote.name, earlier):
            os.link(folder / remote.name, target)
        sha256[remote.name] = download(remote, target, progress)
    dataset = parse_hub_name(plan.name)
    if dataset is not None:
        documents = _stream(dataset, plan.revision, partial / STREAMED, plan.megabytes, progress)
    names = [remote.name for remote in plan.remotes] or [STREAMED]
    write_manifest(partial, _manifest(plan, entry, partial, names, sha256, documents))
    for path in partial.iterdir():  # files of an interrupted fetch that asked for more
        if path.name not in (*names, MANIFEST):
            path.unlink()
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _manifest(
    plan: FetchPlan,
    entry: CatalogueEntry,
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
        layout=entry.layout,
        documents=documents,
    )


def _stream(dataset: HubDataset, revision: str, path: Path, megabytes: float | None, progress: Progress) -> int:
    """Write the training texts of `dataset` to `path`, up to `megabytes`, and return the number of documents."""
    encode = msgspec.json.Encoder().encode
    documents = written = 0
    limit = megabytes * 1e6 if megabytes is not None else None
    with path.open("wb") as file:
        for text in _texts(dataset, revision):
            file.write(encode({"text": text}) + b"\n")
            documents += 1
            written += len(text.encode())
            if documents % 100 == 0:
                progress(f"fetching {dataset.repository}", min(1.0, written / limit) if limit else None)
            if limit is not None and written >= limit:
                break
        file.flush()
        os.fsync(file.fileno())
    if not documents:
        raise CorpusError("no texts in this dataset", where=dataset.repository)
    return documents


def _hub_facts(dataset: HubDataset) -> _HubFacts:
    """Return the newest commit of a dataset and the licence that its card names. Raises CorpusError."""
    with _translate_hub_errors(dataset):
        from huggingface_hub import HfApi

        info = HfApi().dataset_info(dataset.repository, timeout=HUB_SECONDS)
        licence: str | list[str] = getattr(info.card_data, "license", None) or ""
        return _HubFacts(info.sha or "main", ", ".join(licence) if isinstance(licence, list) else str(licence))


@contextmanager
def _translate_hub_errors(dataset: HubDataset) -> Iterator[None]:
    """Raise CorpusError for the exceptions of the hub's libraries and their file systems, which have many types."""
    try:
        yield
    except CorpusError:
        raise
    except ImportError:
        raise CorpusError(
            "hub datasets need the datasets library, which is not installed",
            where=f"hf:{dataset.repository}",
            do="Install it: pip install 'gpt-tui[hub]'",
        ) from None
    except Exception as error:
        message = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CorpusError(
            f"cannot read from the hub: {message}",
            where=f"hf:{dataset.repository}",
            do="Write hf:OWNER/NAME[:CONFIG][:COLUMN]; hf:OWNER/NAME::COLUMN leaves the config out",
        ) from error


def _texts(dataset: HubDataset, revision: str) -> Iterator[str]:
    column = dataset.column
    with _translate_hub_errors(dataset):
        from datasets import load_dataset

        rows = load_dataset(
            dataset.repository,
            dataset.config or None,
            split="train",
            streaming=True,
            revision=revision,
            trust_remote_code=False,
        )
        for row in rows:
            column = column or text_column(row, dataset.repository)
            if column not in row:
                raise CorpusError(f"no column {column!r}", where=dataset.repository, do=f"Columns: {', '.join(row)}")
            if row[column]:
                yield str(row[column])
