"""What the terminal and its user's environment can do, asked before anything is drawn."""

from __future__ import annotations

import select
import shlex
import shutil
import sys
from collections.abc import Mapping
from typing import Literal

from tui_gpt.errors import UserError

Glyphs = Literal["braille", "block", "ascii"]


def is_closed(fileno: int) -> bool:
    """Return whether the terminal's other end is gone: a read would then return at once, for ever, with nothing."""
    poll = select.poll()
    poll.register(fileno, select.POLLHUP)
    return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))


def missing_terminal(environment: Mapping[str, str]) -> str:
    """Return why there is nothing to draw on; empty when there is."""
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        return "the workbench needs a terminal for its input and output"
    if environment.get("TERM", "") in ("", "dumb"):
        return f"the workbench cannot draw on TERM={environment.get('TERM') or '(unset)'}"
    return ""


def glyphs_for(environment: Mapping[str, str]) -> Glyphs:
    """Return the glyph set that locale and terminal can show; a bare Linux console has no braille."""
    locale = next((environment[key] for key in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(key)), "")
    if locale and "UTF8" not in locale.upper().replace("-", ""):
        return "ascii"
    return "block" if environment.get("TERM") == "linux" else "braille"


def editor(environment: Mapping[str, str]) -> list[str]:
    """Return the user's editor as a command. Raise UserError when there is none, or when it cannot be parsed."""
    for name in ("VISUAL", "EDITOR"):
        try:
            command = shlex.split(environment.get(name, ""))
        except ValueError as error:
            what = f"{environment[name]!r} is no command: {str(error).lower()}"
            raise UserError(what, where=f"${name}", do=f"Set it to a program, for example {name}=vim") from None
        if command:
            return command
    for program in ("nano", "vim", "vi"):
        if shutil.which(program):
            return [program]
    raise UserError("no editor was found", do="Set $EDITOR to one")
