"""The columns of the list of runs: what each shows, sorts by and exports.

Columns of settings stand for those that differ between the runs listed, and a run's name is built from them:
`L2·w96·lr1e-2`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
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
MAX_NAME = 36


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


def short_key(key: str) -> str:
    """Return what a column, a filter and a name call a setting: `lr`, or the last part of its key."""
    return SHORT_NAMES.get(key) or key.rpartition(".")[2]


def _name_part(key: str, value: Any) -> str:
    text = format_setting(value)
    if isinstance(value, bool):
        return ("" if value else "no-") + short_key(key)
    if key in SHORT_NAMES:
        return SHORT_NAMES[key] + text.replace(" ", "")
    return f"{short_key(key)}={cut(text, 16)}"


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

    rank: the smaller, the longer it stays where there is little room. ascending: the order that one wants first.
    extra: cells for a sign before the text. memo: under what a row keeps the text, where that is not the key.
    """

    key: str
    title: str
    rank: float
    value: Callable[[RunRow], Any]
    format: Callable[[Any], str] = str
    text: Callable[[RunRow], str] | None = None
    is_number: bool = True
    ascending: bool = False
    max_width: int = 99
    extra: int = 0
    memo: object = None

    def text_of(self, row: RunRow) -> str:
        """Return what the cell shows, whole and safe to show."""
        memo = self.memo or self.key
        found = row.texts.get(memo)
        if found is None:
            value = self.value(row)
            text = self.text(row) if self.text else "" if value is None else self.format(value)
            found = row.texts[memo] = one_line(text)
        return found


def _steps(row: RunRow) -> str:
    if row.status is None:
        return ""
    total = row.status.total_steps
    return format_short(row.status.step) + (f"/{format_short(total)}" if total else "")


def _loss(row: RunRow) -> str:
    return row.non_finite or ("" if row.loss is None else format_loss(row.loss))


OWN_NAME_RANK = 5
SETTING_RANK = 6.5  # of the most telling setting; the following ones are worth less and less
_TEXT: dict[str, Any] = {"is_number": False, "ascending": True}
FIXED_COLUMNS = (
    Column("run", "run", OWN_NAME_RANK, lambda row: row.own_name, max_width=32, **_TEXT),
    Column("parameters", "params", 8, lambda row: row.parameters, format_short),
    Column("tokens", "tokens", 9, lambda row: row.status.tokens or None if row.status else None, format_short),
    Column("step", "step", 4, lambda row: row.status.step if row.status else None, text=_steps),
    Column("best_val", "val", 2, lambda row: row.best_val, format_loss, ascending=True),
    Column("loss", "loss", 3, lambda row: row.loss, text=_loss, ascending=True),
    Column("rate", "tok/s", 6, lambda row: row.tokens_per_second, format_short),
    Column("time", "time", 7, lambda row: row.elapsed_seconds, format_duration),
    Column("size", "size", 12, lambda row: row.size_bytes, format_bytes),
    Column("started", "started", 7.8, lambda row: row.started or None, is_number=False),
    Column("tags", "tags", 6.2, lambda row: " ".join(row.tags) or None, max_width=24, **_TEXT),
    Column("note", "note", 8.5, lambda row: row.note or None, max_width=48, **_TEXT),
)


def columns_for(rows: Sequence[RunRow]) -> list[Column]:
    """Return the columns for `rows`, from left to right."""
    differing = tuple(differing_settings(rows))
    state = Column("state", "state", 0, lambda row: row.state, extra=2, **_TEXT)
    memo = ("name", differing)
    name = Column("name", "name", 1, lambda row: run_name(row, differing), max_width=MAX_NAME, memo=memo, **_TEXT)
    settings = [
        Column(
            key,
            short_key(key),
            SETTING_RANK + index / 4,
            lambda row, key=key: row.settings.get(key),  # type: ignore[misc]
            format_setting,
            is_number=fields()[key].kind in ("int", "float"),
            ascending=True,
            max_width=20,
        )
        for index, key in enumerate(differing)
    ]
    own, *rest = FIXED_COLUMNS
    if len({row.own_name for row in rows}) == 1:
        own = replace(own, rank=2 * OWN_NAME_RANK)  # it tells nothing
    return [state, name, own, *settings, *rest]
