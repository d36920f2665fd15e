"""`gpt-tui corpus …`: list, fetch, clean, generate and prepare corpora."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from tui_gpt.cli.arguments import corpus_argument
from tui_gpt.cli.completion import complete_remote_corpus, complete_tokenizer
from tui_gpt.cli.options import HelpGroup, Workspace, command, json_option, quiet_option, workspace_option
from tui_gpt.cli.output import echo, narrate, print_json
from tui_gpt.cli.progress import progress_reporter
from tui_gpt.cli.subcommands.compare_tokenizers import compare_tokenizers_command
from tui_gpt.cli.subcommands.train import resolve_corpus_path
from tui_gpt.config import field
from tui_gpt.config.schema import DataConfig
from tui_gpt.corpora import add_corpus, check_corpus, check_tokenizer, find_corpus, list_corpora, prepare, provenance
from tui_gpt.corpora.cleaning.pipeline import DEFAULT_STEPS, STEPS, Report, check_steps, clean, report_on
from tui_gpt.corpora.shards.shard_files import ShardsInfo
from tui_gpt.corpora.sources.catalogue import PATTERNS
from tui_gpt.corpora.sources.source import Floor, Folder, Stories


@click.group("corpus", cls=HelpGroup)
@workspace_option
@quiet_option
def corpus_command() -> None:
    """List, fetch, clean, generate and prepare corpora."""


@command("list")
@json_option
def list_command(workspace: Workspace, as_json: bool) -> None:
    """List the bundled corpora, those that can be fetched, and those in corpus/."""
    entries = list_corpora(workspace.corpus)
    if as_json:
        print_json(entries)
        return
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        if entry.kind != "absent":
            echo(f"{entry.name:<{width}}  {entry.kind:<8}  {_size(entry.size_bytes):>8}  {entry.description}")
    echo("\nAvailable with gpt-tui corpus fetch NAME:\n")
    for entry in entries:
        if entry.kind == "absent":
            echo(f"{entry.name:<{width}}  {_size(entry.size_bytes):>8}  {entry.description}; {entry.licence}")
    for pattern, description in PATTERNS.items():
        echo(f"{pattern}  {description}")


@command("info")
@corpus_argument
@json_option
def info_command(workspace: Workspace, corpus: str, as_json: bool) -> None:
    """Show the size and the beginning of a corpus."""
    source = find_corpus(resolve_corpus_path(corpus), workspace.corpus)
    characters = documents = size = reported = 0
    with progress_reporter() as progress:
        source.materialize(progress)
        total = source.size_bytes()
        for piece in source.pieces():
            documents += piece.begins
            characters += len(piece.text)
            size += len(piece.text.encode())
            if size - reported > 1 << 20 and total:
                reported = size
                progress(f"reading {source.name}", min(1.0, size / total))
    facts: dict[str, Any] = {
        "name": source.name,
        "description": source.description,
        "documents": documents,
        "characters": characters,
        "bytes": size,
        "preview": "\n\n".join(source.beginning(400)),
    }
    if isinstance(source, Stories):
        facts |= _corpus_floor(source.floor())
    manifest = source.manifest if isinstance(source, Folder) else None
    origins = provenance(resolve_corpus_path(corpus), workspace.corpus)
    facts |= {"made": manifest.made} if manifest else {}
    facts["origins"] = origins
    if as_json:
        print_json(facts)
        return
    echo(f"{source.name}: {source.description}")
    for origin in origins:
        of = f"{origin.name}: " if len(origins) > 1 else ""
        echo(f"{of}licence: {origin.licence or 'unknown'}; from {origin.source or 'an unknown source'}")
    echo(f"{_documents(documents)}, {characters:,} characters, {size:,} bytes")
    if isinstance(source, Stories):
        echo(_floor_line(source.floor()))
    echo("\n" + facts["preview"])


def _documents(count: int) -> str:
    return "1 document" if count == 1 else f"{count:,} documents"


@command("add")
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--column", default="", help="Text column of .jsonl, .csv or .parquet files.")
@click.option("--licence", default="", help="Licence of the text; it goes into run.json and model cards.")
@click.option("--source", default="", help="Where the text came from, such as its address.")
@json_option
def add_command(
    workspace: Workspace, name: str, path: Path, column: str, licence: str, source: str, as_json: bool
) -> None:
    """Copy a text file, or a folder of text files, to corpus/NAME."""
    target = add_corpus(name, path, workspace.corpus, column, licence=licence, source=source)
    if as_json:
        print_json({"name": name, "path": str(target)})
    else:
        echo(f"added {target}; train on it with --corpus {name}")


@command("prepare")
@corpus_argument
@click.option(
    "--tokenizer",
    default="bpe:1024",
    show_default=True,
    shell_complete=complete_tokenizer,
    help="char, byte, bpe:N, gpt2 or a tokenizer.json.",
)
@click.option(
    "--val-fraction", type=float, default=0.1, show_default=True, help="Fraction of the tokens held out for validation."
)
@json_option
def prepare_command(workspace: Workspace, corpus: str, tokenizer: str, val_fraction: float, as_json: bool) -> None:
    """Tokenise a corpus and split it for training."""
    data = DataConfig(
        corpus=check_corpus(resolve_corpus_path(corpus), workspace.corpus),
        tokenizer=check_tokenizer(tokenizer),
        val_fraction=field("data.val_fraction").convert(val_fraction, "--val-fraction"),
    )
    with progress_reporter() as progress:
        shards = prepare(data, workspace.corpus, progress)
    info = shards.info
    if as_json:
        facts = msgspec.to_builtins(msgspec.structs.replace(info, blocks={}))
        del facts["blocks"], facts["meta_digest"]
        print_json(facts | {"tokens": info.tokens, "path": str(shards.path)} | _floor(info))
        return
    echo(
        f"{info.name}: {info.tokens:,} tokens ({info.train_tokens:,} training, {info.val_tokens:,} validation),"
        f" {_documents(info.documents)}, vocabulary {info.vocab_size:,}"
    )
    if info.floor_nats is not None:
        echo(f"lowest possible validation loss: {_format_floor(_floor(info))}")


def _floor(info: ShardsInfo) -> dict[str, float]:
    """Return the lowest possible loss on the validation documents, empty if the text's entropy is not known."""
    if info.floor_nats is None or info.floor_loss is None or info.floor_bits_per_byte is None:
        return {}
    return {
        "floor_nats_per_character": info.floor_nats / info.val_bytes,  # generated text is ASCII
        "floor_nats_per_token": info.floor_loss,
        "floor_bits_per_byte": info.floor_bits_per_byte,
    }


