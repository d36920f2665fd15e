"""Color themes: Textual's own, the files beside this one, and the user's in the config folder's `themes/`.

A theme file holds the fields of `textual.theme.Theme` as TOML, and may name a `base` that it changes. `terminal` uses
the terminal's own sixteen colors and background, and is the default where there are no more.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from textual.color import ColorParseError
from textual.theme import BUILTIN_THEMES, Theme


def load_themes(user_dir: Path) -> tuple[list[Theme], list[str]]:
    """Return our themes and the user's, and the problems of the user's files, one sentence each."""
    themes, problems = [], []
    ours = sorted(Path(__file__).parent.glob("*.toml"))
    for path in [*ours, *sorted(user_dir.glob("*.toml"))]:
        try:
            themes.append(_theme(path))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError, ValueError, ColorParseError) as error:
            problems.append(f"theme {path}: {error}")
    return themes, problems


def _theme(path: Path) -> Theme:
    values: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    base = values.pop("base", None)
    if base is not None and base not in BUILTIN_THEMES:
        raise ValueError(f"base {base!r} is not one of {', '.join(BUILTIN_THEMES)}")
    fields = dict(vars(BUILTIN_THEMES[base])) if base else {}
    variables = fields.get("variables", {}) | values.pop("variables", {})
    theme = Theme(**(fields | values | {"name": path.stem, "variables": variables}))
    theme.to_color_system().generate()  # raises for a color that cannot be parsed
    return theme


def default_theme(color_system: str | None) -> str:
    """Return the theme for what the terminal can show: `truecolor`, `256`, `standard`, or None."""
    return "dusk" if color_system in ("truecolor", "256") else "terminal"
