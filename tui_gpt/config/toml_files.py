"""Config files and overrides in, a checked `Config` out, and back to TOML.

A config *as asked* is a nested dict holding only what the user set, over a preset: it tells values set by hand, which
are never silently changed, from the preset's, which preparation may adapt to the corpus. A *resolved* config sets all.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from tui_gpt.config.duration import Duration
from tui_gpt.config.fields import field, fields
from tui_gpt.config.presets import PRESETS
from tui_gpt.config.schema import Config
from tui_gpt.errors import ConfigError, reason

PartialConfig = dict[str, Any]


def read_toml(path: Path) -> PartialConfig:
    """The tables of a config file. Raises ConfigError with the line for a syntax error."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {reason(error)}", where=str(path)) from None
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", where=str(path), do="Save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not valid TOML: {error}", where=str(path)) from None


def load_config(name_or_path: str) -> PartialConfig:
    """What `--config` names: a preset, or a TOML file."""
    if name_or_path in PRESETS:
        return {"preset": name_or_path}
    path = Path(name_or_path).expanduser()
    if not path.exists():
        raise ConfigError(
            f"{name_or_path} is neither a preset nor a file", where="--config", do=f"Presets: {', '.join(PRESETS)}"
        )
    asked = read_toml(path)
    _values(asked, name_or_path)  # what is wrong with one of them is said of the file
    return asked


def override(asked: PartialConfig, assignments: Iterable[str]) -> PartialConfig:
    """`asked` with `section.key=value` assignments laid over it. Raises ConfigError for one that cannot be."""
    asked = copy.deepcopy(asked)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(
                f"{assignment!r} is not an override", where="command line", do="Write it as section.key=value"
            )
        value = field(key.strip(), "command line").parse(text.strip(), "command line")
        set_key(asked, key.strip(), value)
    return asked


def set_key(asked: PartialConfig, key: str, value: Any) -> None:
    """Set `key` ("section.name") in place."""
    section, _, name = key.rpartition(".")
    table = asked.setdefault(section, {}) if section else asked
    table[name] = value


def flatten_keys(asked: PartialConfig) -> dict[str, Any]:
    """`asked` flattened to {"section.name": value}."""
    flat: dict[str, Any] = {}
    for name, value in asked.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    return flat


def _values(asked: PartialConfig, where: str) -> dict[str, Any]:
    """The settings of `asked` by key, each checked by itself. Raises ConfigError for one that cannot be."""
    sections = {key.partition(".")[0] for key in fields() if "." in key}
    for name, table in asked.items():
        if name in sections and not isinstance(table, dict):
            raise ConfigError(f"{name} is a table of settings", where=where, do=f"Write [{name}] and settings below it")
    return {key: field(key, where).convert(value, where) for key, value in flatten_keys(asked).items()}


def build(asked: PartialConfig, where: str = "config") -> Config:
    """The whole config that `asked` describes. Raises ConfigError for the first thing that is wrong in it."""
    preset = asked.get("preset", "pico")
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}", where=where, do=f"Presets: {', '.join(PRESETS)}")
    values = {key: item.default for key, item in fields().items()} | flatten_keys(PRESETS[preset]) | {"preset": preset}
    values |= _values(asked, where)
    if values["model.architecture"] == "gpt2" and "model.tied" not in flatten_keys(asked):
        values["model.tied"] = True
    nested: PartialConfig = {}
    for key, value in values.items():
        set_key(nested, key, value)
    config = msgspec.convert(nested, Config)
    validate(config, where)
    return config


def validate(config: Config, where: str = "config") -> None:
    """What no single field can tell. Raises ConfigError naming the keys that contradict each other."""
    model = config.model
    if model.n_embd % model.n_head:
        raise ConfigError(
            f"model.n_embd = {model.n_embd} is not divisible by model.n_head = {model.n_head}",
            where=where,
            do=f"Try model.n_embd = {-(-model.n_embd // model.n_head) * model.n_head}",
        )
    if model.architecture == "modern" and (model.n_embd // model.n_head) % 2:
        raise ConfigError(
            f"model.n_embd / model.n_head = {model.n_embd // model.n_head} is odd, and RoPE turns channels in pairs",
            where=where,
            do="Choose an even width a head",
        )
    if model.n_kv_head and model.n_head % model.n_kv_head:
        raise ConfigError(
            f"model.n_head = {model.n_head} is not divisible by model.n_kv_head = {model.n_kv_head}", where=where
        )
    if model.architecture == "gpt2" and model.n_kv_head not in (0, model.n_head):
        raise ConfigError("model.n_kv_head needs architecture = modern", where=where, do="GPT-2 has no grouped queries")
    if model.architecture == "gpt2" and not model.tied:
        raise ConfigError("model.tied = false needs architecture = modern", where=where, do="GPT-2 ties its head")
    if model.architecture == "gpt2" and model.mlp == "swiglu":
        raise ConfigError("model.mlp = swiglu needs architecture = modern", where=where, do="GPT-2 has GELU")
    if model.architecture == "gpt2" and model.value_embeddings:
        raise ConfigError("model.value_embeddings needs architecture = modern", where=where, do="GPT-2 has none")
    Duration.parse(config.training.duration)


def to_dict(config: Config) -> PartialConfig:
    """The config as nested plain values, every key set."""
    return msgspec.to_builtins(config)


def to_toml(asked: PartialConfig) -> str:
    """TOML text of a config, as asked or resolved."""
    import tomli_w

    return tomli_w.dumps(asked)


def changed_keys(before: Config, after: Config) -> list[str]:
    """Keys whose values differ, in the order of the schema."""
    old, new = flatten_keys(to_dict(before)), flatten_keys(to_dict(after))
    return [key for key in fields() if old[key] != new[key]]


def check_resumable(before: Config, after: Config) -> None:
    """Raises ConfigError when `after` changes what the run computes, which only a new run may do."""
    changed = [key for key in changed_keys(before, after) if not fields()[key].resumable]
    if changed:
        raise ConfigError(
            f"a resumed run cannot change {', '.join(changed)}",
            do="Start a new run from its weights instead: gpt-tui train --init-from RUN",
        )
    if before.sequences_per_step != after.sequences_per_step:
        raise ConfigError(
            "a resumed run keeps micro_batch_size × accumulation_steps"
            f" = {before.sequences_per_step}, not {after.sequences_per_step}",
            do="Change how the step is split, not its size",
        )
