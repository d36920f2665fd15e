"""Diagnosis of what limits the speed of a run, from measurements: the first rule that applies.

The rules are ordered by how much of the machine is wasted. A compute-bound run uses it fully; only a smaller or simpler
model would then be faster.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_DATA_WAIT = 0.10  # share of the time
MAX_MEMORY_USE = 0.90  # of the memory limit; above it fragmentation or an evaluation may run out of memory
MIN_DOUBLING_GAIN = 1.30  # in tokens per second at twice the micro-batch; a busy device gains a few percent


class Measurements(NamedTuple):
    """Inputs of the rules.

    doubling_gain: tokens per second at twice the micro-batch relative to those measured; None if not measured, with the
    reason in `no_doubling`. mfu: relative to the peak of `peak_source`.
    """

    on_gpu: bool
    data_wait_share: float
    memory_peak_bytes: int
    memory_limit_bytes: int
    doubling_gain: float | None
    no_doubling: str
    mfu: float
    peak_source: str


def diagnose_bottleneck(measurements: Measurements) -> str:
    """Return one sentence: what limits the run, the measurement behind it, and what to do."""
    if measurements.data_wait_share > MAX_DATA_WAIT:
        return (
            f"data-bound: {measurements.data_wait_share:.0%} of the time is spent waiting for batches (more than"
            f" {MAX_DATA_WAIT:.0%}); put the corpus cache on a faster disk (GPT_TUI_CACHE), or free a core"
        )
    full = measurements.memory_peak_bytes / measurements.memory_limit_bytes
    if full > MAX_MEMORY_USE:
        return (
            f"memory nearly full: {full:.0%} of {measurements.memory_limit_bytes / 2**30:.1f} GiB in use at the peak"
            f" (more than {MAX_MEMORY_USE:.0%}); lower micro_batch_size and raise accumulation_steps"
        )
    gain = measurements.doubling_gain
    if gain is not None and gain > MIN_DOUBLING_GAIN:
        evidence = f"twice the micro_batch_size gives {gain:.2f} times the tokens/s (more than {MIN_DOUBLING_GAIN:.2f})"
        if measurements.on_gpu:
            return f"launch-bound: {evidence}; raise micro_batch_size"
        return f"overhead-bound: operations are small: {evidence}; raise micro_batch_size or the model width"
    evidence = (
        f"twice the micro_batch_size gives only {gain:.2f} times the tokens/s" if gain else measurements.no_doubling
    )
    return f"compute-bound: {evidence}; {measurements.mfu:.0%} of the peak ({measurements.peak_source}) is used"
