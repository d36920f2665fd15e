"""Verify the files of a run or corpus: everything that has a digest is compared with it, everything else is parsed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tui_gpt.checkpoints import manifest
from tui_gpt.config import build, read_toml
from tui_gpt.corpora import cache_dir, load_tokenizer, open_shards
from tui_gpt.corpora.shards.shard_files import VersionError, read_info
from tui_gpt.corpora.sources.source import Folder, Progress, Source
from tui_gpt.errors import CheckpointError, CorpusError, UserError, reason
from tui_gpt.files import is_intact
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Eval, Event, Message, Metrics, Rewound, RunInfo, Sample

QUOTED_LINES = 5  # of a damaged journal


class Damage(msgspec.Struct, frozen=True):
    """A damaged file or folder, and what to do about it."""

    path: str
    what: str
    do: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}. {self.do}"


@dataclass
class Verification:
    """What was verified, and what is damaged. notes: what is unusual and does no harm."""

    files: int = 0
    bytes: int = 0
    damaged: list[Damage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *paths: Path) -> None:
        """Count files as verified."""
        for path in paths:
            if path.is_file():
                self.files += 1
                self.bytes += path.stat().st_size

    def report(self, error: UserError, do: str = "") -> None:
        """Add what `error` says is damaged."""
        self.damaged.append(Damage(error.where, error.what, do or error.do))


def verify_run(folder: RunFolder, corpus_dir: Path, progress: Progress) -> Verification:
    """Verify all files of a run, and the prepared corpus that it was trained on."""
    found = Verification()
    info = _verify_facts(folder, found)
    journals: tuple[tuple[Path, type[Message]], ...] = (
        (folder.metrics, Metrics),
        (folder.evals, Eval),
        (folder.samples, Sample),
        (folder.events, Event),
    )
    for path, kind in journals:
        progress("journals", None)
        _verify_journal(path, kind, found)
    _verify_checkpoints(folder, found, progress)
    _verify_metrics(folder, found)
    if info is not None and info.corpus is not None:
        _verify_shards(info.corpus.digest, corpus_dir, found, progress)
    return found


def verify_corpus(source: Source, corpus_dir: Path, progress: Progress) -> Verification:
    """Verify the files of a corpus, and what was prepared from it."""
    found = Verification()
    if isinstance(source, Folder) and source.manifest is not None:
        for name, size in source.manifest.files.items():
            path = source.path / name
            found.add(path)
            if not path.is_file() or path.stat().st_size != size:
                do = f"Fetch or add it again: gpt-tui corpus fetch {source.name}"
                found.damaged.append(Damage(str(path), f"is missing, or has not the {size:,} bytes it had", do))
    progress(f"reading {source.name}", None)
    _verify_shards(source.digest(), corpus_dir, found, progress)
    return found


def _verify_facts(folder: RunFolder, found: Verification) -> RunInfo | None:
    """Verify the small files of a run. Return run.json, or None where there is none that can be read."""
    copy = manifest.newest(folder.checkpoints)
    do = f"Replace it by {copy.path / manifest.CONFIG}" if copy else "Delete the run: gpt-tui delete RUN"
    found.add(folder.config, folder.status, folder.info, folder.tokenizer)
    try:
        build(read_toml(folder.config), str(folder.config))
    except UserError as error:
        found.report(error, do)
    try:
        if folder.tokenizer.exists():
            load_tokenizer(folder.tokenizer)
    except CorpusError as error:
        found.report(error, f"Replace it by {copy.path / manifest.TOKENIZER}" if copy else "")
    try:
        folder.read_status()
    except UserError as error:
        found.report(error, "Delete it: the run then counts as killed, and can be resumed")
    try:
        return folder.read_info()
    except UserError as error:
        found.report(error, "Delete it: the next resume writes it again")
    return None


def _verify_journal(path: Path, kind: type[Message], found: Verification) -> None:
    damaged, torn = [], 0
    decode, decode_rewound = msgspec.json.Decoder(kind).decode, msgspec.json.Decoder(Rewound).decode
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not is_intact(line):
                    damaged.append(number)
                    continue
                try:
                    decode_rewound(line) if line.startswith(b'{"rewound_to"') else decode(line)
                except (ValueError, RecursionError) as error:
                    if "truncated" in str(error):
                        torn += 1
                    else:
                        damaged.append(number)
    except FileNotFoundError:
        return
    except OSError as error:
        found.damaged.append(Damage(str(path), f"cannot be read: {reason(error)}", "Check the disk"))
        return
    found.add(path)
    if torn:
        found.notes.append(f"{path}: {torn} lines were cut off by a kill or a full disk, and are skipped by readers")
    if damaged:
        lines = ", ".join(map(str, damaged[:QUOTED_LINES])) + (" …" if len(damaged) > QUOTED_LINES else "")
        what = f"has {len(damaged)} damaged lines: {lines}"
        found.damaged.append(Damage(str(path), what, "Delete these lines; readers skip them"))


def _verify_metrics(folder: RunFolder, found: Verification) -> None:
    """Compare the journal of metrics with the newest full checkpoint, before which all of its lines were flushed."""
    newest = manifest.newest(folder.checkpoints, ["full"])
    if newest is None:
        return
    try:
        log_every = build(read_toml(newest.path / manifest.CONFIG)).training.log_every
    except UserError:
        return  # reported with its checkpoint
    if missing := folder.missing_metrics(newest.step, log_every):
        do = "They are lost; a resume goes on without them"
        found.damaged.append(Damage(str(folder.metrics), f"has no lines of steps {missing}", do))


def _verify_checkpoints(folder: RunFolder, found: Verification, progress: Progress) -> None:
    try:
        paths = sorted(path for path in folder.checkpoints.iterdir() if path.name.startswith("step-"))
    except OSError as error:
        found.damaged.append(Damage(str(folder.checkpoints), f"cannot be read: {reason(error)}", "Check the disk"))
        return
    sizes = [sum(file.stat().st_size for file in path.glob("*") if file.is_file()) for path in paths]
    done = 0
    for path, size in zip(paths, sizes, strict=True):
        progress("checkpoints", done / max(1, sum(sizes)))
        try:
            manifest.verify(path)
        except CheckpointError as error:
            found.report(error, f"Delete {path}: a resume then uses the one before")
        found.add(*path.glob("*"))
        done += size
    progress("checkpoints", 1.0)


def _verify_shards(digest: str, corpus_dir: Path, found: Verification, progress: Progress) -> None:
    """Verify what was prepared from the corpus with this digest of its text."""
    for path in _prepared(cache_dir(corpus_dir) / "shards", digest, found):
        try:
            shards = open_shards(path)
            files = shards.large_files()
            size, before = sum(file.stat().st_size for file in files), 0
            for file in files:
                for at in shards.check(file):
                    progress("prepared corpus", (before + at) / size)
                before += file.stat().st_size
        except CorpusError as error:
            found.report(error, f"Delete {path}; it will be prepared again from the text")
        except OSError as error:
            found.damaged.append(Damage(str(path), f"cannot be read: {reason(error)}", "Check the disk"))
        found.add(*path.glob("*"))


def _prepared(shards: Path, digest: str, found: Verification) -> Iterator[Path]:
    """Yield the folders of shards that were made of the text with this digest; report those that cannot tell."""
    for path in sorted(path for path in shards.glob("*") if path.is_dir() and not path.suffix):
        try:
            if read_info(path).digest == digest:
                yield path
        except VersionError:
            continue  # no longer used
        except CorpusError as error:
            found.report(error, f"Delete {path}; it will be prepared again from the text")
