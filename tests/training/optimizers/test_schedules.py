"""Learning rate schedules."""

from __future__ import annotations

import itertools

import pytest

from tui_gpt.config import ScheduleConfig
from tui_gpt.training.optimizers.schedules import learning_rate, progress_after_warmup


def test_the_cosine_schedule_warms_up_peaks_and_ends_at_its_minimum() -> None:
    schedule = ScheduleConfig(warmup_steps=10, min_lr_ratio=0.1)
    rates = [learning_rate(schedule, 1.0, n, progress_after_warmup(schedule, n, 100)) for n in range(1, 101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == 1.0 and rates[-1] == pytest.approx(0.1)
    assert rates[54] == pytest.approx(0.55)
    assert all(one >= other for one, other in itertools.pairwise(rates[9:]))
