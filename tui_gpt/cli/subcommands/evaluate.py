"""`gpt-tui eval`: evaluate a checkpoint on a corpus."""

from __future__ import annotations

import click
import msgspec

from tui_gpt.cli.arguments import checkpoint_argument, corpus_option, device_option
from tui_gpt.cli.follow import format_number
from tui_gpt.cli.options import Workspace, command, json_option
from tui_gpt.cli.output import echo, print_json
from tui_gpt.cli.progress import progress_reporter
from tui_gpt.cli.subcommands.sample import find_checkpoint
from tui_gpt.cli.subcommands.train import resolve_corpus_path
from tui_gpt.cli.torch_process import call_torch_process
from tui_gpt.corpora import check_corpus
from tui_gpt.errors import CheckpointError
from tui_gpt.run.messages import Eval


@command("eval")
@checkpoint_argument
@corpus_option("Corpus to evaluate on (default: the training corpus).")
@click.option("--split", type=click.Choice(["val", "train"]), default="val", show_default=True)
@device_option
@json_option
def eval_command(
    workspace: Workspace, reference: str | None, corpus: str | None, split: str, device: str, as_json: bool
) -> None:
    """Evaluate a checkpoint: loss, perplexity and bits per byte on a whole split."""
    checkpoint = find_checkpoint(reference, workspace)
    checked_corpus = check_corpus(resolve_corpus_path(corpus), workspace.corpus) if corpus else ""
    with progress_reporter() as progress:
        message = call_torch_process(
            "tui_gpt.training.measuring.evaluation_process:evaluate_checkpoint",
            str(checkpoint),
            checked_corpus,
            split,
            str(workspace.corpus),
            device,
            kind=Eval,
            error_type=CheckpointError,
            where=str(checkpoint),
            progress=progress,
        )
    if as_json:
        print_json({"checkpoint": str(checkpoint), "split": split} | msgspec.to_builtins(message))
    else:
        echo(
            f"{split} loss {format_number(message.val_loss)} nats/token"
            f" · perplexity {format_number(message.perplexity, 2)} · {format_number(message.bits_per_byte)} bits/byte"
            f" · {message.tokens:,} tokens · step {message.step:,}"
        )
