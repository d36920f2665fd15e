"""`gpt-tui verify|gc|archive|restore`: keep a workspace in order."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import msgspec

from tui_gpt.cli.options import Workspace, command, json_option
from tui_gpt.cli.output import echo, print_json
from tui_gpt.cli.progress import progress_reporter
from tui_gpt.cli.subcommands.train import resolve_corpus_path
from tui_gpt.corpora import Source, find_corpus
from tui_gpt.errors import CorpusError, RunError, reason
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder
from tui_gpt.upkeep.archive import archive, restore
from tui_gpt.upkeep.garbage import find_garbage, remove
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


@command("gc")
@click.option("--caches", is_flag=True, help="Also remove what can be made again from the texts: shards, tokenizers …")
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
def gc_command(workspace: Workspace, caches: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove leftovers of killed processes, outdated caches and stale locks; never anything of a live run."""
    if as_json and not (dry_run or yes):
        raise click.UsageError("--json does not ask: add --yes or --dry-run")
    found = find_garbage(workspace.runs, workspace.corpus, caches=caches)
    if not as_json:
        for each in found:
            echo(f"{each.bytes / 2**20:>10,.1f} MiB  {each.path}  {each.why}")
        size = sum(each.bytes for each in found) / 2**20
        echo(f"{len(found)} files and folders, {size:,.1f} MiB" if found else "nothing to remove", err=True)
    if found and not dry_run and not yes:
        click.confirm("Remove them?", abort=True, err=True)
    removed, failures = [], []
    for each in found if not dry_run else []:
        try:
            if remove(each):
                removed.append(each)
        except OSError as error:
            failures.append(f"{each.path}: cannot be removed: {reason(error)}")
    freed = sum(each.bytes for each in removed)
    if as_json:
        facts = {"found": msgspec.to_builtins(found), "removed": [each.path for each in removed], "bytes": freed}
        print_json(facts | {"failed": failures})
    elif found and not dry_run:
        echo(f"removed {len(removed)} files and folders, {freed / 2**20:,.1f} MiB", err=True)
        for failure in failures:
            echo(failure, err=True)
    if failures:
        raise SystemExit(1)


@command("archive")
@click.argument("run", metavar="RUN")
@click.argument("target", type=click.Path(path_type=Path), required=False)
@json_option
def archive_command(workspace: Workspace, run: str, target: Path | None, as_json: bool) -> None:
    """Pack a run into one file with the digest of everything in it. The run stays, and must not be live.

    TARGET is a file, or the folder for RUN.tar.zst (default: the current one).
    """
    folder = workspace.find(run)
    with progress_reporter() as progress:
        path = archive(folder, (target or Path()).expanduser().absolute(), progress)
    size = path.stat().st_size
    if as_json:
        print_json({"run": folder.id, "path": str(path), "bytes": size})
    else:
        echo(path)
        echo(f"{size / 2**20:,.1f} MiB; bring it back with gpt-tui restore {path}", err=True)


@command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def restore_command(workspace: Workspace, file: Path, as_json: bool) -> None:
    """Restore a run from an archive, and compare every file with its digest."""
    with progress_reporter() as progress:
        folder = restore(file.expanduser().absolute(), workspace.runs, progress)
    if as_json:
        print_json({"run": folder.id, "path": str(folder.path)})
    else:
        echo(folder.id)


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
