"""The list of runs and the curves of the marked ones, as CSV or JSON files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tui_gpt.errors import RunError, reason
from tui_gpt.files import write_atomically
from tui_gpt.run.folder import RunFolder
from tui_gpt.workbench.state.runs.run_scan import RunRow
from tui_gpt.workbench.state.runs.run_table import View


def export_path(text: str, base: Path) -> Path:
    """Return the file that `text` names, relative to `base`. Raises RunError for one that cannot be exported to."""
    try:
        path = base / Path(text.strip()).expanduser()
    except RuntimeError:
        raise RunError(f"unknown user in {text.split('/')[0]}") from None
    if path.suffix.lower() not in (".csv", ".json"):
        raise RunError("a name is needed that ends in .csv or .json")
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
    files, rows = paths_of(path, bool(curves)), [_record(row, view) for row in view.rows]
    try:
        lines = {folder.id: _curve(folder) for folder in curves}
        if path.suffix.lower() == ".json":
            tables = [msgspec.json.format(msgspec.json.encode({"runs": rows, "curves": lines}), indent=1) + b"\n"]
        else:
            tables = [_csv(rows), _csv({"run": run, **line} for run in lines for line in lines[run])]
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, data in zip(files, tables, strict=False):
            write_atomically(file, data)
    except OSError as error:
        raise RunError(f"cannot be exported: {reason(error)}", where=str(error.filename or path)) from None
    return files


def _record(row: RunRow, view: View) -> dict[str, Any]:
    """Return a run as plain values: what the table lists of it, and every setting."""
    listed = {column.key: column.value(row) for column in view.columns if column.key not in row.settings}
    total = row.status.total_steps if row.status else None
    return {"id": row.id, **listed, "total_steps": total, "problem": row.problem, **row.settings}


def _curve(folder: RunFolder) -> list[dict[str, Any]]:
    """Return a line for each step that was logged or evaluated."""
    lines: dict[int, dict[str, Any]] = {item.step: msgspec.to_builtins(item) for item in folder.read_metrics()}
    for item in folder.read_evals():
        found = lines.setdefault(item.step, {"step": item.step})
        found |= {"val_loss": item.val_loss, "bits_per_byte": item.bits_per_byte}
    return [lines[step] for step in sorted(lines)]


def _csv(records: Iterable[dict[str, Any]]) -> bytes:
    """Return a table with a column for each name in `records`; what is no plain value becomes JSON."""
    records = list(records)
    text = io.StringIO(newline="")
    names = dict.fromkeys(name for record in records for name in record)
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({name: _plain(value) for name, value in record.items()})
    return text.getvalue().encode("utf-8", "replace")


def _plain(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, tuple | list | dict) else value
