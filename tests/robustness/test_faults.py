"""A small version of `tests.bench.faults`: a full disk, a disk that fails, no descriptors left."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.bench.faults import Faults, Point, compile_shim
from tests.bench.strikes import fast_starts

POINTS = [
    Point("start", "write", "metrics.jsonl", 3, "ENOSPC", is_lasting=False),
    Point("start", "fsync", ".partial-step-#/model.safetensors", 1, "EIO", is_lasting=False),
    Point("start", "open", "config.toml", 2, "EMFILE", is_lasting=False),
]


@pytest.mark.timeout(300)
def test_a_run_survives_failing_system_calls(tmp_path: Path) -> None:
    shim = compile_shim(tmp_path)
    if shim is None:
        pytest.skip("needs Linux and a C compiler")
    with fast_starts():
        faults = Faults(tmp_path, shim, random.Random(1))
        assert faults.count("start")["write", "metrics.jsonl"] >= 10
        for point in POINTS:
            faults.inject(point)
    assert not faults.tally.problems
    assert faults.tally.points == len(POINTS)
