"""The guard: what it takes for wrong, what it holds back, and that its history is exact."""

from __future__ import annotations

import math

import pytest
import torch

from tui_gpt.training.guard import MIN_SEEN, Anomaly, Guard

CPU = torch.device("cpu")
FINE = torch.tensor(1.0)


def seasoned(*, holds_spikes: bool = True, overflow_is_usual: bool = False) -> Guard:
    """A guard that has seen an ordinary run: losses of 3.0 ± 0.1."""
    guard = Guard(CPU, holds_spikes=holds_spikes, overflow_is_usual=overflow_is_usual)
    generator = torch.Generator().manual_seed(0)
    for step in range(1, MIN_SEEN + 51):
        assert not guard.judge(step, 3 + 0.1 * torch.randn((), generator=generator), FINE)
    assert guard.reading(MIN_SEEN + 50)[1] == 0
    return guard


def found(guard: Guard, step: int = 110) -> Anomaly:
    first, count, in_a_row, held, *rest = guard.reading(step).tolist()
    return Anomaly(MIN_SEEN + 50 + int(first), int(count), int(in_a_row), bool(held), *rest)


@pytest.mark.parametrize(
    ("loss", "norm", "says"),
    [
        (math.nan, 1.0, "the loss is nan"),
        (math.inf, 1.0, "the loss is infinite"),
        (3.0, math.nan, "the gradient is not finite"),
        (3.0, math.inf, "the gradient is not finite"),
        (5.0, 1.0, "σ above the last steps' 3.0"),
    ],
)
def test_what_cannot_be_right_is_held_and_named(loss: float, norm: float, says: str) -> None:
    guard = seasoned()
    assert guard.judge(103, torch.tensor(loss), torch.tensor(norm)) == 1
    anomaly = found(guard)
    assert (anomaly.step, anomaly.found, anomaly.in_a_row, anomaly.held) == (103, 1, 1, True)
    assert says in str(anomaly) and "step 103" in str(anomaly)
    assert guard.reading(110)[1] == 0


def test_a_spike_is_applied_where_the_policy_only_warns_but_never_what_is_not_finite() -> None:
    guard = seasoned(holds_spikes=False)
    assert guard.judge(101, torch.tensor(5.0), FINE) == 0
    assert guard.judge(102, torch.tensor(math.nan), FINE) == 1
    anomaly = found(guard)
    assert (anomaly.found, anomaly.held) == (2, False)  # the first one was applied
    assert guard.judge(111, torch.tensor(5.0), torch.tensor(math.inf)) == 1
    assert found(guard).held


def test_a_falling_loss_and_a_young_run_are_no_spikes() -> None:
    guard = Guard(CPU, holds_spikes=True, overflow_is_usual=False)
    for step in range(1, 300):
        assert not guard.judge(step, torch.tensor(10.0 / step + 0.01 * (step % 3)), FINE)
    young = Guard(CPU, holds_spikes=True, overflow_is_usual=False)
    assert not any(young.judge(step, torch.tensor(float(step)), FINE) for step in range(1, MIN_SEEN))


def test_a_loss_scaler_s_overflow_is_held_without_being_an_anomaly() -> None:
    guard = seasoned(overflow_is_usual=True)
    assert guard.judge(101, torch.tensor(3.0), torch.tensor(math.inf)) == 1
    assert guard.reading(101)[1] == 0


def test_steps_in_a_row_are_counted_across_readings_and_a_good_one_ends_the_row() -> None:
    guard = seasoned()
    for step in (101, 102, 103):
        guard.judge(step, torch.tensor(math.nan), FINE)
        assert guard.reading(step)[2] == step - 100
    guard.judge(104, torch.tensor(3.0), FINE)
    assert guard.reading(104)[2] == 0


def test_the_history_comes_back_exactly_and_bad_losses_are_no_part_of_it() -> None:
    one = seasoned()
    state = one.state()
    one.judge(101, torch.tensor(math.nan), FINE)
    assert one.state()[:3] == state[:3]
    other = Guard(CPU, holds_spikes=True, overflow_is_usual=False)
    other.restore(one.state())
    for step in range(102, 120):
        loss = torch.tensor(3.0 + 0.01 * step)
        assert one.judge(step, loss, FINE) == other.judge(step, loss, FINE)
    assert one.state() == other.state()
