"""The colors, held by a few SVG pictures; `pytest --snapshot-update` draws them anew. Text is in test_pictures.py."""

import pytest

from tests.workbench import fake_run
from tui_gpt.run.folder import RunFolder
from tui_gpt.workbench.app import Workbench
from tui_gpt.workbench.drawing import sheet


@pytest.fixture
def app(workspace, monkeypatch):
    """On a run that diverged: the state with the most colors."""
    sheet.prewarm()
    monkeypatch.setattr(RunFolder, "size_bytes", lambda self: 12_345_678)
    run = fake_run.running(workspace / "runs", steps=812)
    run.train(3, loss=float("nan"))
    run.event("non-finite", "the loss is not a number at step 813", "warning")
    fake_run.finished(workspace / "runs")
    app = Workbench(workspace)
    app.theme = "dusk"
    return app


async def settled(pilot):
    from tests.workbench.conftest import settle

    await settle(pilot.app, pilot)
    await settle(pilot.app, pilot)


def test_the_dashboard_in_color(snap_compare, app):
    assert snap_compare(app, terminal_size=(120, 40), run_before=settled)


def test_the_dashboard_on_paper(snap_compare, app):
    app.theme = "paper"
    assert snap_compare(app, terminal_size=(80, 24), run_before=settled)


def test_the_list_of_runs_in_color(snap_compare, app):
    async def to_the_runs(pilot):
        await pilot.press("f3")
        await settled(pilot)
        await pilot.press("space", "down", "space")
        await settled(pilot)

    assert snap_compare(app, terminal_size=(120, 40), run_before=to_the_runs)
