"""What holds a run's speed back, in words, from what was measured: the first rule that applies.

The rules go from what wastes the machine to what uses it. A device that computes all the time is what one wants: only
then is a smaller or simpler model the way to more speed.
"""

from __future__ import annotations

from typing import NamedTuple

DATA_WAIT = 0.10  # share of the time: more is worth looking into
MEMORY_FULL = 0.90  # of what the process could have: a longer evaluation, or fragmentation, may end the run
WORTH_DOUBLING = 1.30  # tokens a second gained by twice the micro-batch: a device that is busy gains a few percent


class Measurements(NamedTuple):
    """What the rules look at. doubling_gain: tokens a second at twice the micro-batch against those at one.

    It is None where that was not measured, and `no_doubling` says why. mfu: against `peak_source`.
    """

    on_gpu: bool
    data_wait_share: float
    memory_peak_bytes: int
    memory_limit_bytes: int
    doubling_gain: float | None
    no_doubling: str
    mfu: float
    peak_source: str


def diagnose_bottleneck(figures: Measurements) -> str:
    """One sentence: what bounds the run, the figure that it rests on, and what to do."""
    if figures.data_wait_share > DATA_WAIT:
        return (
            f"data-bound: {figures.data_wait_share:.0%} of the time goes into waiting for batches (more than"
            f" {DATA_WAIT:.0%}); put the corpus cache on a faster disk (GPT_TUI_CACHE), or free a core"
        )
    full = figures.memory_peak_bytes / figures.memory_limit_bytes
    if full > MEMORY_FULL:
        return (
            f"memory nearly full: {full:.0%} of {figures.memory_limit_bytes / 2**30:.1f} GiB in use at the peak (more"
            f" than {MEMORY_FULL:.0%}); lower micro_batch_size and raise accumulation_steps"
        )
    gain = figures.doubling_gain
    if gain is not None and gain > WORTH_DOUBLING:
        rests = f"twice the micro_batch_size gives {gain:.2f} times the tokens/s (more than {WORTH_DOUBLING:.2f})"
        if figures.on_gpu:
            return f"launch-bound: {rests}; raise micro_batch_size"
        return f"overhead-bound: small operations: {rests}; raise micro_batch_size or the width"
    rests = f"twice the micro_batch_size gives only {gain:.2f} times the tokens/s" if gain else figures.no_doubling
    return f"compute-bound: {rests}; {figures.mfu:.0%} of the peak ({figures.peak_source}) is used"
