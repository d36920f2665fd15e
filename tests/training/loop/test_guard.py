"""The guard: what it detects, which steps it skips, and exact restoring."""

from __future__ import annotations

import math

import pytest
import torch

from tui_gpt.training.loop.guard import DIVERGED_STEPS, MIN_STEPS, OVERFLOW_STEPS, Anomaly, Guard, diverged_steps

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
    anomaly = Anomaly.from_report(guard.take_report(step).tolist(), since=MIN_STEPS + 50)
    assert anomaly is not None
    return anomaly


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


# ── divergence ──────────────────────────────────────────────────────────────────────────────────────────────────────


def found_at(losses: list[float], guard: Guard | None = None, first: int = 1) -> dict[int, Anomaly]:
    """Return the divergences that a guard finds in the losses of the steps from `first` on."""
    guard = guard or Guard(CPU, skip_spikes=False, expect_overflow=False, highest_healthy_loss=5.0)
    found = {}
    for step, loss in enumerate(losses, first):
        guard.check(step, torch.tensor(loss), FINE)
        anomaly = Anomaly.from_report(guard.take_report(step).tolist(), since=step - 1)
        if anomaly is not None and anomaly.steps_above:
            found[step] = anomaly
    return found


def test_a_loss_that_stays_above_the_first_one_is_reported_ever_more_rarely() -> None:
    losses = [6.2] * 30 + [14.0 + 0.3 * (step % 3) for step in range(500)]
    found = found_at(losses)
    at = 30 + DIVERGED_STEPS
    assert list(found) == [at, at + DIVERGED_STEPS, at + 2 * DIVERGED_STEPS, at + 4 * DIVERGED_STEPS]
    assert "the run diverges: the loss, 14.000 now, was above the first one, 6.200, in most" in str(found[at])
    assert 27 <= found[at].last_good_step <= 33


def test_a_loss_that_is_mostly_above_the_first_one_diverges_later() -> None:
    found = found_at([6.2] * 30 + [7.0 if step % 3 else 5.0 for step in range(500)])
    assert 30 + DIVERGED_STEPS < min(found) < 30 + 3 * DIVERGED_STEPS


@pytest.mark.parametrize(
    "losses",
    [
        [6.2 - 0.001 * step + 2.5 * math.exp(-(((step - 50) / 20) ** 2)) for step in range(1000)],  # a bump in warmup
        [max(1.5, 6.2 - 0.01 * step) + (40.0 if step % 90 < 30 else 0.0) for step in range(900)],  # spikes that recover
        [6.2 + 0.05 * math.sin(step) for step in range(2000)],  # a run that learns nothing
        [6.0 - 0.002 * step for step in range(2000)],
        [1.2 + min(2.5, 0.02 * step) for step in range(2000)],  # trained weights, on another text
        [6.2, *([math.nan] * 300), 6.1],
    ],
)
def test_healthy_runs_do_not_diverge(losses: list[float]) -> None:
    assert found_at(losses) == {}


def test_a_divergence_is_found_at_the_same_step_after_a_resume() -> None:
    losses = [6.2] * 10 + [9.0] * 300
    first = Guard(CPU, skip_spikes=False, expect_overflow=False, highest_healthy_loss=5.0)
    assert found_at(losses[:70], first) == {}
    resumed = Guard(CPU, skip_spikes=False, expect_overflow=False, highest_healthy_loss=5.0)
    resumed.restore(first.state())
    assert list(found_at(losses[70:], resumed, first=71)) == list(found_at(losses)) == [110, 210, 310]


def test_short_runs_diverge_sooner() -> None:
    assert [diverged_steps(total) for total in (None, 10, 100, 200, 2000)] == [100, 20, 25, 50, 100]


def test_statistics_of_an_older_checkpoint_are_restored() -> None:
    guard = seasoned()
    guard.restore((3.0, 0.01, 60.0, 0.0))
    assert guard.state() == (3.0, pytest.approx(0.01), 60.0, *[0.0] * 6)


def test_endless_overflow_in_fp16_is_an_anomaly() -> None:
    guard = seasoned(expect_overflow=True)
    for step in range(101, 101 + OVERFLOW_STEPS):
        assert guard.check(step, torch.tensor(3.0), torch.tensor(math.inf)) == 1
    anomaly = found(guard, 120)
    assert anomaly.step == 120 and "overflowed in fp16 for 20 steps in a row" in str(anomaly)
    guard.check(121, torch.tensor(3.0), FINE)
    for step in range(122, 122 + OVERFLOW_STEPS - 1):
        guard.check(step, torch.tensor(3.0), torch.tensor(math.inf))
    assert guard.take_report(150)[1] == 0


@pytest.mark.parametrize("expect_overflow", [False, True])
def test_host_and_device_find_the_same(monkeypatch: pytest.MonkeyPatch, expect_overflow: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    losses = 6 - 0.01 * torch.arange(600) + 0.1 * torch.randn(600, generator=generator)
    losses[[120, 300]], losses[200], losses[400:] = math.nan, 9.0, 8.0
    norms = torch.ones(600)
    norms[[50, *range(250, 275)]] = math.inf
    guards = []
    for library in ("host", "torch"):
        guard = Guard(CPU, skip_spikes=True, expect_overflow=expect_overflow, highest_healthy_loss=5.5)
        if library == "torch":
            guard._math = torch
            guard._highest_healthy_loss = torch.tensor(5.5)
            guard.restore(())
            guard._reset_report(0)
        guards.append(guard)
    for step in range(600):
        one, two = (guard.check(step + 1, losses[step], norms[step]) for guard in guards)
        assert one == two, step
        if step % 7 == 0:
            reports = [guard.take_report(step + 1) for guard in guards]
            assert torch.allclose(reports[0], reports[1], rtol=1e-4, equal_nan=True), step
    assert guards[0].state() == pytest.approx(guards[1].state(), rel=1e-4)
