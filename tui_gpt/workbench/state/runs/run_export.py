"""The list of runs and the curves of the marked ones, as CSV or JSON files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tui_gpt.errors import RunError, reason
from tui_gpt.files import write_atomically
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Eval, Metrics
from tui_gpt.workbench.state.runs.run_scan import RunRow
from tui_gpt.workbench.state.runs.run_table import View

METRICS = (
    "step", "tokens", "elapsed_seconds", "loss", "learning_rate", "grad_norm", "tokens_per_second",
    "data_wait_seconds", "memory_bytes", "mfu",
)  # fmt: skip


def export_path(text: str, base: Path) -> Path:
    """Return the file that `text` names, relative to `base`. Raises RunError for one that cannot be exported to."""
    try:
        path = base / Path(text.strip()).expanduser()
    except RuntimeError:
        raise RunError(f"unknown user in {text.split('/')[0]}") from None
    if not text.strip():
        raise RunError("a name is needed", do="End it in .csv or .json")
    if path.suffix.lower() not in (".csv", ".json"):
        raise RunError("end the name in .csv or .json")
    return path


def paths_of(path: Path, has_curves: bool) -> list[Path]:
    """Return the files that an export to `path` writes: JSON holds both, CSV has the curves in a second file."""
    if path.suffix.lower() == ".json" or not has_curves:
        return [path]
    return [path, path.with_name(f"{path.stem}-curves{path.suffix}")]


def export(path: Path, view: View, curves: Sequence[RunFolder]) -> list[Path]:
    """Write the listed rows, and the metrics and evaluations of `curves`; return the files. Blocking.

    Raises RunError when a run cannot be read or a file cannot be written.
    """
    files = paths_of(path, bool(curves))
    try:
        contents = _json(view, curves) if path.suffix.lower() == ".json" else _csv(view, curves)
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, data in zip(files, contents, strict=True):
            write_atomically(file, data)
    except OSError as error:
        raise RunError(f"cannot be exported: {reason(error)}", where=str(error.filename or path)) from None
    return files


def record(row: RunRow, view: View) -> dict[str, Any]:
    """Return a run as plain values: what the table lists of it, and every setting."""
    listed = {column.key: column.value(row) for column in view.every_column if column.key not in row.settings}
    total = row.status.total_steps if row.status else None
    return {"id": row.id, **listed, "total_steps": total, "problem": row.problem, **row.settings}


def _json(view: View, curves: Sequence[RunFolder]) -> list[bytes]:
    content = {
        "runs": [record(row, view) for row in view.rows],
        "curves": {folder.id: {"metrics": folder.read_metrics(), "evals": folder.read_evals()} for folder in curves},
    }
    return [msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"]


def _csv(view: View, curves: Sequence[RunFolder]) -> list[bytes]:
    records = [record(row, view) for row in view.rows]
    names = list(dict.fromkeys(name for item in records for name in item))
    tables = [_table(names, ([_plain(item.get(name)) for name in names] for item in records))]
    if curves:
        lines = (line for folder in curves for line in _curve(folder))
        tables.append(_table(["run", *METRICS, "val_loss"], lines))
    return tables


def _curve(folder: RunFolder) -> list[list[Any]]:
    """Return a line for each step that was logged or evaluated."""
    by_step: dict[int, tuple[Metrics | None, Eval | None]] = {item.step: (item, None) for item in folder.read_metrics()}
    for evaluation in folder.read_evals():
        by_step[evaluation.step] = (by_step.get(evaluation.step, (None, None))[0], evaluation)
    lines = []
    for step, (item, score) in sorted(by_step.items()):
        values = [getattr(item, name) for name in METRICS] if item else [step] + [None] * (len(METRICS) - 1)
        lines.append([folder.id, *values, score.val_loss if score else None])
    return lines


def _plain(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, tuple | list | dict) else value


def _table(names: Sequence[str], lines: Any) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(lines)
    return text.getvalue().encode("utf-8", "replace")


def any_exists(paths: Sequence[Path]) -> list[Path]:
    """Return those of `paths` that exist already. Blocking."""
    return [path for path in paths if os.path.lexists(path)]
