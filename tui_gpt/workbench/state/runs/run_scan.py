"""Read every run of a workspace as a row of the list of runs, again only where a file changed.

One scan reads what a list of a thousand runs needs at once (status, evaluations, note, tags), then, as far as its time
allows, what takes longer (the config, the end of the metrics, the size on disk), newest first. Whatever a run folder
holds becomes a row: what cannot be read is the row's `problem`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tui_gpt.errors import UserError, reason
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.jsonl import read_jsonl
from tui_gpt.run.messages import FINAL_STATES, Eval, NonFinite, Status
from tui_gpt.workbench.state.draft import flatten
from tui_gpt.workbench.state.runs.last_loss import last_loss

LIVE_STATES = ("starting", "running", "paused", "stopping", "elsewhere")
STAMPED = ("", "/status.json", "/config.toml", "/metrics.jsonl", "/evals.jsonl", "/checkpoints")  # "": what was renamed
RESTAT_SECONDS = 1.0  # a long reading looks for changes this often
STARTED = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)\d\d-(.+)")  # how a run's folder is named

Stamp = tuple[object, ...]


@dataclass(frozen=True)
class RunRow:
    """One run, summed up; None for what is not known. Settings, loss and size come with `is_complete`.

    loss: the end of the smoothed curve, as the chart and the header show it. non_finite: what the last loss was instead
    of a number. problem: why the run, or a part of it, cannot be read.
    """

    folder: RunFolder
    state: str
    is_locked: bool = False
    status: Status | None = None
    parameters: int | None = None
    best_val: float | None = None
    note: str = ""
    tags: tuple[str, ...] = ()
    problem: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    loss: float | None = None
    non_finite: NonFinite | None = None
    size_bytes: int | None = None
    is_complete: bool = False
    texts: dict[object, str] = field(default_factory=dict, init=False, compare=False, repr=False)  # of cells, once made

    @cached_property
    def id(self) -> str:
        return self.folder.id

    @property
    def own_name(self) -> str:
        """The name without its date and time."""
        found = STARTED.fullmatch(self.id)
        return found[6] if found else self.id

    @property
    def started(self) -> str:
        """When the run was made, as its folder's name says it: `11-20 23:15`."""
        found = STARTED.fullmatch(self.id)
        return f"{found[2]}-{found[3]} {found[4]}:{found[5]}" if found else ""

    @property
    def is_live(self) -> bool:
        return self.is_locked or self.state in LIVE_STATES

    @property
    def tokens_per_second(self) -> float | None:
        """The rate of now for a live run, and the mean of one that has ended."""
        if self.status is None:
            return None
        if not self.is_live and self.status.elapsed_seconds > 0 and self.status.tokens:
            return self.status.tokens / self.status.elapsed_seconds
        return self.status.tokens_per_second or None

    @property
    def elapsed_seconds(self) -> float | None:
        return self.status.elapsed_seconds or None if self.status else None

    @property
    def cause(self) -> str:
        """Why the run cannot be read or has failed, or how it ended, in one line."""
        if self.problem:
            return self.problem
        if self.state == "crashed":
            was = f" while it was {self.status.state}" if self.status else " before they wrote a status"
            return f"its processes ended{was}, without reporting why"
        if self.status is None:
            return ""
        if self.state == "elsewhere":
            return f"{self.status.state} on host {self.status.host}"
        return str(self.status.failure) if self.status.failure else self.status.message


