"""`gpt-tui corpus compare-tokenizers`: a table of tokenizers, with bytes per token also as bars."""

from __future__ import annotations

from pathlib import Path

import click

from tui_gpt.cli.arguments import corpus_argument
from tui_gpt.cli.options import Workspace, command, json_option
from tui_gpt.cli.output import print_json
from tui_gpt.cli.progress import progress_reporter
from tui_gpt.cli.subcommands.train import resolve_corpus_path
from tui_gpt.cli.tables import Column, print_table
from tui_gpt.corpora import check_corpus
from tui_gpt.corpora.tokenizers.tokenizer_comparison import TOKENIZERS, TokenizerStats, compare_tokenizers

BAR_WIDTH, MAX_TOKEN_WIDTH = 12, 20


@command("compare-tokenizers")
@corpus_argument
@click.option("--tokenizers", default=",".join(TOKENIZERS), show_default=True, help="Tokenizers, separated by commas.")
@json_option
def compare_tokenizers_command(workspace: Workspace, corpus: str, tokenizers: str, as_json: bool) -> None:
    """Compare how many tokens a corpus becomes under several tokenizers."""
    specs = [spec.strip() for spec in tokenizers.split(",") if spec.strip()]
    corpus = check_corpus(resolve_corpus_path(corpus), workspace.corpus)
    with progress_reporter() as progress:
        stats = compare_tokenizers(corpus, specs, workspace.corpus, progress)
    if as_json:
        print_json(stats)
        return
    most = max(each.bytes_per_token for each in stats)
    titles = ("vocabulary", "unused", "tokens", "tokens/word", "bytes/token")
    columns = [Column("tokenizer"), *(Column(title, "right") for title in titles), Column()]
    columns += [Column("longest", wraps=True), Column("rarest", wraps=True)]
    print_table(columns, [_cells(each, most) for each in stats])


def _cells(stats: TokenizerStats, most_bytes_per_token: float) -> list[str]:
    return [
        Path(stats.tokenizer).name,
        f"{stats.vocab_size:,}",
        f"{stats.unused:,}",
        f"{stats.tokens:,}",
        f"{stats.tokens_per_word:.2f}",
        f"{stats.bytes_per_token:.2f}",
        "█" * max(1, round(stats.bytes_per_token / most_bytes_per_token * BAR_WIDTH)),
        _quote(stats.longest[0]),
        " ".join(map(_quote, stats.rarest[:3])),
    ]


def _quote(token: str) -> str:
    """Return the token in quotes, so that blanks and control characters show, shortened if it is long."""
    return repr(token if len(token) <= MAX_TOKEN_WIDTH else token[: MAX_TOKEN_WIDTH - 1] + "…")
