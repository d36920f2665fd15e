"""The diagnosis says in plain words what the numbers mean, and is silent where they mean nothing."""

import math

import pytest

from tests.workbench.fake_run import FakeRun, running
from tui_gpt.run.messages import Metrics
from tui_gpt.workbench.panes.dashboard.health import MIN_POINTS, diagnose, slope
from tui_gpt.workbench.state.run_monitor import RunMonitor


def findings(run: FakeRun) -> dict[str, str]:
    """Return the diagnosis as {text: level}."""
    monitor = RunMonitor(run.folder)
    monitor.read_all()
    return {text: level for level, text in diagnose(monitor)}


def level_of(found: dict[str, str], part: str) -> str:
    return next((level for text, level in found.items() if part in text), "")


@pytest.fixture
def run(tmp_path):
    run = FakeRun(tmp_path / "runs")
    run.lock()
    run.write_info()
    run.set_status("running", "training")
    return run


def log(run: FakeRun, losses, norms=None, wait=0.0):
    """Append metrics with these losses."""
    for index, loss in enumerate(losses):
        run.step += 1
        norm = norms[index] if norms else 0.5
        run.append(
            run.folder.metrics,
            Metrics(
                step=run.step,
                tokens=run.step * 1024,
                loss=loss,
                learning_rate=1e-3,
                grad_norm=norm,
                tokens_per_second=10_000.0,
                elapsed_seconds=run.step * 0.1,
                data_wait_seconds=wait,
            ),
        )


def test_a_healthy_run_learns_with_a_small_gap_and_a_steady_norm(tmp_path):
    found = findings(running(tmp_path / "runs"))
    assert level_of(found, "learning, −") == "good"
    assert level_of(found, "train–val gap") == "good"
    assert level_of(found, "gradient norm steady") == "good"
    assert level_of(found, "5.5 epochs planned") == "warning"


def test_the_rate_is_percent_of_the_loss_in_100_steps(run):
    log(run, [4.0 - 0.001 * step for step in range(400)])
    found = findings(run)
    assert level_of(found, "learning, −2.7 %/100 steps") == "good"


def test_the_gravest_comes_first(run):
    log(run, [3.0 - step / 100 for step in range(100)] + [None] * 3)
    assert next(iter(findings(run).values())) == "error"


def test_too_few_points_say_nothing_of_a_trend(run):
    log(run, [5.0 - step / 10 for step in range(MIN_POINTS - 1)])
    found = findings(run)
    assert level_of(found, "a few more steps") == "note"
    assert not level_of(found, "gradient")


def test_a_loss_that_only_wobbles_is_level(run):
    log(run, [2.0 + 0.1 * math.sin(step * 2.3) for step in range(300)])
    assert level_of(findings(run), "no longer falls") == "note"


def test_a_rising_loss_is_a_warning_and_divergence_an_error(run):
    log(run, [2.0 + 0.0005 * step + 0.01 * math.sin(step) for step in range(300)])
    assert level_of(findings(run), "loss rising, +") == "warning"
    log(run, [2.2 + 0.05 * step for step in range(100)])
    assert level_of(findings(run), "diverged") == "error"


def test_a_loss_that_is_not_a_number_says_since_when(run):
    log(run, [3.0, 2.9, None, None])
    assert level_of(findings(run), "not a number since step 3") == "error"


def test_a_loss_that_was_no_number_once_is_a_warning(run):
    log(run, [3.0, None, 2.9, 2.8])
    assert level_of(findings(run), "not a number at step 2") == "warning"


def test_a_gap_and_a_validation_loss_that_rises_are_told(run):
    for step, value in ((100, 2.0), (200, 1.5), (300, 1.6), (400, 1.8)):
        log(run, [1.0] * (step - run.step))
        run.evaluate(value)
    found = findings(run)
    assert level_of(found, "train–val gap 80 %") == "warning"
    assert level_of(found, "best at step 200 (1.500), 2 evaluations ago") == "warning"


@pytest.mark.parametrize(
    ("norms", "words"),
    [
        ([0.5] * 299 + [9.0], "spiked to 9 at step 300"),
        ([0.5 + (0.02 * (step - 225) if step > 225 else 0) for step in range(300)], "gradient norm rising"),
        ([0.5, 0.6] * 150, "gradient norm steady"),
    ],
)
def test_the_gradient_norm_is_steady_rising_or_spiking(run, norms, words):
    log(run, [2.0] * 300, norms)
    assert level_of(findings(run), words) == ("good" if "steady" in words else "warning")


def test_waiting_for_data_is_told_as_a_share(run):
    log(run, [2.0] * 60, wait=0.04)
    share = 100 * 0.04 / (run.config.tokens_per_step / 10_000)
    assert level_of(findings(run), f"waits for data {share:.0f} %") == "warning"


def test_an_ended_run_that_was_learning_could_go_on(run):
    log(run, [4.0 - 0.001 * step for step in range(400)])
    run.unlock()
    run.set_status("finished")
    assert level_of(findings(run), "a longer run would help") == "note"


def test_a_run_without_a_step_is_judged_by_its_plan_only(run):
    assert findings(run) == {"5.5 epochs planned: past 4, repeats teach less": "warning"}


def test_slope_of_a_straight_line_is_exact():
    rise, error = slope([(x, 3.0 - 0.5 * x) for x in range(20)])
    assert rise == pytest.approx(-0.5)
    assert error == pytest.approx(0.0, abs=1e-9)