class RunScanner:
    """Scans the runs folder. `rows`: the newest first; `problem`: why the folder cannot be read."""

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self.rows: list[RunRow] = []
        self.problem = ""
        self.is_read = False
        self._known: dict[str, tuple[Stamp, RunRow]] = {}
        self._looked = 0.0
        self._configs: dict[bytes, dict[str, Any]] = {}  # settings by the text of their file: sweeps repeat it

    def scan(self, budget_seconds: float = 0.1) -> bool:
        """Read what changed, and return whether there is more to read. Blocking; never raises."""
        started = time.monotonic()
        if started - self._looked > RESTAT_SECONDS or all(row.is_complete for row in self.rows):
            self._looked = started
            self._find_changes()
        is_done = True
        for name, (stamp, row) in self._known.items():
            if row.is_complete:
                continue
            if time.monotonic() - started > budget_seconds:
                is_done = False
                break
            self._known[name] = (stamp, self._complete(row))
        self.rows = [row for _, row in self._known.values()]
        self.is_read = True
        return not is_done

    def forget(self, folder: RunFolder) -> None:
        """Read a run again at the next scan, whatever its files' times say."""
        self._known.pop(folder.id, None)
        self._looked = 0.0

    def _find_changes(self) -> None:
        """List the runs, and read at once what changed of each."""
        found: dict[str, tuple[Stamp, RunRow]] = {}
        try:
            names = sorted((entry.name for entry in os.scandir(self.runs_dir) if _is_folder(entry)), reverse=True)
            self.problem = ""
        except FileNotFoundError:
            names, self.problem = [], ""
        except OSError as error:
            names, self.problem = [], f"{self.runs_dir}: cannot be read: {reason(error)}"
        for name in names:
            path, known = f"{self.runs_dir}/{name}", self._known.get(name)
            stamp = tuple(_stamp(path + file) for file in STAMPED)
            if stamp[2] is None and _is_missing(f"{path}/config.toml"):
                continue  # not a run
            if known is not None and known[0] == stamp:
                found[name] = (stamp, _with_lock(known[1]))
                continue
            row = _read_row(RunFolder(Path(path)))
            if known is not None:  # what is known of it stands until the rest has been read again
                before = known[1]
                row = replace(
                    row,
                    settings=before.settings,
                    loss=before.loss,
                    non_finite=before.non_finite,
                    size_bytes=before.size_bytes,
                )
            found[name] = (stamp, row)
        self._known = found

    def _complete(self, row: RunRow) -> RunRow:
        """Return the row with its settings, its loss and its size."""
        row = replace(row, size_bytes=size_of(row.folder.path), settings={}, is_complete=True)
        attempt = _Attempt(row.folder, row.problem)
        settings = attempt(lambda: self._settings(row.folder)) or {}
        loss, non_finite = attempt(lambda: last_loss(row.folder.metrics)) or (None, None)
        state = "unreadable" if attempt.problem else row.state
        return replace(row, state=state, problem=attempt.problem, settings=settings, loss=loss, non_finite=non_finite)

    def _settings(self, folder: RunFolder) -> dict[str, Any]:
        data = folder.config.read_bytes()
        known = self._configs.get(data)
        if known is None:
            known = self._configs[data] = flatten(folder.read_config())
        return known


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return not entry.name.startswith(".") and entry.is_dir()
    except OSError:
        return False


def _is_missing(path: str) -> bool:
    """Return whether there is no such file; one that cannot be looked at is there, and its row says why."""
    try:
        os.stat(path)  # noqa: PTH116  # many thousand times: a Path costs as much as the call
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _stamp(path: str) -> tuple[int, int, int] | None:
    """Return what changes with a file: its time alone is too coarse for one that is replaced twice in a tick."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _with_lock(row: RunRow) -> RunRow:
    """Return the row as the lock is now: only a run that has not ended can change without a file that does."""
    if row.state not in LIVE_STATES and row.state not in ("crashed", "unreadable"):
        return row
    is_locked = row.folder.is_locked()
    if row.state == "unreadable":
        return row if is_locked == row.is_locked else replace(row, is_locked=is_locked)
    state = row.folder.state(row.status) if row.status else "starting" if is_locked else "crashed"
    same = (state, is_locked) == (row.state, row.is_locked)
    return row if same else replace(row, state=state, is_locked=is_locked, is_complete=False)


class _Attempt:
    """Reads the parts of a run folder; the first that cannot be read is its `problem`."""

    def __init__(self, folder: RunFolder, problem: str = "") -> None:
        self.folder, self.problem = folder, problem

    def __call__(self, part: Callable[[], Any]) -> Any:
        try:
            return part()
        except UserError as error:
            problem = str(error)
        except FileNotFoundError:
            return None
        except OSError as error:
            problem = f"{error.filename or self.folder.path}: cannot be read: {reason(error)}"
        except (ValueError, RecursionError) as error:
            problem = f"{self.folder.path}: is damaged: {error}"
        self.problem = self.problem or problem
        return None


def _read_row(folder: RunFolder) -> RunRow:
    """Return what is read at once: everything but the config and the size."""
    attempt = _Attempt(folder)
    status = attempt(folder.read_status)
    info = attempt(folder.read_info)
    evals: list[Eval] = attempt(lambda: read_jsonl(folder.evals, Eval)) or []
    is_locked = (status is None or status.state not in FINAL_STATES) and folder.is_locked()
    state = folder.state(status) if status else "starting" if is_locked else "crashed"
    scores = [item.val_loss for item in evals if item.val_loss is not None]
    return RunRow(
        folder=folder,
        state="unreadable" if attempt.problem else state,
        is_locked=is_locked,
        status=status,
        parameters=info.parameters or None if info else None,
        best_val=min(scores, default=status.val_loss if status else None),
        note=_read_text(folder.note),
        tags=parse_tags(_read_text(folder.tags)),
        problem=attempt.problem,
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def parse_tags(text: str) -> tuple[str, ...]:
    """Return the tags of a text, in order and once each: words, parted by spaces, commas or lines."""
    return tuple(dict.fromkeys(re.split(r"[\s,]+", text.strip(" ,\n\t")))) if text.strip(" ,\n\t") else ()


def size_of(path: Path | str) -> int:
    """Return the bytes of the files below `path`; what cannot be read, or vanishes meanwhile, counts nothing."""
    total = 0
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        total += size_of(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
                except OSError:
                    continue
    except OSError:
        pass
    return total
