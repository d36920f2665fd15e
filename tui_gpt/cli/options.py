"""What the commands share: the workspace, common options, and JSON output."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from tui_gpt.cli.output import QUIET
from tui_gpt.cli.workspace import default_workspace
from tui_gpt.errors import RunError
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder
from tui_gpt.safe_text import safe_line


@dataclass
class Workspace:
    """The folder that holds `corpus/` and `runs/`."""

    path: Path = field(default_factory=default_workspace)

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def corpus(self) -> Path:
        return self.path / "corpus"

    def find(self, reference: str | None) -> RunFolder:
        """Return the run that `reference` names; without a reference the only live run, or the newest if none is live.

        Raises RunError.
        """
        if reference is not None:
            return folders.find(self.runs, reference)
        known = folders.list_runs(self.runs)
        live = [folder for folder in known if folder.is_locked()]
        if len(live) > 1:
            names = ", ".join(folder.id for folder in live)
            raise RunError(f"{len(live)} runs are live", do=f"Name one of {names}")
        if not known:
            raise RunError("no runs yet", where=str(self.runs), do="Start one with gpt-tui train")
        return (live or known)[-1]


def _set_workspace(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    workspace = context.ensure_object(Workspace)
    if value is not None:
        workspace.path = value.expanduser().absolute()


workspace_option = click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    expose_value=False,
    callback=_set_workspace,
    help="Folder that holds corpus/ and runs/, created if missing (default: $GPT_TUI_WORKSPACE, or the current one).",
)


def _set_quiet(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.meta[QUIET] = True


quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_set_quiet,
    help="Print no progress and no notes, only data, questions and errors.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
pass_workspace = click.make_pass_decorator(Workspace, ensure=True)


def command(name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator for a subcommand that takes --workspace and --quiet, and receives the workspace."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        return click.command(name, **settings)(workspace_option(quiet_option(pass_workspace(function))))

    return decorate


def command_line() -> str:
    """Return the command line of this process, as a shell reads it."""
    return safe_line(shlex.join(["gpt-tui", *sys.argv[1:]]))


class HelpGroup(click.Group):
    """A group whose help shows what each command does in full, wrapped; click's own cuts it at the line's end."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        commands = ((name, self.get_command(context, name)) for name in self.list_commands(context))
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(limit=1000)) for name, each in commands if each])


class Group(HelpGroup):
    """A group that imports a command's module when the command is used, and suggests the nearest command for a typo."""

    def __init__(self, *arguments: Any, commands_by_module: dict[str, str], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.commands_by_module = commands_by_module

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands_by_module)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.commands_by_module:
            return None
        module = import_module(f"tui_gpt.cli.subcommands.{self.commands_by_module[name]}")
        return getattr(module, f"{name}_command")

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command without importing any, which takes a quarter of a second."""
        names = [CompletionItem(name) for name in self.commands_by_module if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, context, incomplete)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands_by_module:
            near = difflib.get_close_matches(args[0], self.commands_by_module, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"Unknown command {args[0]!r}.{hint}", context)
        return super().resolve_command(context, args)
