"""The guard: what it detects, which steps it skips, and exact restoring."""

from __future__ import annotations

import math

import pytest
import torch

from tui_gpt.training.loop.guard import MIN_STEPS, Anomaly, Guard

CPU = torch.device("cpu")
FINE = torch.tensor(1.0)


def seasoned(*, skip_spikes: bool = True, expect_overflow: bool = False) -> Guard:
    """Return a guard after ordinary steps with losses of 3.0 ± 0.1."""
    guard = Guard(CPU, skip_spikes=skip_spikes, expect_overflow=expect_overflow)
    generator = torch.Generator().manual_seed(0)
    for step in range(1, MIN_STEPS + 51):
        assert not guard.check(step, 3 + 0.1 * torch.randn((), generator=generator), FINE)
    assert guard.take_report(MIN_STEPS + 50)[1] == 0
    return guard


def found(guard: Guard, step: int = 110) -> Anomaly:
    first, count, consecutive, skipped, *rest = guard.take_report(step).tolist()
    return Anomaly(MIN_STEPS + 50 + int(first), int(count), int(consecutive), bool(skipped), *rest)


@pytest.mark.parametrize(
    ("loss", "norm", "says"),
    [
        (math.nan, 1.0, "the loss is nan"),
        (math.inf, 1.0, "the loss is infinite"),
        (3.0, math.nan, "the gradient is not finite"),
        (3.0, math.inf, "the gradient is not finite"),
        (5.0, 1.0, "σ above the running mean 3.0"),
    ],
)
def test_anomalies_are_skipped_and_described(loss: float, norm: float, says: str) -> None:
    guard = seasoned()
    assert guard.check(103, torch.tensor(loss), torch.tensor(norm)) == 1
    anomaly = found(guard)
    assert (anomaly.step, anomaly.num_steps, anomaly.consecutive, anomaly.skipped) == (103, 1, 1, True)
    assert says in str(anomaly) and "step 103" in str(anomaly)
    assert guard.take_report(110)[1] == 0


def test_without_skip_spikes_only_non_finite_steps_are_skipped() -> None:
    guard = seasoned(skip_spikes=False)
    assert guard.check(101, torch.tensor(5.0), FINE) == 0
    assert guard.check(102, torch.tensor(math.nan), FINE) == 1
    anomaly = found(guard)
    assert (anomaly.num_steps, anomaly.skipped) == (2, False)  # the first one was applied
    assert guard.check(111, torch.tensor(5.0), torch.tensor(math.inf)) == 1
    assert found(guard).skipped


def test_a_falling_loss_and_the_first_steps_are_no_spikes() -> None:
    guard = Guard(CPU, skip_spikes=True, expect_overflow=False)
    for step in range(1, 300):
        assert not guard.check(step, torch.tensor(10.0 / step + 0.01 * (step % 3)), FINE)
    young = Guard(CPU, skip_spikes=True, expect_overflow=False)
    assert not any(young.check(step, torch.tensor(float(step)), FINE) for step in range(1, MIN_STEPS))


def test_an_expected_overflow_is_skipped_without_being_an_anomaly() -> None:
    guard = seasoned(expect_overflow=True)
    assert guard.check(101, torch.tensor(3.0), torch.tensor(math.inf)) == 1
    assert guard.take_report(101)[1] == 0


def test_consecutive_anomalies_are_counted_across_reports() -> None:
    guard = seasoned()
    for step in (101, 102, 103):
        guard.check(step, torch.tensor(math.nan), FINE)
        assert guard.take_report(step)[2] == step - 100
    guard.check(104, torch.tensor(3.0), FINE)
    assert guard.take_report(104)[2] == 0


def test_restore_is_exact_and_anomalies_do_not_change_the_statistics() -> None:
    one = seasoned()
    state = one.state()
    one.check(101, torch.tensor(math.nan), FINE)
    assert one.state()[:3] == state[:3]
    other = Guard(CPU, skip_spikes=True, expect_overflow=False)
    other.restore(one.state())
    for step in range(102, 120):
        loss = torch.tensor(3.0 + 0.01 * step)
        assert one.check(step, loss, FINE) == other.check(step, loss, FINE)
    assert one.state() == other.state()
