"""A small version of `tests.bench.strikes`; GPT_TUI_STRIKES=20 strikes more often."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench.strikes import fast_starts, strike_runs

STRIKES = int(os.environ.get("GPT_TUI_STRIKES", "5"))


@pytest.mark.timeout(120 + 30 * STRIKES)
def test_random_strikes_lose_nothing(tmp_path: Path) -> None:
    with fast_starts():
        tally = strike_runs(tmp_path, STRIKES, seed=1)
    assert tally.is_clean, "\n".join(tally.problems)
    assert tally.strikes == STRIKES
