"""A small version of `tests.bench.bit_flips`."""

from __future__ import annotations

from pathlib import Path

from tests.bench.bit_flips import flip_bits


def test_flipped_bits_in_any_file_of_a_run_are_refused_or_harmless(tmp_path: Path) -> None:
    result = flip_bits(tmp_path, flips=300, seed=5)
    assert not result["problems"]
    assert result["refused"] > 200
