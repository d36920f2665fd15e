"""`gpt-tui completion`: print the script that teaches a shell to complete commands, runs, corpora and config keys."""

from __future__ import annotations

import click

from tui_gpt.cli import completion
from tui_gpt.cli.options import Workspace, command


@command("completion")
@click.argument("shell", type=click.Choice(completion.SHELLS))
def completion_command(workspace: Workspace, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: echo 'eval "$(gpt-tui completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(gpt-tui completion zsh)"' >> ~/.zshrc
    fish: gpt-tui completion fish > ~/.config/fish/completions/gpt-tui.fish
    """
    click.echo(completion.script(shell), nl=False)
