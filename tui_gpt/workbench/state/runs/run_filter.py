"""The filter of the list of runs: words that must all fit, and comparisons of settings and figures."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from tui_gpt.workbench.state.runs.run_columns import FIXED_COLUMNS, ranked_keys, short_key
from tui_gpt.workbench.state.runs.run_scan import RunRow

Test = Callable[[RunRow], bool]
_COMPARISON = re.compile(r"([\w./-]+?)(<=|>=|!=|=|<|>)(.*)")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def parse_filter(text: str, names: Callable[[RunRow], str]) -> Test:
    """Return the test that a row passes when every word of `text` fits it.

    A word is a part of the name (given by `names`), the state, a tag or the note; or a comparison of a setting or of
    a column, such as `lr=1e-3` or `val<1.5`.
    """
    tests = [_word_test(word, names) for word in text.split()]
    return lambda row: all(test(row) for test in tests)


def _word_test(word: str, names: Callable[[RunRow], str]) -> Test:
    found = _COMPARISON.fullmatch(word)
    value = _value_of(found[1].lower()) if found else None
    if found and value is not None:
        if not found[3]:  # still being typed
            return lambda row: True
        return _comparison(value, _COMPARE[found[2]], found[3])
    needle = word.lower()
    return lambda row: needle in f"{row.id} {names(row)} {row.state} {' '.join(row.tags)} {row.note}".lower()


def _value_of(name: str) -> Callable[[RunRow], Any] | None:
    """Return what reads the setting or the column called `name`; None where nothing is."""
    for column in FIXED_COLUMNS:
        if name in (column.key, column.title):
            return column.value
    for key in ranked_keys():
        if name in (key, short_key(key), key.rpartition(".")[2]):
            return lambda row: row.settings.get(key)
    return None


def _comparison(value: Callable[[RunRow], Any], compare: Callable[[Any, Any], bool], text: str) -> Test:
    number = parse_number(text)

    def test(row: RunRow) -> bool:
        found = value(row)
        if found is None:
            return False
        if number is not None and isinstance(found, int | float) and not isinstance(found, bool):
            return compare(float(found), number)
        return compare(str(found).lower(), text.lower())

    return test


def parse_number(text: str) -> float | None:
    """Return the number that `text` writes, `12k` and `1.5M` too; None where it is none."""
    scale = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9}.get(text[-1:].lower(), 1.0)
    try:
        return float(text[:-1] if scale != 1.0 else text) * scale
    except ValueError:
        return None
