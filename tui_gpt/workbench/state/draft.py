"""The config of the next run, as it is being written.

A draft holds only what the user set over a preset (a config *as asked*), so that a change of preset keeps what was set
by hand and preparation may still adapt the rest. `save()` keeps it in configs/draft.toml of the workspace; configs
saved under a name lie beside it, as files that `gpt-tui train --config` takes too.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tui_gpt.config import (
    Config,
    PartialConfig,
    build,
    field,
    fields,
    flatten_keys,
    read_toml,
    set_key,
    to_dict,
    to_toml,
)
from tui_gpt.errors import ConfigError, UserError, reason
from tui_gpt.files import write_atomically
from tui_gpt.run.folder import validate_name


class Draft:
    """The asked config and the config that it amounts to. Every edit is checked first, and only then made.

    Edits change memory alone; call `save()` in a thread after one.
    """

    def __init__(self, configs: Path) -> None:
        self.configs = configs
        self.path = configs / "draft.toml"
        self.asked: PartialConfig = {"preset": "pico"}
        self.config: Config = build(self.asked)
        self._saving = threading.Lock()

    def load(self) -> None:
        """Read the draft of the last session, if there is one. Raises ConfigError when it is damaged or unreadable."""
        try:
            self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise ConfigError(f"cannot be read: {reason(error)}", where=str(self.path)) from None
        self.replace(read_toml(self.path), str(self.path))

    def save(self) -> None:
        """Write the draft. Blocking. Raises ConfigError when it cannot be written; the draft stays as it is."""
        with self._saving:
            self._write(self.path)

    def replace(self, asked: PartialConfig, where: str = "config") -> None:
        """Make a copy of `asked` the draft. Raises ConfigError, and changes nothing, when it cannot run."""
        config = build(asked, where)
        kept = {key: copy.deepcopy(value) for key, value in asked.items() if value != {}}
        self.asked, self.config = {"preset": config.preset} | kept, config

    def set(self, texts: Mapping[str, str]) -> None:
        """Set keys as `texts` writes them. Raises ConfigError, and changes nothing, when that is not allowed."""
        asked = copy.deepcopy(self.asked)
        for key, text in texts.items():
            set_key(asked, key, field(key).parse(text.strip()))
        self.replace(asked)

    def set_what_can_be(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Set keys, together if that works and otherwise each that works alone; return the others' problems.

        Settings may depend on each other (heads must divide the width), so two that contradict the draft one by one
        can be right together.
        """
        try:
            self.set(texts)
            return {}
        except UserError:
            problems = dict.fromkeys(texts, "")
        for key in [*texts, *texts]:  # twice, since one may be right only after another
            if key in problems:
                try:
                    self.set({key: texts[key]})
                    del problems[key]
                except UserError as error:
                    problems[key] = f"{error.what}. {error.do}" if error.do else error.what
        return problems

    def reset(self, key: str) -> None:
        """Put `key` back to the preset's value. Raises ConfigError when the rest then contradicts it."""
        asked = copy.deepcopy(self.asked)
        section, _, name = key.rpartition(".")
        asked.get(section, {}).pop(name, None)
        self.replace(asked)

    def saved(self) -> list[Path]:
        """Return the configs that were saved under a name. Blocking."""
        try:
            return sorted(path for path in self.configs.glob("*.toml") if path != self.path)
        except OSError:
            return []

    def save_as(self, name: str) -> Path:
        """Write the draft under `name` and return the file. Blocking.

        Raises RunError for a name that is not allowed, ConfigError when the file cannot be written.
        """
        stem = name.removesuffix(".toml")
        validate_name(stem, "config name")
        if stem == self.path.stem:
            raise ConfigError(f"{stem!r} is where the draft itself is kept", do="Choose another name")
        path = self.configs / f"{stem}.toml"
        self._write(path)
        return path

    def is_set(self, key: str) -> bool:
        """Return whether the user set `key`, be it to the preset's own value."""
        return key != "preset" and key in flatten_keys(self.asked)

    def _write(self, path: Path) -> None:
        try:
            self.configs.mkdir(parents=True, exist_ok=True)
            write_atomically(path, to_toml(self.asked).encode())
        except OSError as error:
            raise ConfigError(f"cannot be written: {reason(error)}", where=str(path)) from None


def differences_from_preset(config: Config) -> dict[str, tuple[Any, Any]]:
    """Return what differs from the config's preset, a draft's or a run's, as {key: (preset's value, config's)}."""
    before, after = flatten(build({"preset": config.preset})), flatten(config)
    return {key: (before[key], after[key]) for key in fields() if before[key] != after[key]}


def to_editable_toml(draft: Draft) -> str:
    """Return the draft as TOML to edit by hand: what is set as it is, the rest as comments with value and help."""
    import tomli_w

    values = flatten(draft.config)
    lines: list[str] = []
    section = ""
    for key, item in fields().items():
        if item.section != section:
            section = item.section
            lines += ["", f"[{section}]"]
        line = tomli_w.dumps({item.name: values[key]}).strip().replace("\n", " ")
        lines.append(line if key in flatten_keys(draft.asked) else f"# {line}  # {item.help}")
    return "\n".join(lines) + "\n"


def flatten(config: Config) -> dict[str, Any]:
    """Return every setting by its key."""
    return flatten_keys(to_dict(config))


def format_value(value: Any) -> str:
    """Return a value as a form shows it and takes it back, without loss."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return msgspec.json.encode(value).decode() if isinstance(value, list | tuple) else str(value)
