"""Find and remove what nobody needs any more: leftovers of killed processes, outdated caches, and caches on request.

Nothing of a live run is touched, and nothing that only a download could bring back. What is found is removed under the
lock of whatever makes it, so that a process that has just begun to use it keeps it.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec

from tui_gpt.checkpoints import manifest
from tui_gpt.corpora import cache_dir
from tui_gpt.corpora.shards.shard_files import read_info
from tui_gpt.corpora.sources.locks import try_lock
from tui_gpt.corpora.sources.source import Stories
from tui_gpt.errors import CorpusError, RunError
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder

SETTLED_SECONDS = 600.0  # a run folder without a config that is younger may just be made
ABANDONED_SECONDS = 86_400.0  # temporary files whose maker cannot be asked
RUN_ID = re.compile(r"\d{8}-\d{6}-")
TEMPORARY = re.compile(r"\..+\.\d+\.\d+\.tmp$")  # of `write_atomically`


class Garbage(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder to remove, and why. lock: to hold meanwhile. run: the run that it belongs to."""

    path: str
    why: str
    bytes: int
    lock: str = ""
    run: str = ""


def find_garbage(runs: Path, corpus_dir: Path, *, caches: bool) -> list[Garbage]:
    """Return what can be removed, in a fixed order. caches: also everything that can be made again from the texts."""
    cache = cache_dir(corpus_dir)
    found = [*_of_runs(runs), *_of_preparation(cache, runs, caches), *_of_corpora(corpus_dir, cache, caches)]
    return [*found, *_locks(cache)]  # after what they protect


def remove(garbage: Garbage) -> bool:
    """Remove a file or folder, unless it is in use by now, and return whether that was done. Raises OSError."""
    path = Path(garbage.path)
    with ExitStack() as held:
        if garbage.lock and not held.enter_context(try_lock(Path(garbage.lock))):
            return False
        if garbage.run:
            try:
                held.enter_context(folders.claimed(RunFolder(Path(garbage.run)), "cleaned up"))
            except RunError:
                return False
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return True


def _garbage(path: Path, why: str, *, lock: Path | None = None, run: Path | None = None) -> Garbage:
    size = RunFolder(path).size_bytes() if path.is_dir() else path.lstat().st_size
    return Garbage(path=str(path), why=why, bytes=size, lock=str(lock or ""), run=str(run or ""))


def _of_runs(runs: Path) -> Iterator[Garbage]:
    """Yield what killed processes left in folders of runs that are not live, and folders of half-deleted runs."""
    for path in sorted(runs.iterdir()) if runs.is_dir() else []:
        if path.is_symlink() or not path.is_dir():
            continue
        if path.name.startswith(".restoring-") and _age(path) > ABANDONED_SECONDS:
            yield _garbage(path, "left by a restore that was killed")
        folder = RunFolder(path)
        if not RUN_ID.match(folder.id) or folder.is_locked() or folder.seen_within(folders.LOST_SECONDS):
            continue
        if not folder.config.exists():
            if _age(path) > SETTLED_SECONDS:
                yield _garbage(path, "left of a run that was deleted", run=path)
            continue
        for partial in sorted(path.glob(".partial-step-*")):
            yield _garbage(partial, "a checkpoint that was not completed", run=path)
        for replaced in sorted(path.glob(".replaced-step-*")):
            if (folder.checkpoints / replaced.name.removeprefix(".replaced-")).exists():  # else it is the only copy
                yield _garbage(replaced, "a checkpoint that was saved again", run=path)
        for checkpoint in sorted(folder.checkpoints.glob("step-*")):
            if not (checkpoint / manifest.MANIFEST).exists():
                yield _garbage(checkpoint, "left of a checkpoint that was deleted", run=path)
        for temporary in sorted(path.rglob(".*.tmp")):
            if TEMPORARY.match(temporary.name):
                yield _garbage(temporary, "left by a process that was killed", run=path)
    for bench in sorted(runs.parent.glob(".bench-*")):
        if _age(bench) > ABANDONED_SECONDS:
            yield _garbage(bench, "left by a benchmark that was killed")


def _of_preparation(cache: Path, runs: Path, caches: bool) -> Iterator[Garbage]:
    """Yield unfinished and outdated shards and, for `caches`, all but those of live runs."""
    in_use = _digests_in_use(runs) if caches else None
    for path in sorted((cache / "shards").glob("*")):
        lock = path.with_suffix(".lock")
        if path.suffix in (".partial", ".built"):
            yield _garbage(path, "a preparation that was not completed", lock=lock)
        elif path.is_dir():
            try:
                digest = read_info(path).digest
            except CorpusError:
                yield _garbage(path, "damaged, or prepared by another version", lock=lock)
                continue
            if in_use is not None and digest not in in_use:
                yield _garbage(path, "can be prepared again", lock=lock)


def _digests_in_use(runs: Path) -> set[str] | None:
    """Return the digests of the corpora of live runs, None if one of them is not known."""
    digests = set()
    for folder in folders.list_runs(runs):
        try:
            if folder.is_locked() or folder.seen_within(folders.LOST_SECONDS):
                info = folder.read_info()
                if info is None or info.corpus is None:
                    return None
                digests.add(info.corpus.digest)
        except RunError:
            return None
    return digests


def _of_corpora(corpus_dir: Path, cache: Path, caches: bool) -> Iterator[Garbage]:
    """Yield unfinished downloads and copies and, for `caches`, what can be generated, trained or computed again."""
    for path in sorted((cache / "fetched").glob("*.partial")):
        yield _garbage(path, "a download that was not completed", lock=path.with_suffix(".lock"))
    for path in sorted([*corpus_dir.glob(".cleaning-*"), *cache.glob("report")]):
        lock = cache / ("report.lock" if path.name == "report" else f"{path.name.removeprefix('.')}.lock")
        yield _garbage(path, "a cleaning that was not completed", lock=lock)
    for path in sorted([*corpus_dir.glob(".adding-*"), *cache.rglob(".*.tmp")]):
        if _age(path) > ABANDONED_SECONDS:
            yield _garbage(path, "left by a process that was killed")
    current = {stories.path.stem for stories in Stories.find_generated(cache)}
    for path in sorted(cache.glob("stories-*")):
        lock = path.with_suffix(".lock")
        if path.suffix == ".partial":
            yield _garbage(path, "stories that were not completed", lock=lock)
        elif path.suffix in (".jsonl", ".json") and path.stem not in current:
            yield _garbage(path, "stories of another version", lock=lock)
        elif path.suffix in (".jsonl", ".json") and caches:
            yield _garbage(path, "can be generated again", lock=lock)
    if caches:
        for path in sorted((cache / "digests").glob("*.json")):
            yield _garbage(path, "can be computed again")
        for path in sorted((cache / "tokenizers").glob("*")):
            if re.fullmatch(r"[0-9a-f]{32}", path.stem):  # trained on a corpus; others are downloaded
                yield _garbage(path, "can be trained again")


def _locks(cache: Path) -> Iterator[Garbage]:
    """Yield lock files that nobody holds."""
    for path in sorted(cache.rglob("*.lock")):
        with try_lock(path) as is_free:
            if is_free:
                yield _garbage(path, "a lock that nobody holds", lock=path)


def _age(path: Path) -> float:
    return time.time() - path.lstat().st_mtime
