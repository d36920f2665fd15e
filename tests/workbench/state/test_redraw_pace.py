"""Steps are drawn now and then, an evaluation at once."""

from tests.workbench import fake_run
from tui_gpt.workbench.state import redraw_pace
from tui_gpt.workbench.state.redraw_pace import RedrawPace
from tui_gpt.workbench.state.run_monitor import RunMonitor


def test_steps_wait_for_their_turn_and_an_evaluation_does_not(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr(redraw_pace.time, "monotonic", lambda: now)
    run = fake_run.running(tmp_path / "runs", steps=20)
    monitor, pace = RunMonitor(run.folder), RedrawPace()

    def version() -> int:
        monitor.read_all()
        pace.update(monitor)
        return pace.version

    first = version()
    assert version() == first
    run.train(3)
    assert version() == first
    now += redraw_pace.REDRAW_SECONDS
    assert version() == first + 1
    run.evaluate()
    assert version() == first + 2
    pace.update(monitor, at_once=True)
    assert pace.version == first + 3
