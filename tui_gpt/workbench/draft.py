"""The config of the next run, as it is being written.

It holds only what the user set over a preset (a config *as asked*), so that a change of preset keeps what was set by
hand and preparation may still adapt the rest. Every edit is kept in configs/draft.toml of the workspace; saved configs
lie beside it, as files that `gpt-tui train --config` takes too.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import msgspec

from tui_gpt.config import (
    PRESETS,
    Asked,
    Config,
    Field,
    build,
    field,
    fields,
    keys_of,
    read_toml,
    set_key,
    to_dict,
    to_toml,
)
from tui_gpt.errors import ConfigError, UserError, reason
from tui_gpt.run.folder import validate_name, write_atomically


class Draft:
    """The asked config and what it amounts to. `config` is the last one that could be built."""

    def __init__(self, configs: Path) -> None:
        self.configs = configs
        self.asked: Asked = {"preset": "pico"}
        self.config: Config = build(self.asked)
        self.preset: Config = self.config

    @property
    def path(self) -> Path:
        return self.configs / "draft.toml"

    def load(self) -> None:
        """Take up the draft of the last session, where there is one. Raises ConfigError for one that is broken."""
        if self.path.exists():
            self.take(read_toml(self.path), str(self.path))

    def take(self, asked: Asked, where: str = "config") -> None:
        """Make `asked` the draft. Raises ConfigError, and changes nothing, when it cannot run."""
        config = build(asked, where)
        self.asked = {"preset": config.preset} | {key: value for key, value in asked.items() if value != {}}
        self.config, self.preset = config, build({"preset": config.preset})

    def trial(self, key: str, text: str) -> Config:
        """The config with `key` set as `text` writes it. Raises ConfigError saying what is wrong."""
        return build(self._with(key, text), "config")

    def set(self, key: str, text: str) -> None:
        """Raises ConfigError, and changes nothing, when `text` is not allowed there."""
        self.take(self._with(key, text))
        self._keep()

    def reset(self, key: str) -> None:
        """Put `key` back to the preset's value. Raises ConfigError when the rest then contradicts it."""
        asked = copy.deepcopy(self.asked)
        section, _, name = key.rpartition(".")
        if section in asked:
            asked[section].pop(name, None)
        self.take(asked)
        self._keep()

    def use_preset(self, name: str) -> None:
        """Stand on another preset; what was set by hand stays. Raises ConfigError when the two contradict."""
        self.take({**self.asked, "preset": name})
        self._keep()

    def start_over(self) -> None:
        """The preset as it is, with nothing set by hand."""
        self.take({"preset": self.config.preset})
        self._keep()

    def adopt(self, asked: Asked, where: str) -> None:
        self.take(copy.deepcopy(asked), where)
        self._keep()

    def saved(self) -> list[Path]:
        """Configs that were saved under a name."""
        return sorted(path for path in self.configs.glob("*.toml") if path.name != "draft.toml")

    def save_as(self, name: str) -> Path:
        """Raises RunError for a name that cannot be one, ConfigError when the file cannot be written."""
        validate_name(name, "config name")
        path = self.configs / f"{name.removesuffix('.toml')}.toml"
        self._write(path)
        return path

    def difference(self) -> dict[str, tuple[Any, Any]]:
        """What differs from the preset: {key: (the preset's value, the draft's)}."""
        before, after = flat(self.preset), flat(self.config)
        return {key: (before[key], after[key]) for key in fields() if key != "preset" and before[key] != after[key]}

    def _with(self, key: str, text: str) -> Asked:
        asked = copy.deepcopy(self.asked)
        set_key(asked, key, field(key).parse(text.strip()))
        return asked

    def _keep(self) -> None:
        self._write(self.path)

    def _write(self, path: Path) -> None:
        try:
            self.configs.mkdir(parents=True, exist_ok=True)
            write_atomically(path, to_toml(self.asked).encode())
        except OSError as error:
            raise ConfigError(f"cannot be written: {reason(error)}", where=str(path)) from None


def as_text(asked: Asked, config: Config) -> str:
    """`asked` as TOML to edit by hand: what is set stands as it is, the rest as comments with value and help."""
    import tomli_w

    values, by_hand = flat(config), keys_of(asked)
    lines: list[str] = []
    section = ""
    for key, item in fields().items():
        if item.section != section:
            section = item.section
            lines += ["", f"[{section}]"]
        line = tomli_w.dumps({item.name: values[key]}).strip().replace("\n", " ")
        lines.append(line if key in by_hand else f"# {line}  # {item.help}")
    return "\n".join(lines) + "\n"


def flat(config: Config) -> dict[str, Any]:
    """Every setting by its key."""
    return keys_of(to_dict(config))


def written(value: Any) -> str:
    """A value as the form shows it and takes it back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return msgspec.json.encode(list(value)).decode()
    return str(value)


def check_text(draft: Draft, item: Field, text: str) -> str:
    """What is wrong with `text` as the value of `item`; empty when nothing is."""
    try:
        draft.trial(item.key, text)
    except UserError as error:
        return f"{error.what}. {error.do}" if error.do else error.what
    return ""


PRESET_NAMES = tuple(PRESETS)
