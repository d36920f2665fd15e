"""`gpt-tui corpus list|info|add|prepare`: the texts there are, and their tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from tui_gpt.cli.options import Workspace, command, json_option, print_json, workspace_option
from tui_gpt.cli.train import from_here
from tui_gpt.config import field
from tui_gpt.config.schema import DataConfig
from tui_gpt.corpora import add_corpus, check_corpus, check_tokenizer, find_corpus, list_corpora, prepare


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
        size = f"{entry.size_bytes / 2**20:.1f} MiB" if entry.size_bytes else ""
        click.echo(f"{entry.name:<{width}}  {entry.kind:<8}  {size:>10}  {entry.description}")
        if entry.how:
            click.echo(f"{'':<{width}}  {entry.how}")


@command("info")
@click.argument("corpus", metavar="NAME|PATH")
@json_option
def info_command(workspace: Workspace, corpus: str, as_json: bool) -> None:
    """Size, documents and the beginning of a corpus."""
    source = find_corpus(from_here(corpus), workspace.corpus)
    source.make(_narrate)
    characters = documents = size = 0
    first = ""
    for document in source.documents():
        first = first or document[:400]
        documents += 1
        characters += len(document)
        size += len(document.encode())
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
@json_option
def add_command(workspace: Workspace, name: str, path: Path, as_json: bool) -> None:
    """Copy a text file or a folder of them into corpus/ under a name."""
    target = add_corpus(name, path, workspace.corpus)
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
    shards = prepare(data, workspace.corpus, _narrate)
    info = shards.info
    if as_json:
        print_json(msgspec.to_builtins(info) | {"tokens": info.tokens, "path": str(shards.path)})
        return
    click.echo(
        f"{info.name}: {info.tokens:,} tokens ({info.train_tokens:,} to train on, {info.val_tokens:,} to validate),"
        f" {info.documents:,} documents, vocabulary {info.vocab_size:,}"
    )


_said: list[str] = []


def _narrate(phase: str, fraction: float | None) -> None:
    if phase not in _said:
        _said.append(phase)
        click.echo(phase, err=True)


for each in (list_command, info_command, add_command, prepare_command):
    corpus_command.add_command(each)
