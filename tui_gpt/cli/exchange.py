"""`gpt-tui import` and `gpt-tui export`: models from and to Hugging Face's folders."""

from __future__ import annotations

import re
from pathlib import Path

import click
import msgspec

from tui_gpt.cli.options import Workspace, command, json_option, print_json
from tui_gpt.cli.sample import find_checkpoint
from tui_gpt.cli.worker import ask
from tui_gpt.errors import CheckpointError
from tui_gpt.run.folder import validate_name
from tui_gpt.run.messages import ConversionResult


@command("import")
@click.argument("source", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the run that it becomes (default: the folder's).")
@json_option
def import_command(workspace: Workspace, source: Path, name: str | None, as_json: bool) -> None:
    """Make a run of a GPT-2 in Hugging Face's layout.

    FOLDER holds config.json, model.safetensors (or shards and their index) and a tokenizer. The run has one checkpoint,
    to sample, score, and train from: gpt-tui train --init-from RUN.
    """
    source = source.expanduser().absolute()
    name = validate_name(name or re.sub(r"[^A-Za-z0-9._+-]+", "-", source.name).strip("-._+")[:60] or "import")
    made = _converted("import_folder", str(source), str(workspace.runs.absolute()), name)
    run = Path(made.path).name
    if as_json:
        print_json({"run": run} | msgspec.to_builtins(made))
        return
    click.echo(f"{made.parameters:,} parameters; let it write: gpt-tui sample {run}", err=True)
    click.echo(run)


@command("export")
@click.argument("reference", metavar="RUN|CHECKPOINT")
@click.argument("target", metavar="FOLDER", type=click.Path(path_type=Path))
@json_option
def export_command(workspace: Workspace, reference: str, target: Path, as_json: bool) -> None:
    """Write a checkpoint as a folder that Hugging Face's transformers loads.

    That is so for gpt2's architecture; for modern's, which transformers has not, gpt-tui import alone reads the folder.
    """
    checkpoint = find_checkpoint(reference, workspace)
    made = _converted("export_folder", str(checkpoint), str(target.expanduser().absolute()))
    if as_json:
        print_json(made)
        return
    click.echo(f"{made.parameters:,} parameters in the format of {made.format}", err=True)
    click.echo(made.path)


def _converted(work: str, *arguments: str) -> ConversionResult:
    """What the process that converts makes; its words go to stderr. Raises CheckpointError."""
    return ask(
        f"tui_gpt.checkpoints.import_export:{work}",
        *arguments,
        kind=ConversionResult,
        mistake=CheckpointError,
        where=arguments[0],
        say=lambda phase: click.echo(phase, err=True),
    )
