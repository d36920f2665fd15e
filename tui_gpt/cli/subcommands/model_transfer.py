"""`gpt-tui import` and `gpt-tui export`: convert models from and to Hugging Face's format."""

from __future__ import annotations

import re
from pathlib import Path

import click
import msgspec

from tui_gpt.cli.completion import complete_checkpoint
from tui_gpt.cli.options import Workspace, command, json_option
from tui_gpt.cli.output import echo, narrate, print_json
from tui_gpt.cli.progress import progress_reporter
from tui_gpt.cli.subcommands.sample import find_checkpoint
from tui_gpt.cli.torch_process import call_torch_process
from tui_gpt.errors import CheckpointError
from tui_gpt.run.folder import validate_name
from tui_gpt.run.messages import ConversionResult


@command("import")
@click.argument("source", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", help="Name of the run (default: the folder's).")
@json_option
def import_command(workspace: Workspace, source: Path, name: str | None, as_json: bool) -> None:
    """Import a GPT-2 in Hugging Face's format as a run.

    FOLDER holds config.json, model.safetensors (or shards and their index) and a tokenizer. The run has one checkpoint,
    to sample from, evaluate, and train from: gpt-tui train --init-from RUN.
    """
    source = source.expanduser().absolute()
    if not source.is_dir():  # before a process is started, which takes seconds
        raise CheckpointError("is not a folder", where=str(source))
    name = validate_name(name or re.sub(r"[^A-Za-z0-9._+-]+", "-", source.name).strip("-._+")[:60] or "import")
    result = _convert("import_folder", str(source), str(workspace.runs.absolute()), name)
    run = Path(result.path).name
    if as_json:
        print_json({"run": run} | msgspec.to_builtins(result))
        return
    narrate(f"{result.parameters:,} parameters; generate text with gpt-tui sample {run}")
    echo(run)


@command("export")
@click.argument("reference", metavar="RUN|CHECKPOINT", shell_complete=complete_checkpoint)
@click.argument("target", metavar="FOLDER", type=click.Path(path_type=Path))
@json_option
def export_command(workspace: Workspace, reference: str, target: Path, as_json: bool) -> None:
    """Export a checkpoint as a folder in Hugging Face's format.

    The transformers library loads it for architecture gpt2. It does not implement modern, so only gpt-tui import reads
    an export of that.
    """
    checkpoint = find_checkpoint(reference, workspace)
    result = _convert("export_folder", str(checkpoint), str(target.expanduser().absolute()))
    if as_json:
        print_json(result)
        return
    narrate(f"{result.parameters:,} parameters in the format of {result.format}")
    echo(result.path)


def _convert(function: str, *arguments: str) -> ConversionResult:
    """Run a conversion in a process, with its progress on stderr. Raises CheckpointError."""
    with progress_reporter() as progress:
        return call_torch_process(
            f"tui_gpt.checkpoints.import_export:{function}",
            *arguments,
            kind=ConversionResult,
            error_type=CheckpointError,
            where=arguments[0],
            progress=progress,
        )
