"""Learning rate schedules: linear warmup, then a half cosine (Loshchilov & Hutter 2017), a constant rate with linear
cooldown (warmup–stable–decay, Hägele et al. 2024), or a constant rate.
"""

from __future__ import annotations

import math

from tui_gpt.config import ScheduleConfig


def learning_rate(schedule: ScheduleConfig, peak: float, step: int, progress: float) -> float:
    """Return the learning rate of `step` (counted from 1). progress: fraction of the run after warmup, 0 to 1."""
    if step <= schedule.warmup_steps:
        return peak * step / schedule.warmup_steps
    if schedule.name == "constant":
        return peak
    progress = min(1.0, max(0.0, progress))
    if schedule.name == "wsd":
        share = min(1.0, (1 - progress) / schedule.cooldown)
    else:
        share = 0.5 * (1 + math.cos(math.pi * progress))
    return peak * (schedule.min_lr_ratio + (1 - schedule.min_lr_ratio) * share)


def progress_after_warmup(schedule: ScheduleConfig, step: int, total_steps: int) -> float:
    """Return the fraction of the steps after warmup that are done after `step`."""
    return (step - schedule.warmup_steps) / max(1, total_steps - schedule.warmup_steps)
