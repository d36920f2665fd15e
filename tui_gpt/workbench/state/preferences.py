"""Preferences kept between sessions, and the user's key map file.

Preferences live in $XDG_STATE_HOME/gpt-tui/workbench.json. Losing them costs nothing, so a file that cannot be read or
written is passed over, and one with a value that is not allowed keeps the others. The key map is the user's own file,
$XDG_CONFIG_HOME/gpt-tui/keys.toml, and what is wrong in it is reported.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from tui_gpt.files import write_atomically

T = TypeVar("T", bound=msgspec.Struct)
XAxis = Literal["step", "tokens", "time"]
Smoothing = Literal["raw", "light", "auto", "heavy"]
NO_HOME = Path("/nonexistent")  # where a process without a home directory looks, in vain, for its files


class TalkSettings(msgspec.Struct, omit_defaults=True, frozen=True):
    """Sampling settings of the Talk screen."""

    temperature: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.8
    top_k: Annotated[int, msgspec.Meta(ge=0)] = 0
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    tokens: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 128
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 1
    completions: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1


class Preferences(msgspec.Struct, omit_defaults=True):
    """How the user looks at runs. `whole_plan`: the chart's x axis shows the whole plan instead of fitting the data."""

    theme: str = ""  # empty: what the terminal can show
    log_y: bool = False
    x_axis: XAxis = "step"
    smoothing: Smoothing = "auto"
    whole_plan: bool = False
    metric: str = "loss"
    pane: str = "loss"
    sort_column: str = ""  # of the list of runs; empty: by start
    sort_reverse: bool = False
    talk: TalkSettings = msgspec.field(default_factory=TalkSettings)


def _home(variable: str, default: str) -> Path:
    place = Path(os.environ.get(variable, ""))
    if place.is_absolute():  # the XDG specification says to ignore a relative path
        return place / "gpt-tui"
    try:
        return Path.home() / default / "gpt-tui"
    except RuntimeError:  # no HOME, and no entry for this user in the password database
        return NO_HOME


def state_dir() -> Path:
    """Return the folder of preferences and logs. It may not exist, and may not be writable."""
    return _home("XDG_STATE_HOME", ".local/state")


def config_dir() -> Path:
    """Return the folder of the user's own files: the key map and themes."""
    return _home("XDG_CONFIG_HOME", ".config")


def preferences_path() -> Path:
    return state_dir() / "workbench.json"


def keys_path() -> Path:
    return config_dir() / "keys.toml"


def load_preferences(path: Path) -> Preferences:
    """Return the preferences in `path`, with defaults for what is missing, damaged or not allowed. Never raises."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, ValueError, RecursionError):
        return Preferences()
    return _tolerant(Preferences, found)


def _tolerant(kind: type[T], found: Any) -> T:
    """Return a `kind` with the fields of `found` that are allowed there."""
    values = {}
    for item in msgspec.structs.fields(kind) if isinstance(found, dict) else ():
        if item.name not in found:
            continue
        if item.type is TalkSettings:
            values[item.name] = _tolerant(TalkSettings, found[item.name])
            continue
        try:
            values[item.name] = msgspec.convert(found[item.name], item.type)
        except msgspec.ValidationError:
            continue
    return kind(**values)


def save_preferences(path: Path, preferences: Preferences) -> bool:
    """Write `preferences` to `path`, and return whether that worked: a home may be read-only, full or missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.encode(preferences))
    except OSError:
        return False
    return True


def load_keymap(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the tables of the user's key map, and what is wrong with the file, each problem as one line."""
    try:
        return tomllib.loads(path.read_text("utf-8")), []
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        if isinstance(error, NotADirectoryError):  # a parent is a file: there is no key map
            return {}, []
        return {}, [f"{path}: cannot be read: {(error.strerror or str(error)).lower()}"]
    except UnicodeDecodeError:
        return {}, [f"{path}: is not UTF-8 text"]
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return {}, [f"{path}: is not valid TOML: {error}"]
