"""The list of runs as columns and rows: what each column shows, sorts by and exports; what is listed, in which order.

Columns of settings stand for those that differ between the runs listed, and a run's name is built from them:
`L2·w96·lr1e-2`. Everything here is arithmetic on the rows that `run_scan` has read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tui_gpt.config import fields
from tui_gpt.workbench.drawing.formatting import cut, format_bytes, format_duration, format_loss, format_short, width_of
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.state.runs.run_scan import RunRow

SHORT_NAMES = {  # settings that tell runs apart, the most telling first; empty: the value says it all
    "preset": "",
    "model.architecture": "",
    "model.n_layer": "L",
    "model.n_embd": "w",
    "model.n_head": "h",
    "model.n_kv_head": "kv",
    "model.context_length": "ctx",
    "data.corpus": "",
    "data.tokenizer": "",
    "optimizer.name": "",
    "optimizer.learning_rate": "lr",
    "optimizer.muon_learning_rate": "mlr",
    "training.micro_batch_size": "b",
    "training.accumulation_steps": "acc",
    "training.duration": "",
    "schedule.name": "",
    "schedule.warmup_steps": "warm",
    "optimizer.weight_decay": "wd",
    "model.dropout": "drop",
    "training.seed": "seed",
}
MAX_NAME = 30
MAX_WIDTHS = {"run": 32, "note": 48, "tags": 24}


# ── settings ────────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def ranked_keys() -> dict[str, int]:
    """Return the rank of each setting: first those of `SHORT_NAMES`, last those that change nothing of the result."""
    others = sorted((key for key in fields() if key not in SHORT_NAMES), key=lambda key: fields()[key].resumable)
    return {key: rank for rank, key in enumerate([*SHORT_NAMES, *others])}


def differing_settings(rows: Iterable[RunRow]) -> list[str]:
    """Return the settings that are not the same in all `rows`, the most telling first."""
    known = [row.settings for row in rows if row.settings]
    found: set[str] = set()
    for settings in known[1:]:
        if settings is not known[0]:
            found.update(key for key, _ in settings.items() - known[0].items())
    return sorted(found & ranked_keys().keys(), key=ranked_keys().__getitem__)


def format_setting(value: Any) -> str:
    """Return a setting's value in few cells: 0.01 → `1e-2`, a path by its last part."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        text = f"{value:.6e}" if 0 < abs(value) < 0.1 else f"{value:g}"
        mantissa, _, exponent = text.partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}" if exponent else text
    if isinstance(value, tuple | list):
        return f"{len(value)}: " + ", ".join(map(str, value)) if value else "none"
    text = one_line(str(value))
    return text.rstrip("/").rpartition("/")[2] if "/" in text and " " not in text else text


def _short_key(key: str) -> str:
    return SHORT_NAMES.get(key) or key.rpartition(".")[2]


def _name_part(key: str, value: Any) -> str:
    text = format_setting(value)
    if isinstance(value, bool):
        return ("" if value else "no-") + _short_key(key)
    if key in SHORT_NAMES:
        return SHORT_NAMES[key] + text.replace(" ", "")
    return f"{_short_key(key)}={cut(text, 16)}"


def run_name(row: RunRow, differing: Sequence[str], width: int = MAX_NAME) -> str:
    """Return a name that tells the run from the others, of as many settings as fit into `width`."""
    if not row.settings:
        return "–"
    keys = [key for key in differing if key in SHORT_NAMES or not fields()[key].resumable] or ["preset", "data.corpus"]
    name = cut(_name_part(keys[0], row.settings[keys[0]]), width)
    for key in keys[1:]:
        longer = f"{name}·{_name_part(key, row.settings[key])}"
        if width_of(longer) > width:
            break
        name = longer
    return name


# ── columns ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Column:
    """One column. value: what it sorts by and exports, None where unknown; text: what it shows, if not that formatted.

    ascending: the order that one wants first. memo: what else its texts depend on.
    """

    key: str
    title: str
    value: Callable[[RunRow], Any]
    format: Callable[[Any], str] = str
    text: Callable[[RunRow], str] | None = None
    is_number: bool = True
    ascending: bool = False
    memo: object = None

    def text_of(self, row: RunRow) -> str:
        """Return what the cell shows, safe to show. A row keeps its texts: there are thousands, and few change."""
        memo = (self.key, self.memo)
        if memo not in row.texts:
            value = self.value(row)
            text = self.text(row) if self.text else "" if value is None else self.format(value)
            row.texts[memo] = cut(one_line(text), MAX_WIDTHS.get(self.key, 999))
        return row.texts[memo]


def _steps(row: RunRow) -> str:
    if row.status is None:
        return ""
    total = row.status.total_steps
    return format_short(row.status.step) + (f"/{format_short(total)}" if total else "")


def _loss(row: RunRow) -> str:
    return row.non_finite or ("" if row.loss is None else format_loss(row.loss))


