"""What the workbench remembers between sessions, and the user's key map.

The view (theme, axes, smoothing, the pane in front) lives in $XDG_STATE_HOME/gpt-tui/workbench.json; losing it costs
nothing, so a file that cannot be read or written is passed over. The key map is the user's own file,
$XDG_CONFIG_HOME/gpt-tui/keys.toml, and what is wrong in it is said.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from tui_gpt.workbench.actions import Keymap, check_keymap

Axis = Literal["step", "tokens", "time"]
SMOOTHING = (0.0, 0.6, 0.9, 0.97, 0.99)


class Talk(msgspec.Struct, omit_defaults=True):
    """How the sampling screen draws."""

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    tokens: int = 128
    seed: int = 1
    completions: int = 1


class View(msgspec.Struct, omit_defaults=True):
    """How the user looks at a run."""

    theme: str = ""  # empty: what the terminal can show
    log_y: bool = False
    axis: Axis = "step"
    smoothing: int = 2  # an index into SMOOTHING
    pane: str = "loss"
    maximised: bool = False
    order: str = "start"  # of the list of runs
    talk: Talk = msgspec.field(default_factory=Talk)

    @property
    def weight(self) -> float:
        return SMOOTHING[min(max(self.smoothing, 0), len(SMOOTHING) - 1)]


def _home(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default) / "gpt-tui"


def view_path() -> Path:
    return _home("XDG_STATE_HOME", ".local/state") / "workbench.json"


def keys_path() -> Path:
    return _home("XDG_CONFIG_HOME", ".config") / "keys.toml"


def load_view(path: Path) -> View:
    """The view of the last session, but for a maximised pane: a new one begins with all of them in sight."""
    try:
        return msgspec.structs.replace(msgspec.json.decode(path.read_bytes(), type=View), maximised=False)
    except (OSError, msgspec.DecodeError):
        return View()


def save_view(path: Path, view: View) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(msgspec.json.encode(view))
        temporary.replace(path)
    except OSError:
        return  # a read-only home: the next session starts with the defaults


def load_keymap(path: Path) -> tuple[Keymap, list[str]]:
    """The user's keys by action, and what is wrong with the file, each as one line."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return {}, [f"{path}: {error}"]
    keymap, problems = check_keymap(raw)
    return keymap, [f"{path}: {problem}" for problem in problems]
