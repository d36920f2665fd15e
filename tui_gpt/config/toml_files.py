"""Read config files and overrides, validate them into a `Config`, and write TOML.

A *partial* config is a nested dict of only what the user set, relative to a preset. It tells values set by the user,
which are never changed silently, from the preset's, which preparation may adapt to the corpus. A *resolved* config sets
every key.
"""

from __future__ import annotations

import copy
import os
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
from tui_gpt.files import read_file

PartialConfig = dict[str, Any]

PATH_KEYS = ("data.tokenizer", "training.init_from", "training.fork_from")


def read_toml(path: Path) -> PartialConfig:
    """Return the tables of a config file. Raises ConfigError, with the line for a syntax error.

    A path in it that leads somewhere from the file's folder is returned as an absolute one, so that a folder can be
    moved with its config.
    """
    try:
        return _with_absolute_paths(tomllib.loads(read_file(path).decode("utf-8")), path.absolute().parent)
    except OSError as error:
        raise ConfigError(f"cannot be read: {reason(error)}", where=str(path)) from None
    except UnicodeDecodeError:
        raise ConfigError("not UTF-8 text", where=str(path), do="Save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"invalid TOML: {error}", where=str(path)) from None


def _with_absolute_paths(partial: PartialConfig, folder: Path) -> PartialConfig:
    for key in PATH_KEYS:
        value = flatten_keys(partial).get(key)
        if isinstance(value, str) and _is_path(key, value) and os.path.exists(folder / value):  # noqa: PTH110
            set_key(partial, key, str(folder / value))
    return partial


def with_relative_paths(partial: PartialConfig, folder: Path) -> PartialConfig:
    """Return a copy in which paths to what is in `folder` are relative to it, as for a config file kept there."""
    partial = copy.deepcopy(partial)
    for key, value in flatten_keys(partial).items():
        if key in PATH_KEYS and _is_path(key, value) and Path(value).is_relative_to(folder):
            set_key(partial, key, str(Path(value).relative_to(folder)))
    return partial


def _is_path(key: str, value: str) -> bool:
    return value.endswith(".json") if key == "data.tokenizer" else bool(value)


def load_config(name_or_path: str) -> PartialConfig:
    """Return the partial config that `--config` names: a preset or a TOML file. Raises ConfigError."""
    if name_or_path in PRESETS:
        return {"preset": name_or_path}
    path = Path(name_or_path).expanduser()
    if not path.exists():
        raise ConfigError(
            f"{name_or_path} is neither a preset nor a file", where="--config", do=f"Presets: {', '.join(PRESETS)}"
        )
    partial = read_toml(path)
    _check_values(partial, name_or_path)  # here, so that errors name the file
    return partial


def override(partial: PartialConfig, assignments: Iterable[str]) -> PartialConfig:
    """Return a copy of `partial` with `section.key=value` assignments applied. Raises ConfigError."""
    partial = copy.deepcopy(partial)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(
                f"invalid override {assignment!r}", where="command line", do="Write it as section.key=value"
            )
        value = field(key.strip(), "command line").parse(text.strip(), "command line")
        set_key(partial, key.strip(), value)
    return partial


def set_key(partial: PartialConfig, key: str, value: Any) -> None:
    """Set `key` ("section.name") in place."""
    section, _, name = key.rpartition(".")
    table = partial.setdefault(section, {}) if section else partial
    table[name] = value


def flatten_keys(partial: PartialConfig) -> dict[str, Any]:
    """Return the values by key: {"section.name": value}."""
    flat: dict[str, Any] = {}
    for name, value in partial.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    return flat


def _check_values(partial: PartialConfig, where: str) -> dict[str, Any]:
    """Return the values by key, each converted to its type. Raises ConfigError for an unknown key or invalid value."""
    sections = {key.partition(".")[0] for key in fields() if "." in key}
    for name, table in partial.items():
        if name in sections and not isinstance(table, dict):
            raise ConfigError(f"{name} is a table of settings", where=where, do=f"Write [{name}] and settings below it")
    return {key: field(key, where).convert(value, where) for key, value in flatten_keys(partial).items()}


def build(partial: PartialConfig, where: str = "config") -> Config:
    """Return the resolved config: `partial` on top of its preset. Raises ConfigError for the first error."""
    preset = partial.get("preset", "pico")
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}", where=where, do=f"Presets: {', '.join(PRESETS)}")
    values = {key: item.default for key, item in fields().items()} | flatten_keys(PRESETS[preset]) | {"preset": preset}
    values |= _check_values(partial, where)
    if values["model.architecture"] == "gpt2" and "model.tied" not in flatten_keys(partial):
        values["model.tied"] = True
    nested: PartialConfig = {}
    for key, value in values.items():
        set_key(nested, key, value)
    config = msgspec.convert(nested, Config)
    validate(config, where)
    return config


