"""`gpt-tui corpus list|info|add|fetch|make|prepare`: the texts there are, how more come, and their tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from tui_gpt.cli.narration import narrated
from tui_gpt.cli.options import Workspace, command, json_option, print_json, workspace_option
from tui_gpt.cli.train import from_here
from tui_gpt.config import field
from tui_gpt.config.schema import DataConfig
from tui_gpt.corpora import add_corpus, check_corpus, check_tokenizer, find_corpus, list_corpora, prepare
from tui_gpt.corpora.catalogue import PATTERNS


@click.group("corpus")
@workspace_option
def corpus_command() -> None:
    """The texts there are, and their tokens."""


@command("list")
@json_option
def list_command(workspace: Workspace, as_json: bool) -> None:
    """Bundled corpora, names that can be had, and what is in corpus/."""
    entries = list_corpora(workspace.corpus)
    if as_json:
        print_json(entries)
        return
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        if entry.kind != "absent":
            click.echo(f"{entry.name:<{width}}  {entry.kind:<8}  {_size(entry.size_bytes):>8}  {entry.description}")
    click.echo("\nTo be had with gpt-tui corpus fetch NAME:\n")
    for entry in entries:
        if entry.kind == "absent":
            click.echo(f"{entry.name:<{width}}  {_size(entry.size_bytes):>8}  {entry.description}; {entry.licence}")
    for pattern, description in PATTERNS.items():
        click.echo(f"{pattern}  {description}")


@command("info")
@click.argument("corpus", metavar="NAME|PATH")
@json_option
def info_command(workspace: Workspace, corpus: str, as_json: bool) -> None:
    """Size, documents and the beginning of a corpus."""
    source = find_corpus(from_here(corpus), workspace.corpus)
    with narrated() as progress:
        source.make(progress)
    characters = documents = size = 0
    first = ""
    for piece in source.pieces():
        first = first or piece.text[:400]
        documents += piece.begins
        characters += len(piece.text)
        size += len(piece.text.encode())
    facts: dict[str, Any] = {
        "name": source.name,
        "description": source.description,
        "documents": documents,
        "characters": characters,
        "bytes": size,
        "preview": first,
    }
    if as_json:
        print_json(facts)
        return
    click.echo(f"{source.name}: {source.description}")
    click.echo(f"{documents:,} documents, {characters:,} characters, {size:,} bytes\n\n{first}")


@command("add")
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--column", default="", help="Column of .jsonl, .csv or .parquet that holds the text.")
@json_option
def add_command(workspace: Workspace, name: str, path: Path, column: str, as_json: bool) -> None:
    """Copy a text file or a folder of them into corpus/ under a name."""
    target = add_corpus(name, path, workspace.corpus, column)
    if as_json:
        print_json({"name": name, "path": str(target)})
    else:
        click.echo(f"added {target}; train on it with --corpus {name}")


@command("prepare")
@click.argument("corpus", metavar="NAME|PATH")
@click.option("--tokenizer", default="bpe:1024", show_default=True, help="char, byte, bpe:N, gpt2 or a tokenizer.json.")
@click.option("--val-fraction", type=float, default=0.1, show_default=True, help="Share kept for validation.")
@json_option
def prepare_command(workspace: Workspace, corpus: str, tokenizer: str, val_fraction: float, as_json: bool) -> None:
    """Tokenise a corpus into shards, which training then finds ready."""
    data = DataConfig(
        corpus=check_corpus(from_here(corpus), workspace.corpus),
        tokenizer=check_tokenizer(tokenizer),
        val_fraction=field("data.val_fraction").convert(val_fraction, "--val-fraction"),
    )
    with narrated() as progress:
        shards = prepare(data, workspace.corpus, progress)
    info = shards.info
    if as_json:
        print_json(msgspec.to_builtins(info) | {"tokens": info.tokens, "path": str(shards.path)})
        return
    click.echo(
        f"{info.name}: {info.tokens:,} tokens ({info.train_tokens:,} to train on, {info.val_tokens:,} to validate),"
        f" {info.documents:,} documents, vocabulary {info.vocab_size:,}"
    )


@command("fetch")
@click.argument("name")
@click.option("--megabytes", type=click.FloatRange(min=0, min_open=True), help="Of a set of many files, this much.")
@json_option
def fetch_command(workspace: Workspace, name: str, megabytes: float | None, as_json: bool) -> None:
    """Bring a corpus of the registry, books of Project Gutenberg or a set of the hub to this machine."""
    from tui_gpt.corpora.fetching import fetch, plan_fetch

    plan = plan_fetch(name, megabytes)
    size = _size(plan.size_bytes) or (f"{megabytes:g} MB" if megabytes else "of unknown size")
    click.echo(f"{name}: {size}, licence: {plan.licence}, from {plan.source}", err=True)
    with narrated() as progress:
        folder = fetch(plan, workspace.corpus, progress)
    source = find_corpus(name, workspace.corpus)
    if as_json:
        print_json(
            {
                "name": name,
                "path": str(folder),
                "bytes": source.size_bytes(),
                "licence": plan.licence,
                "source": plan.source,
            }
        )
    else:
        click.echo(f"{folder} holds {_size(source.size_bytes())}; train on it with --corpus {name}")


def _size(size_bytes: int) -> str:
    """In the units of 1,000 in which the world's files are listed."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= step:
            return f"{size_bytes / step:.1f} {unit}"
    return f"{size_bytes} B" if size_bytes else ""


for each in (list_command, info_command, add_command, fetch_command, prepare_command):
    corpus_command.add_command(each)