def _format_floor(floor: dict[str, float]) -> str:
    return ", ".join(f"{value:.4f} {key.removeprefix('floor_').replace('_', ' ')}" for key, value in floor.items())


@command("make")
@click.argument("generator", type=click.Choice(["stories"]))
@click.option(
    "--megabytes", type=click.FloatRange(0.001, 999_999), default=2.0, show_default=True, help="Size, in 10⁶ bytes."
)
@click.option("--seed", type=click.IntRange(0, 999_999_999), default=1, show_default=True)
@click.option(
    "--tokenizer",
    shell_complete=complete_tokenizer,
    help="Also prepare them with this tokenizer, and print the lowest loss per token.",
)
@json_option
def make_command(
    workspace: Workspace, generator: str, megabytes: float, seed: int, tokenizer: str | None, as_json: bool
) -> None:
    """Generate stories of known entropy, which gives the lowest loss that any model can reach."""
    name = f"{generator}:{megabytes:.6f}".rstrip("0").rstrip(".") + f":{seed}"
    source = find_corpus(name, workspace.corpus)
    assert isinstance(source, Stories)  # by its name
    with progress_reporter() as progress:
        source.materialize(progress)
        floor = source.floor()
        facts: dict[str, Any] = {
            "name": name,
            "path": str(source.path),
            "documents": floor.documents,
            "characters": floor.characters,
        }
        facts |= _corpus_floor(floor)
        validation_floor: dict[str, float] = {}
        if tokenizer:
            data = DataConfig(corpus=name, tokenizer=check_tokenizer(tokenizer))
            validation_floor = _floor(prepare(data, workspace.corpus, progress).info)
    if as_json:
        print_json(facts | validation_floor)
        return
    echo(f"{name}: {floor.documents:,} stories, {floor.characters:,} characters; train on them with --corpus {name}")
    echo(_floor_line(floor))
    if validation_floor:
        echo(f"lowest possible validation loss: {_format_floor(validation_floor)}")


