"""Arguments and options that several commands take, with their completion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from tui_gpt.cli.completion import (
    Completer,
    complete_checkpoint,
    complete_config,
    complete_corpus,
    complete_device,
    complete_override,
    complete_run,
)

Handler = Callable[..., Any]

config_option = click.option(
    "--config", metavar="PRESET|FILE", shell_complete=complete_config, help="A preset or a TOML file (default: pico)."
)
overrides_argument = click.argument(
    "overrides", nargs=-1, metavar="[SECTION.KEY=VALUE]...", shell_complete=complete_override
)
corpus_argument = click.argument("corpus", metavar="NAME|PATH", shell_complete=complete_corpus)
checkpoint_argument = click.argument(
    "reference", required=False, metavar="[RUN|CHECKPOINT]", shell_complete=complete_checkpoint
)
device_option = click.option(
    "--device", default="auto", show_default=True, shell_complete=complete_device, help="auto, cpu, cuda or mps."
)
run_argument = click.argument("run", required=False, metavar="[RUN]", shell_complete=complete_run)


def named_run_argument(complete: Completer) -> Callable[[Handler], Handler]:
    """Return the argument of a command that does not choose a run itself."""
    return click.argument("run", metavar="RUN", shell_complete=complete)


def corpus_option(help: str) -> Callable[[Handler], Handler]:
    """Return the option for a corpus."""
    return click.option("--corpus", metavar="NAME|PATH", shell_complete=complete_corpus, help=help)
