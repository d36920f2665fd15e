"""Read every run of a workspace as a row of the list of runs, again only where a file changed.

One scan reads, newest first, as many runs as its time allows, so that a thousand of them come into the list while they
are read. Whatever a run folder holds becomes a row: what cannot be read is the row's `problem`.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tui_gpt.errors import UserError, reason
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import FINAL_STATES, NonFinite, Status
from tui_gpt.workbench.state.draft import flatten
from tui_gpt.workbench.state.runs.last_loss import last_loss

LIVE_STATES = ("starting", "running", "paused", "stopping", "elsewhere")
STAMPED = ("", "/status.json", "/config.toml", "/metrics.jsonl", "/evals.jsonl", "/checkpoints")  # "": what was renamed
STARTED = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)\d\d-(.+)")  # how a run's folder is named

Stamp = tuple[object, ...]


@dataclass(frozen=True)
class RunRow:
    """One run, summed up; None for what is not known.

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
    size_bytes: int = 0
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
        self._configs: dict[bytes, dict[str, Any]] = {}  # settings by the text of their file: sweeps repeat it

    def scan(self, budget_seconds: float = 0.1) -> bool:
        """Read the runs that changed, and return whether there are more to read. Blocking; never raises."""
        until = time.monotonic() + budget_seconds
        found: dict[str, tuple[Stamp, RunRow]] = {}
        is_done, has_read = True, False
        for name in self._names():
            path, known = f"{self.runs_dir}/{name}", self._known.get(name)
            stamp = tuple(_stamp(path + file) for file in STAMPED)
            if known is not None and known[0] == stamp:
                found[name] = stamp, _with_lock(known[1])
            elif has_read and time.monotonic() > until:
                is_done = False
                if known is not None:
                    found[name] = known
            elif stamp[1] or stamp[2]:  # it has a status or a config, so it is a run
                found[name], has_read = (stamp, self._read_row(RunFolder(Path(path)))), True
        self._known = found
        self.rows, self.is_read = [row for _, row in found.values()], True
        return not is_done

    def forget(self, folder: RunFolder) -> None:
        """Read a run again at the next scan, whatever its files' times say."""
        self._known.pop(folder.id, None)

    def _names(self) -> list[str]:
        """Return the names of the folders, the newest run first."""
        self.problem = ""
        try:
            with os.scandir(self.runs_dir) as entries:
                return sorted((each.name for each in entries if not each.name.startswith(".")), reverse=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            self.problem = f"{self.runs_dir}: cannot be read: {reason(error)}"
            return []

    def _read_row(self, folder: RunFolder) -> RunRow:
        """Return all that the list shows of a run; what cannot be read of it is its problem."""
        row = RunRow(
            folder, "unreadable", folder.is_locked(), note=_read_text(folder.note),
            tags=parse_tags(_read_text(folder.tags)), size_bytes=_size_of(folder.path),
        )  # fmt: skip
        try:
            status, info, evals = folder.read_status(), folder.read_info(), folder.read_evals()
            loss, non_finite = last_loss(folder.metrics)
            settings = self._settings(folder)
        except UserError as error:
            return replace(row, problem=str(error))
        except OSError as error:
            return replace(row, problem=f"{error.filename or folder.path}: cannot be read: {reason(error)}")
        except (ValueError, RecursionError) as error:
            return replace(row, problem=f"{folder.path}: is damaged: {error}")
        scores = [item.val_loss for item in evals if item.val_loss is not None]
        return replace(
            row,
            state=folder.state(status) if status else "starting" if row.is_locked else "crashed",
            status=status,
            parameters=info.parameters or None if info else None,
            best_val=min(scores, default=status.val_loss if status else None),
            settings=settings,
            loss=loss,
            non_finite=non_finite,
        )

    def _settings(self, folder: RunFolder) -> dict[str, Any]:
        data = folder.config.read_bytes()
        if data not in self._configs:
            self._configs[data] = flatten(folder.read_config())
        return self._configs[data]


def _stamp(path: str) -> tuple[int, int, int] | None:
    """Return what changes with a file: its time alone is too coarse for one that is replaced twice in a tick."""
    try:
        found = os.stat(path)  # noqa: PTH116  # many thousand times: a Path costs as much as the call
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return 0, 0, 0  # it is there; its row says why it cannot be looked at
    return found.st_mtime_ns, found.st_ino, found.st_size


def _with_lock(row: RunRow) -> RunRow:
    """Return the row as the lock is now: only a run that has not ended can change without a file that does."""
    if row.state in FINAL_STATES:
        return row
    is_locked = row.folder.is_locked()
    state = row.state
    if not row.problem:
        state = row.folder.state(row.status) if row.status else "starting" if is_locked else "crashed"
    is_same = (state, is_locked) == (row.state, row.is_locked)
    return row if is_same else replace(row, state=state, is_locked=is_locked)


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def parse_tags(text: str) -> tuple[str, ...]:
    """Return the tags of a text, in order and once each: words, parted by spaces, commas or lines."""
    return tuple(dict.fromkeys(re.findall(r"[^\s,]+", text)))


def _size_of(path: Path) -> int:
    """Return the bytes of the files below `path`; what cannot be read, or vanishes meanwhile, counts nothing."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with suppress(OSError):
                total += os.lstat(f"{folder}/{name}").st_size
    return total
