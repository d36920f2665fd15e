"""What the commands print. Nothing from a file, a name or a model can control the terminal."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from tui_gpt.safe_text import safe, safe_json

QUIET = "tui_gpt.quiet"  # in the meta data of click's context


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text, made safe, to stdout or stderr."""
    click.echo(safe(str(text)), err=err, nl=nl)


def narrate(text: str) -> None:
    """Print to stderr what is done or worth knowing, unless the command is to be quiet."""
    if not is_quiet():
        echo(text, err=True)


def is_quiet() -> bool:
    """Return whether --quiet was given."""
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(QUIET, False)


def print_json(value: Any) -> None:
    """Print a value as JSON on one line of stdout."""
    click.echo(safe_json(msgspec.json.encode(value).decode()))


def print_action(run: str, command: str, message: str, *, ok: bool = True, **facts: Any) -> None:
    """Print what a command did to a run as JSON, in the one shape that all such commands share."""
    print_json({"run": run, "command": command, "ok": ok, "message": message} | facts)


def to_markup(text: str) -> str:
    """Return a text from outside as rich's markup: safe, and without any markup of its own."""
    from rich.markup import escape

    return escape(safe(text))
