"""Colours by role, for terminals with 16 million, 256, 16 and no colours.

Panes name roles ("dim", "train", "bad"), never colours; a theme says what a role looks like. One accent; everything
that a colour says, a word or a glyph says too. `terminal` uses the terminal's own sixteen colours and background, and
is chosen by itself where there are no more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rich.style import Style
from textual.theme import BUILTIN_THEMES, Theme

_DUSK = {
    "text": "#b9c3d0",
    "dim": "#7d899a",
    "faint": "#465163",
    "bright": "#e8edf4",
    "accent": "#62b6cb",
    "good": "#8fbf7f",
    "warn": "#e0b060",
    "bad": "bold #e8707a",
    "title": "#9fabbb",
    "key": "#62b6cb",
    "frame": "#333d4c",
    "frame-active": "#62b6cb",
    "raw": "#33606d",
    "train": "#62b6cb",
    "val": "#e3a76f",
    "floor": "#7d899a",
    "prompt": "#62b6cb",
    "cursor": "#e8edf4 on #2e343b",
    "cursor-dim": "#9fabbb on #2e343b",
    "tab": "bold #101316 on #62b6cb",
    "token-0": "#b9c3d0",
    "token-1": "#e8edf4 on #22394a",
    "token-mark": "bold #101316 on #62b6cb",
    "token-end": "bold #101316 on #e3a76f",
    "run-0": "#62b6cb",
    "run-1": "#e3a76f",
    "run-2": "#a58fd8",
    "run-3": "#8fbf7f",
    "run-4": "#d98fb0",
    "run-5": "#d6cf7a",
}
_PAPER = {
    "text": "#2e3742",
    "dim": "#6a7683",
    "faint": "#b4bcc5",
    "bright": "bold #10161d",
    "accent": "#14748c",
    "good": "#3c7a2c",
    "warn": "#96650a",
    "bad": "bold #b3202c",
    "title": "#46525f",
    "key": "#14748c",
    "frame": "#c9cfd6",
    "frame-active": "#14748c",
    "raw": "#a3cdd8",
    "train": "#14748c",
    "val": "#b8621b",
    "floor": "#6a7683",
    "prompt": "#14748c",
    "cursor": "#10161d on #d7e4ea",
    "cursor-dim": "#46525f on #d7e4ea",
    "tab": "bold #ffffff on #14748c",
    "token-0": "#2e3742",
    "token-1": "#10161d on #cfe3ea",
    "token-mark": "bold #ffffff on #14748c",
    "token-end": "bold #ffffff on #b8621b",
    "run-0": "#14748c",
    "run-1": "#b8621b",
    "run-2": "#6a4fb0",
    "run-3": "#3c7a2c",
    "run-4": "#a8386c",
    "run-5": "#7a7000",
}
_TERMINAL = {
    "text": "default",
    "dim": "dim",
    "faint": "dim",
    "bright": "bold",
    "accent": "cyan",
    "good": "green",
    "warn": "yellow",
    "bad": "bold red",
    "title": "default",
    "key": "bold cyan",
    "frame": "dim",
    "frame-active": "cyan",
    "raw": "dim cyan",
    "train": "bold cyan",
    "val": "yellow",
    "floor": "dim",
    "prompt": "bold cyan",
    "cursor": "reverse",
    "cursor-dim": "reverse",
    "tab": "reverse cyan",
    "token-0": "default",
    "token-1": "black on cyan",
    "token-mark": "bold reverse",
    "token-end": "bold black on yellow",
    "run-0": "cyan",
    "run-1": "yellow",
    "run-2": "magenta",
    "run-3": "green",
    "run-4": "red",
    "run-5": "blue",
}


@dataclass(frozen=True)
class Look:
    """A theme: what Textual's own widgets take, and the styles of our roles."""

    textual: Theme
    roles: dict[str, Style]


def _look(name: str, roles: dict[str, str], background: str, surface: str, *, dark: bool) -> Look:
    plain = roles["text"]
    theme = Theme(
        name=name,
        primary=roles["accent"],
        secondary=roles["accent"],
        accent=roles["accent"],
        warning=roles["warn"],
        error=roles["bad"].split()[-1],
        success=roles["good"],
        foreground=plain,
        background=background,
        surface=surface,
        panel=surface,
        boost=surface,
        dark=dark,
    )
    return Look(theme, {role: Style.parse(style) for role, style in roles.items()})


_ANSI = replace(BUILTIN_THEMES["ansi-dark"], name="terminal", primary="ansi_cyan", accent="ansi_cyan")

LOOKS: dict[str, Look] = {
    "dusk": _look("dusk", _DUSK, "#101316", "#1d2125", dark=True),
    "paper": _look("paper", _PAPER, "#fbfbf9", "#eef1f3", dark=False),
    "terminal": Look(_ANSI, {role: Style.parse(style) for role, style in _TERMINAL.items()}),
}


def default_theme(color_system: str | None) -> str:
    """The theme for what the terminal can show: `truecolor`, `256`, `standard`, or None."""
    return "dusk" if color_system in ("truecolor", "256") else "terminal"
