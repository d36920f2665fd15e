"""The schema as data: every field with its type, bounds, unit and help, and the validation of single values."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_type_hints

import msgspec

from tui_gpt.config.schema import Config, Section
from tui_gpt.errors import ConfigError

Kind = Literal["int", "float", "bool", "text", "choice", "texts", "duration"]


@dataclass(frozen=True)
class Field:
    """A config field. key: its path, as in overrides: `optimizer.learning_rate`."""

    key: str
    kind: Kind
    default: Any
    help: str
    unit: str
    choices: tuple[str, ...]
    bounds: str
    resumable: bool
    annotation: Any
    check: Callable[[Any], bool] | None = None
    check_allows: str = ""  # the values that `check` accepts, in words

    @property
    def section(self) -> str:
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        return self.key.rpartition(".")[2]

    @property
    def allowed(self) -> str:
        """The allowed values in words: `a whole number, at least 1 and at most 512`."""
        words = (
            self.check_allows
            or {
                "int": "a whole number",
                "float": "a number",
                "bool": "true or false",
                "text": "text",
                "texts": "a list of texts",
                "choice": " or ".join(self.choices),
                "duration": 'a whole number of steps, "3 epochs", "50M tokens" or "30 minutes"',
            }[self.kind]
        )
        return f"{words}, {self.bounds}" if self.bounds else words

    def convert(self, value: Any, where: str = "") -> Any:
        """Return `value` converted to the field's type. Raises ConfigError with file, key, value and what is
        allowed.
        """
        if self.kind == "float" and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not _is_unicode(value):
            raise ConfigError(
                f"{self.key} = {value!r} is not text in UTF-8", where=where, do="Rename what it names, or retype it"
            )
        try:
            if isinstance(value, float) and not math.isfinite(value):
                raise msgspec.ValidationError("not finite")
            converted = msgspec.convert(value, self.annotation)
            if self.check is not None and not self.check(converted):
                raise msgspec.ValidationError("refused by the field's own check")
            return converted
        except msgspec.ValidationError:
            raise ConfigError(
                f"{self.key} = {format_value(value)} is not allowed",
                where=where,
                do=f"Allowed: {self.allowed} ({self.help})",
            ) from None

    def parse(self, text: str, where: str = "") -> Any:
        """Convert text to a value: TOML for most kinds, the text itself for text and choices. Raises ConfigError."""
        import tomllib

        if self.kind in ("text", "choice") or not text:
            return self.convert(text, where)
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):
            value = text
        if self.kind == "texts" and not isinstance(value, list):
            value = [str(value)]
        return self.convert(value, where)


def _is_unicode(value: Any) -> bool:
    """Whether a text, or the texts in a list, can be written to a file: an argument can hold bytes that are no text."""
    if isinstance(value, list | tuple):
        return all(_is_unicode(item) for item in value)
    return not isinstance(value, str) or not any("\ud800" <= character <= "\udfff" for character in value)


def format_value(value: Any) -> str:
    """Return a value as it is written in a config file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return msgspec.json.encode(value).decode() if isinstance(value, str | list | tuple) else str(value)


@cache
def fields() -> dict[str, Field]:
    """Return all fields by key, in the order of the schema."""
    return {field.key: field for field in _walk(Config, "")}


def _walk(section: type[Section], prefix: str) -> Iterator[Field]:
    hints = get_type_hints(section, include_extras=True)
    for info in msgspec.structs.fields(section):
        annotation = hints[info.name]
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from _walk(annotation, f"{info.name}.")
            continue
        meta: msgspec.Meta = annotation.__metadata__[0]
        extra = meta.extra or {}
        default = info.default if info.default is not msgspec.NODEFAULT else info.default_factory()
        kind, choices = _kind(annotation)
        yield Field(
            key=prefix + info.name,
            kind=kind,
            default=default,
            help=meta.description or "",
            unit=extra["unit"],
            choices=choices,
            bounds=_bounds(meta),
            resumable=extra["resumable"],
            annotation=annotation,
            check=extra["check"],
            check_allows=extra["allowed"],
        )


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    match msgspec.inspect.type_info(annotation.__origin__):
        case msgspec.inspect.BoolType():
            return "bool", ()
        case msgspec.inspect.IntType():
            return "int", ()
        case msgspec.inspect.FloatType():
            return "float", ()
        case msgspec.inspect.LiteralType():  # whose own values msgspec sorts
            return "choice", get_args(annotation.__origin__)
        case msgspec.inspect.VarTupleType():
            return "texts", ()
        case msgspec.inspect.UnionType():
            return "duration", ()
    return "text", ()


def _bounds(meta: msgspec.Meta) -> str:
    low = (
        f"at least {meta.ge:,.10g}" if meta.ge is not None else f"above {meta.gt:,.10g}" if meta.gt is not None else ""
    )
    high = (
        f"at most {meta.le:,.10g}" if meta.le is not None else f"below {meta.lt:,.10g}" if meta.lt is not None else ""
    )
    return " and ".join(part for part in (low, high) if part)


def field(key: str, where: str = "") -> Field:
    """Return the field with this key. Raises ConfigError with the nearest known key."""
    known = fields()
    if key not in known:
        raise ConfigError(f"unknown key {key}", where=where, do=_nearest(key, known))
    return known[key]


def _nearest(key: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if not near:  # compare names without sections
        names = {full.rpartition(".")[2]: full for full in known}
        near = [names[name] for name in difflib.get_close_matches(key.rpartition(".")[2], names, n=1, cutoff=0.7)]
    return f"Did you mean {near[0]}?" if near else "See gpt-tui train --help-config for all keys"
