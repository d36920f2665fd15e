"""Before the first curve the dashboard says what happens now and what comes next."""

import pytest

from tests.workbench.fake_run import FakeRun
from tui_gpt.workbench.panes.dashboard.first_minutes import stages
from tui_gpt.workbench.state.run_monitor import RunMonitor


@pytest.fixture
def run(workspace):
    run = FakeRun(workspace / "runs")
    run.lock()
    return run


def now(run: FakeRun, eta: float | None = None):
    """Return the stage that the run is in, and how many are done."""
    monitor = RunMonitor(run.folder)
    monitor.read_all()
    found = stages(monitor, eta)
    return next(stage for stage in found if stage.state == "now"), sum(stage.state == "done" for stage in found)


@pytest.mark.parametrize(
    ("phase", "with_info", "text", "done"),
    [
        ("starting", False, "start the trainer", 0),
        ("loading PyTorch", False, "start the trainer", 0),
        ("encoding stories", False, "prepare stories", 1),
        ("compiling", True, "build the model", 2),
        ("trying the first batch", True, "build the model", 2),
    ],
)
def test_each_phase_is_a_stage(run, phase, with_info, text, done):
    if with_info:
        run.write_info()
    run.set_status("starting", phase)
    stage, number = now(run)
    assert (stage.text, number) == (text, done)


def test_the_first_step_is_awaited_once_it_trains(run):
    run.write_info()
    run.set_status("running", "training")
    assert now(run)[0].text == "first loss"


def test_preparing_has_percent_and_time_left(run):
    run.set_status("starting", "encoding stories", fraction=0.45)
    stage, _ = now(run, 72.0)
    assert stage.fraction == 0.45
    assert stage.detail == "encoding stories, 1:12 left"


def test_compiling_says_how_long_it_takes(run):
    run.write_info()
    run.set_status("starting", "compiling")
    assert "1,048,576 parameters, compiling it for this machine takes a minute or two" in now(run)[0].detail
