"""`gpt-tui verify|gc|archive|restore`: keep a workspace in order."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import click
import msgspec

from tui_gpt.cli.options import Workspace, command, json_option
from tui_gpt.cli.output import echo, print_json
from tui_gpt.cli.progress import progress_reporter
from tui_gpt.cli.subcommands.train import resolve_corpus_path
from tui_gpt.corpora import Source, find_corpus
from tui_gpt.errors import CorpusError, RunError
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder
from tui_gpt.upkeep.verification import verify_corpus, verify_run


@command("verify")
@click.argument("target", metavar="RUN|CORPUS")
@json_option
def verify_command(workspace: Workspace, target: str, as_json: bool) -> None:
    """Compare every file of a run, or of a prepared corpus, with its digest.

    Prints one line for each damaged file, with what to do about it, and exits with 1 if there is any.
    """
    with progress_reporter() as progress:
        found = _resolve(workspace, target)
        if isinstance(found, RunFolder):
            name, result = found.id, verify_run(found, workspace.corpus, progress)
        else:
            name, result = found.name, verify_corpus(found, workspace.corpus, progress)
    if as_json:
        facts: dict[str, Any] = {"name": name, "kind": "run" if isinstance(found, RunFolder) else "corpus"}
        facts |= {"files": result.files, "bytes": result.bytes}
        print_json(facts | {"damaged": msgspec.to_builtins(result.damaged), "notes": result.notes})
    else:
        for note in result.notes:
            echo(note, err=True)
        for damage in result.damaged:
            echo(damage)
        verdict = f"{len(result.damaged)} damaged" if result.damaged else "nothing is damaged"
        echo(f"{name}: {result.files} files, {result.bytes / 2**20:,.1f} MiB: {verdict}", err=bool(result.damaged))
    if result.damaged:
        raise SystemExit(1)


def _resolve(workspace: Workspace, target: str) -> RunFolder | Source:
    """Return the run with this id or path, else the corpus of this name, else the run whose id contains it."""
    run = None
    with suppress(RunError):
        run = workspace.find(target)
    if run is not None and target != run.id and os.sep not in target:
        with suppress(CorpusError):
            return find_corpus(resolve_corpus_path(target), workspace.corpus)
    if run is not None:
        return run
    try:
        return find_corpus(resolve_corpus_path(target), workspace.corpus)
    except CorpusError:
        if any(target in folder.id for folder in folders.list_runs(workspace.runs)):
            workspace.find(target)  # raises: it is part of several ids
        raise
