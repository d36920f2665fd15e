"""`gpt-tui corpus compare-tokenizers`: a table, and the bytes that a token stands for as bars."""

from __future__ import annotations

from pathlib import Path

import click

from tui_gpt.cli.options import Workspace, command, json_option, print_json
from tui_gpt.cli.progress import progress_reporter
from tui_gpt.cli.subcommands.train import resolve_corpus_path
from tui_gpt.corpora import check_corpus
from tui_gpt.corpora.tokenizers.tokenizer_comparison import TOKENIZERS, TokenizerStats, compare_tokenizers

BAR, LONGEST, WIDTH = 12, 20, 120


@command("compare-tokenizers")
@click.argument("corpus", metavar="NAME|PATH")
@click.option("--tokenizers", default=",".join(TOKENIZERS), show_default=True, help="What to compare, with commas.")
@json_option
def compare_tokenizers_command(workspace: Workspace, corpus: str, tokenizers: str, as_json: bool) -> None:
    """How long the text becomes under each of several tokenizers."""
    specs = [spec.strip() for spec in tokenizers.split(",") if spec.strip()]
    with progress_reporter() as progress:
        found = compare_tokenizers(
            check_corpus(resolve_corpus_path(corpus), workspace.corpus), specs, workspace.corpus, progress
        )
    if as_json:
        print_json(found)
        return
    _print_table(found)


def _print_table(found: list[TokenizerStats]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    most = max(each.bytes_per_token for each in found)
    table = Table(box=None, pad_edge=False)
    table.add_column("tokenizer", no_wrap=True)
    for heading in ("vocabulary", "unused", "tokens", "tokens/word", "bytes/token"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("", "longest", "rarest"):
        table.add_column(heading)
    for each in found:
        table.add_row(
            Path(each.tokenizer).name,
            f"{each.vocab_size:,}",
            f"{each.unused:,}",
            f"{each.tokens:,}",
            f"{each.tokens_per_word:.2f}",
            f"{each.bytes_per_token:.2f}",
            Text("█" * max(1, round(each.bytes_per_token / most * BAR))),
            Text(_shown(each.longest[0])),
            Text(" ".join(map(_shown, each.rarest[:3]))),
        )
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)


def _shown(token: str) -> str:
    """In quotes, so that blanks and control characters can be told."""
    return repr(token if len(token) <= LONGEST else token[: LONGEST - 1] + "…")
