"""A small version of `tests.bench.fuzz`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.fuzz import fuzz


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def test_damaged_input_of_every_kind_is_refused_in_one_line(tmp_path: Path) -> None:
    result = fuzz(tmp_path, inputs=700, number=7)
    assert not result["problems"]
    assert result["inputs"] >= 700 and result["refused"] > 200 and result["read"] > 200