def validate(config: Config, where: str = "config") -> None:
    """Check what involves several fields. Raises ConfigError naming the keys that contradict each other."""
    model = config.model
    if model.n_embd % model.n_head:
        raise ConfigError(
            f"model.n_embd = {model.n_embd} is not divisible by model.n_head = {model.n_head}",
            where=where,
            do=f"Try model.n_embd = {-(-model.n_embd // model.n_head) * model.n_head}",
        )
    if model.architecture == "modern" and (model.n_embd // model.n_head) % 2:
        raise ConfigError(
            f"model.n_embd / model.n_head = {model.n_embd // model.n_head} is odd, but RoPE rotates pairs of channels",
            where=where,
            do="Choose an even head width",
        )
    if model.n_kv_head and model.n_head % model.n_kv_head:
        raise ConfigError(
            f"model.n_head = {model.n_head} is not divisible by model.n_kv_head = {model.n_kv_head}", where=where
        )
    if model.architecture == "gpt2" and model.n_kv_head not in (0, model.n_head):
        raise ConfigError(
            "model.n_kv_head needs architecture = modern", where=where, do="GPT-2 has no grouped-query attention"
        )
    if model.architecture == "gpt2" and not model.tied:
        raise ConfigError(
            "model.tied = false needs architecture = modern", where=where, do="GPT-2 ties head and embedding"
        )
    if model.architecture == "gpt2" and model.mlp == "swiglu":
        raise ConfigError("model.mlp = swiglu needs architecture = modern", where=where, do="GPT-2 uses GELU")
    if model.architecture == "gpt2" and model.value_embeddings:
        raise ConfigError("model.value_embeddings needs architecture = modern", where=where, do="GPT-2 has none")
    Duration.parse(config.training.duration)


def to_dict(config: Config) -> PartialConfig:
    """Return the config as nested plain values, with every key set."""
    return msgspec.to_builtins(config)


def to_toml(config: PartialConfig) -> str:
    """Return the TOML text of a partial or resolved config."""
    import tomli_w

    return tomli_w.dumps(config)


def changed_keys(before: Config, after: Config) -> list[str]:
    """Return the keys whose values differ, in the order of the schema."""
    old, new = flatten_keys(to_dict(before)), flatten_keys(to_dict(after))
    return [key for key in fields() if old[key] != new[key]]


def check_resumable(before: Config, after: Config) -> None:
    """Raise ConfigError if `after` changes what the run computes, which needs a new run."""
    changed = [key for key in changed_keys(before, after) if not fields()[key].resumable]
    if changed:
        raise ConfigError(
            f"a resumed run cannot change {', '.join(changed)}",
            do="Start a new run from its weights instead: gpt-tui train --init-from RUN",
        )
    if before.sequences_per_step != after.sequences_per_step:
        raise ConfigError(
            "a resumed run cannot change micro_batch_size × accumulation_steps"
            f" from {before.sequences_per_step} to {after.sequences_per_step}",
            do="Change how the step is split, but not its size",
        )