_TEXT: dict[str, Any] = {"is_number": False, "ascending": True}
RESULTS = (
    Column("best_val", "val", lambda row: row.best_val, format_loss, ascending=True),
    Column("loss", "loss", lambda row: row.loss, text=_loss, ascending=True),
    Column("step", "step", lambda row: row.status.step if row.status else None, text=_steps),
    Column("rate", "tok/s", lambda row: row.tokens_per_second, format_short),
    Column("time", "time", lambda row: row.elapsed_seconds, format_duration),
    Column("parameters", "params", lambda row: row.parameters, format_short),
    Column("tokens", "tokens", lambda row: row.status.tokens or None if row.status else None, format_short),
)
FACTS = (
    Column("tags", "tags", lambda row: " ".join(row.tags) or None, **_TEXT),
    Column("run", "run", lambda row: row.own_name, **_TEXT),
    Column("started", "started", lambda row: row.started or None, is_number=False),
    Column("size", "size", lambda row: row.size_bytes, format_bytes),
    Column("note", "note", lambda row: row.note or None, **_TEXT),
)


def columns_for(rows: Sequence[RunRow]) -> list[Column]:
    """Return the columns for `rows`, from left to right; those that say nothing of any row are left out."""
    differing = tuple(differing_settings(rows))
    state = Column("state", "state", lambda row: row.state, **_TEXT)
    name = Column("name", "name", lambda row: run_name(row, differing), memo=differing, **_TEXT)
    settings = [
        Column(
            key,
            _short_key(key),
            lambda row, key=key: row.settings.get(key),  # type: ignore[misc]
            format_setting,
            is_number=fields()[key].kind in ("int", "float"),
            ascending=True,
        )
        for key in differing
    ]
    return [column for column in (state, name, *RESULTS, *settings, *FACTS) if any(column.text_of(row) for row in rows)]


# ── what is listed ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class View:
    """What is listed: columns from left to right, and rows in order."""

    columns: Sequence[Column] = ()
    rows: Sequence[RunRow] = ()

    @property
    def tsv(self) -> str:
        """The table as lines, parted by tabs."""
        lines = ["\t".join(["id", *(column.title for column in self.columns)])]
        return "\n".join(
            lines + ["\t".join([row.id, *(column.text_of(row) for column in self.columns)]) for row in self.rows]
        )


@dataclass
class RunTable:
    """Filters and sorts. filter: words that each row listed holds. sort_key: a column; empty: live, then newest."""

    filter: str = ""
    sort_key: str = ""
    is_reversed: bool = False
    _last: tuple[object, View] = field(default=(None, View()), init=False)

    def view(self, rows: Sequence[RunRow]) -> View:
        """Return what is listed of `rows`, which come newest first; the same object while nothing changed."""
        asked = (list(rows), self.filter, self.sort_key, self.is_reversed)
        if self._last[0] != asked:
            columns = columns_for(rows)
            words = self.filter.lower().split()
            if words:
                rows = [row for row in rows if _holds(row, columns, words)]
            self._last = asked, View(columns, self._sorted(rows, columns))
        return self._last[1]

    def title(self, column: Column) -> str:
        """Return the column's title, with an arrow where the rows are sorted by it."""
        if column.key != self.sort_key:
            return column.title
        return f"{column.title} {'▲' if column.ascending != self.is_reversed else '▼'}"

    def sort_by(self, key: str) -> None:
        """Sort by a column, or the other way round if that is so already."""
        self.is_reversed = not self.is_reversed if key == self.sort_key else False
        self.sort_key = key

    def next_sort(self, columns: Sequence[Column]) -> None:
        """Sort by the next column to the right, after the last one by start again."""
        keys = [column.key for column in columns] + [""]
        at = keys.index(self.sort_key) if self.sort_key in keys else -1
        self.sort_key, self.is_reversed = keys[(at + 1) % len(keys)], False

    def _sorted(self, rows: Sequence[RunRow], columns: Sequence[Column]) -> list[RunRow]:
        column = next((column for column in columns if column.key == self.sort_key), None)
        if column is None:
            live = [row for row in rows if row.is_live]
            ended = [row for row in rows if not row.is_live]
            return live[::-1] + ended[::-1] if self.is_reversed else live + ended
        known = [row for row in rows if column.value(row) is not None]
        known.sort(key=lambda row: _sort_key(column.value(row)), reverse=column.ascending == self.is_reversed)
        return known + [row for row in rows if column.value(row) is None]


def _holds(row: RunRow, columns: Sequence[Column], words: Sequence[str]) -> bool:
    text = " ".join([row.id, *(column.text_of(row) for column in columns)]).lower()
    return all(word in text for word in words)


def _sort_key(value: Any) -> list[tuple[int, float, str]]:
    """Return a key by which numbers stand before texts, and `L2` before `L10`."""
    if isinstance(value, int | float):
        return [(0, value, "")]
    parts = re.split(r"(\d+)", str(value).lower())
    return [(1, float(part), "") if part.isdecimal() else (2, 0.0, part) for part in parts if part]
