"""`gpt-tui runs|status|delete|rename`: list and manage runs."""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec

from tui_gpt.checkpoints import manifest
from tui_gpt.cli.arguments import named_run_argument, run_argument
from tui_gpt.cli.completion import complete_ended_run
from tui_gpt.cli.follow import format_duration, format_number
from tui_gpt.cli.options import Workspace, command, json_option
from tui_gpt.cli.output import echo, narrate, print_action, print_json
from tui_gpt.cli.tables import Column, print_table
from tui_gpt.errors import RunError, UserError
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder


@command("runs")
@json_option
def runs_command(workspace: Workspace, as_json: bool) -> None:
    """List all runs."""
    rows = [_row(folder) for folder in folders.list_runs(workspace.runs)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        narrate(f"no runs in {workspace.runs}; start one with gpt-tui train")
        return
    figures = [Column(title, "right") for title in ("step", "loss", "val loss", "time", "size")]
    columns = [Column("state", wraps=True), *figures, Column("run", wraps=True)]  # a long name last, out of the way
    print_table(columns, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["state"],
        f"{row['step']:,}" + (f"/{row['total_steps']:,}" if row["total_steps"] else ""),
        format_number(row["loss"]),
        format_number(row["val_loss"]),
        format_duration(row["elapsed_seconds"]),
        f"{row['size_bytes'] / 2**20:,.1f} MiB",
        row["run"],
    ]


def _row(folder: RunFolder) -> dict[str, Any]:
    try:
        status = folder.read_status()
        state = folder.state(status)
    except UserError as error:
        status, state = None, f"unreadable: {error.what}"
    return {
        "run": folder.id,
        "state": state,
        "step": status.step if status else 0,
        "total_steps": status.total_steps if status else None,
        "loss": status.loss if status else None,
        "val_loss": status.val_loss if status else None,
        "elapsed_seconds": status.elapsed_seconds if status else 0.0,
        "size_bytes": folder.size_bytes(),
    }


@command("status")
@run_argument
@json_option
def status_command(workspace: Workspace, run: str | None, as_json: bool) -> None:
    """Show the state of a run and its checkpoints."""
    folder = workspace.find(run)
    folder.read_info()
    status = folder.read_status()
    state = folder.state(status)
    checkpoints = manifest.list_checkpoints(folder.checkpoints)
    if as_json:
        listed = [
            {
                "path": str(info.path),
                "kind": info.kind,
                "step": info.step,
                "val_loss": info.val_loss,
                "bytes": info.bytes,
            }
            for info in checkpoints
        ]
        fields = msgspec.to_builtins(status) if status else {}
        print_json({"run": folder.id, "path": str(folder.path)} | fields | {"state": state, "checkpoints": listed})
        return
    echo(f"{folder.id}: {_summary(folder, state, status)}")
    for info in checkpoints:
        loss = f"  validation {info.val_loss:.4f}" if info.val_loss is not None else ""
        echo(f"  step {info.step:>8,}  {info.kind:<5}  {info.bytes / 2**20:,.1f} MiB{loss}  {info.path}")


def _summary(folder: RunFolder, state: str, status: Any) -> str:
    if status is None:
        return state
    if state == "elsewhere":
        return f"{status.state} on host {status.host}"
    parts = [state + (f" ({status.phase})" if status.phase not in ("", "training") else "")]
    parts.append(f"step {status.step:,}" + (f"/{status.total_steps:,}" if status.total_steps else ""))
    if status.loss is not None:
        parts.append(f"loss {status.loss:.4f}")
    if status.eta_seconds is not None and state == "running":
        parts.append(f"{format_duration(status.eta_seconds)} left")
    if status.gpu_uuid:
        parts.append(f"{status.device} {status.gpu_uuid}")
    if state == "crashed":
        ago = format_duration(time.time() - status.heartbeat)
        parts.append(f"killed {ago} ago; resume with gpt-tui train --resume {folder.id}")
    elif status.message:
        parts.append(status.message)
    return " · ".join(parts)


@command("delete")
@named_run_argument(complete_ended_run)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
def delete_command(workspace: Workspace, run: str, yes: bool, as_json: bool) -> None:
    """Delete a run and its checkpoints. The run must not be live."""
    folder = workspace.find(run)
    if folder.is_locked():
        raise RunError("cannot delete a live run", where=folder.id, do=f"Stop it first: gpt-tui stop {folder.id}")
    size_bytes = folder.size_bytes()
    size = f"{size_bytes / 2**20:,.1f} MiB"
    if not yes:
        click.confirm(f"Delete {folder.id} ({size})?", abort=True, err=True)
    folders.delete(folder)
    if as_json:
        print_action(folder.id, "delete", f"deleted, {size}", size_bytes=size_bytes)
    else:
        narrate(f"deleted {folder.id}, {size}")


@command("rename")
@named_run_argument(complete_ended_run)
@click.argument("name")
@json_option
def rename_command(workspace: Workspace, run: str, name: str, as_json: bool) -> None:
    """Rename a run, keeping the date and time in its id. The run must not be live."""
    folder = workspace.find(run)
    renamed = folders.rename(folder, name)
    if as_json:
        print_action(renamed.id, "rename", f"renamed from {folder.id}", path=str(renamed.path))
    else:
        echo(renamed.id)
