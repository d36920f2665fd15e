"""Every run of the workspace as one line: what the list of runs shows, read again only where something changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tui_gpt.errors import UserError
from tui_gpt.run.folder import RunFolder, list_runs
from tui_gpt.run.messages import Status
from tui_gpt.workbench.canvas import Row, Span, row, under_cursor
from tui_gpt.workbench.status import state_span
from tui_gpt.workbench.text import clock, cut, nats, one_line, size, width_of

ORDERS = ("start", "loss", "steps", "size")
LIVE = ("starting", "running", "paused", "stopping", "elsewhere")


@dataclass(frozen=True)
class RunLine:
    """One run, summed up. `problem`: why it cannot be read, in words."""

    folder: RunFolder
    state: str
    status: Status | None
    size_bytes: int
    note: str
    problem: str = ""

    @property
    def id(self) -> str:
        return self.folder.id

    @property
    def is_live(self) -> bool:
        return self.state in LIVE


class RunList:
    """Scans `runs/`; a run whose status, note and lock are as before is not read again."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.lines: list[RunLine] = []
        self._known: dict[str, tuple[object, RunLine]] = {}

    def scan(self) -> None:
        """Blocking; never raises for what a run folder can hold."""
        found: dict[str, tuple[object, RunLine]] = {}
        try:
            folders = list_runs(self.runs)
        except OSError:
            folders = []
        for folder in folders:
            stamp = (_mtime(folder.status), _mtime(folder.note), _mtime(folder.checkpoints), folder.is_locked())
            known = self._known.get(folder.id)
            found[folder.id] = known if known and known[0] == stamp else (stamp, _read(folder))
        self._known = found
        self.lines = [line for _, line in found.values()]

    def ordered(self, order: str, needle: str = "") -> list[RunLine]:
        """Those whose line holds `needle`, live ones first, then by `order`; newest first where that says nothing."""
        lines = [line for line in reversed(self.lines) if needle.lower() in _searchable(line)]
        if order == "loss":
            lines.sort(key=_loss)
        elif order == "steps":
            lines.sort(key=lambda line: -(line.status.step if line.status else 0))
        elif order == "size":
            lines.sort(key=lambda line: -line.size_bytes)
        return sorted(lines, key=lambda line: not line.is_live)


def _read(folder: RunFolder) -> RunLine:
    try:
        note = folder.note.read_text("utf-8", "replace").strip()
    except OSError:
        note = ""
    try:
        size_bytes = folder.size_bytes()
    except OSError:
        size_bytes = 0
    try:
        status = folder.read_status()
        return RunLine(folder, folder.state(status), status, size_bytes, note)
    except UserError as error:
        return RunLine(folder, "unreadable", None, size_bytes, note, str(error))


def _mtime(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _searchable(line: RunLine) -> str:
    return f"{line.id} {line.state} {line.note}".lower()


def _loss(line: RunLine) -> float:
    if line.status is None:
        return float("inf")
    values = [value for value in (line.status.val_loss, line.status.loss) if value is not None]
    return values[0] if values else float("inf")


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────────

_COLUMNS = (("step", 13), ("loss", 8), ("val", 8), ("time", 8), ("size", 9))
_FROM = {"step": 50, "loss": 0, "val": 64, "time": 86, "size": 100}  # columns of the screen from which on each is shown


def _widths(width: int) -> tuple[int, list[tuple[str, int]], int]:
    """Of the run's name, the figures that fit, and the note."""
    columns = [(name, wide) for name, wide in _COLUMNS if width >= _FROM[name]]
    rest = width - 16 - sum(wide for _, wide in columns)
    if rest < 44:
        return max(8, rest), columns, 0
    name = min(40, round(rest * 0.6))
    return name, columns, rest - name - 2


def table_head(width: int) -> Row:
    name, columns, note = _widths(width)
    spans: list[Span] = [("   " + "state".ljust(13) + "run".ljust(name), "dim")]
    spans += [(label.rjust(wide), "dim") for label, wide in columns]
    return row(*spans, ("  note" if note else "", "dim"))


def table_row(line: RunLine, width: int, *, selected: bool, letter: Span | None) -> Row:
    """`letter`: the run's mark in the overlay, in its colour."""
    name, columns, note = _widths(width)
    status = line.status
    total = f"/{status.total_steps}" if status and status.total_steps else ""
    figures = {
        "step": f"{status.step}{total}" if status else "",
        "loss": nats(status.loss) if status and status.step else "",
        "val": nats(status.val_loss) if status and status.val_loss is not None else "",
        "time": clock(status.elapsed_seconds) if status else "",
        "size": size(line.size_bytes),
    }
    word, role = state_span(line.state)
    mark = letter or ("  ", "text")
    label = cut(one_line(line.id), name)
    about = cut(one_line(line.problem or line.note), note)
    spans: Sequence[Span] = [
        (" ", "text"),
        mark,
        (word.ljust(13), role),
        (label + " " * (name - width_of(label)), "bright"),
        *((figures[key].rjust(wide), "text") for key, wide in columns),
        ("  " + about if note else "", "bad" if line.problem else "dim"),
    ]
    return under_cursor(spans, width) if selected else tuple(spans)