def _corpus_floor(floor: Floor) -> dict[str, float]:
    return {
        "nats": floor.nats,
        "nats_per_character": floor.nats_per_character,
        "bits_per_byte": floor.bits_per_byte,
    }


def _floor_line(floor: Floor) -> str:
    return f"entropy: {floor.nats_per_character:.4f} nats per character, {floor.bits_per_byte:.4f} bits per byte"


@command("fetch")
@click.argument("name", shell_complete=complete_remote_corpus)
@click.option("--megabytes", type=click.FloatRange(min=0, min_open=True), help="How much of a large corpus to fetch.")
@json_option
def fetch_command(workspace: Workspace, name: str, megabytes: float | None, as_json: bool) -> None:
    """Download a known corpus, books of Project Gutenberg or a dataset of the Hugging Face hub."""
    from tui_gpt.corpora.sources.fetching import fetch, plan_fetch

    plan = plan_fetch(name, megabytes)
    size = _size(plan.size_bytes) or (f"{megabytes:g} MB" if megabytes else "of unknown size")
    narrate(f"{name}: {size}, licence: {plan.licence}, from {plan.source}")
    with progress_reporter() as progress:
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
        echo(f"fetched {_size(source.size_bytes())} to {folder}; train on it with --corpus {name}")


class CleanCommand(click.Command):
    """A command whose help ends with the steps of cleaning."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Steps"):
            formatter.write_dl(list(STEPS.items()))


@command("clean", cls=CleanCommand)
@corpus_argument
@click.option("--steps", help="Steps to run, separated by commas (default: all but overlap).")
@click.option("--name", default="", help="Name of the clean copy (default: NAME-clean).")
@json_option
def clean_command(workspace: Workspace, corpus: str, steps: str | None, name: str, as_json: bool) -> None:
    """Make a clean copy of a corpus, with a report of what was changed and left out."""
    chosen = DEFAULT_STEPS if steps is None else check_steps(steps)
    with progress_reporter() as progress:
        report = clean(resolve_corpus_path(corpus), workspace.corpus, progress, chosen, name)
    _print_report(report, as_json)


@command("report")
@corpus_argument
@json_option
def report_command(workspace: Workspace, corpus: str, as_json: bool) -> None:
    """Show the report of a cleaned corpus, or what cleaning would do to another."""
    with progress_reporter() as progress:
        report = report_on(resolve_corpus_path(corpus), workspace.corpus, progress)
    _print_report(report, as_json)


def _print_report(report: Report, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    echo(
        f"{report.source}: {report.documents_before:,} documents of {report.characters_before:,} characters;"
        f" after cleaning: {report.documents_after:,} of {report.characters_after:,}"
    )
    for kind, count in report.files_left_out.items():
        echo(f"files skipped: {count:,} {kind}")
    for encoding, count in report.encodings.items():
        if encoding != "utf-8":
            echo(f"files converted from {encoding}: {count:,}")
    for step in report.steps:
        counts = {"changed": step.changed, "dropped": step.removed, "found": step.found}
        summary = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing"
        echo(f"\n{step.step:<10} {summary}")
        for example in step.examples:
            after = f" → {example.now!r}" if example.now else ""
            echo(f"{'':<10} {example.where}: {example.what!r}{after}")
    if report.written:
        echo(f"\n{report.written}; train on it with --corpus {Path(report.written).name}")


def _size(size_bytes: int) -> str:
    """Return a size in decimal units."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= step:
            return f"{size_bytes / step:.1f} {unit}"
    return f"{size_bytes} B" if size_bytes else ""


for each in (
    *(list_command, info_command, add_command, fetch_command, clean_command, report_command),
    *(make_command, prepare_command, compare_tokenizers_command),
):
    corpus_command.add_command(each)
