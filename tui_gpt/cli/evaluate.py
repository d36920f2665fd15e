"""`gpt-tui eval`: score a checkpoint on a corpus."""

from __future__ import annotations

import click
import msgspec

from tui_gpt.cli.follow import number
from tui_gpt.cli.options import Workspace, command, json_option, print_json
from tui_gpt.cli.sample import find_checkpoint
from tui_gpt.cli.train import from_here
from tui_gpt.cli.worker import ask
from tui_gpt.corpora import check_corpus
from tui_gpt.errors import CheckpointError
from tui_gpt.run.messages import Eval


@command("eval")
@click.argument("reference", required=False, metavar="[RUN|CHECKPOINT]")
@click.option("--corpus", metavar="NAME|PATH", help="What to score it on (default: what it was trained on).")
@click.option("--split", type=click.Choice(["val", "train"]), default="val", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@json_option
def eval_command(
    workspace: Workspace, reference: str | None, corpus: str | None, split: str, device: str, as_json: bool
) -> None:
    """Score a checkpoint: loss, perplexity and bits per byte over a whole split."""
    checkpoint = find_checkpoint(reference, workspace)
    wanted = check_corpus(from_here(corpus), workspace.corpus) if corpus else ""
    message = ask(
        "tui_gpt.training.measuring.evaluation_process:evaluate_checkpoint",
        str(checkpoint),
        wanted,
        split,
        str(workspace.corpus),
        device,
        kind=Eval,
        mistake=CheckpointError,
        where=str(checkpoint),
        say=lambda phase: None,
    )
    if as_json:
        print_json({"checkpoint": str(checkpoint), "split": split} | msgspec.to_builtins(message))
    else:
        click.echo(
            f"{split} loss {number(message.val_loss)} nats/token · perplexity {number(message.perplexity, 2)}"
            f" · {number(message.bits_per_byte)} bits/byte · {message.tokens:,} tokens · step {message.step:,}"
        )
