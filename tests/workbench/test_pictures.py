"""What each screen shows in each state, as text, at three sizes. `UPDATE_PICTURES=1 pytest …` draws them anew.

Text and not SVG: a picture is a few kilobytes, a change reads as a diff, and it does not move with Textual's own
colors and fonts. The colors are held by the few SVGs of `test_snapshots.py`.
"""

import os
from pathlib import Path

import pytest

from tests.workbench import fake_run
from tests.workbench.conftest import GIB, settle, text_of
from tui_gpt.corpora.sources.source import PythonTopics
from tui_gpt.hardware import Gpu
from tui_gpt.run.folder import RunFolder
from tui_gpt.workbench.drawing import sheet

PICTURES = Path(__file__).parent / "pictures"
SIZES = [(80, 24), (120, 40), (200, 60)]
TEXT = "It was a dark and stormy night; the rain fell in torrents, except at occasional intervals.\n" * 200
CARD = Gpu(0, "GPU-1", "NVIDIA H100 80GB HBM3", 31 * GIB, 80 * GIB, 0.97, 61, 684.0)

at_each_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")


@pytest.fixture(autouse=True)
def stable(workspace, monkeypatch):
    """Draw charts at once, and show the same sizes everywhere."""
    sheet.prewarm()
    monkeypatch.setattr(RunFolder, "size_bytes", lambda self: 12_345_678)
    monkeypatch.setattr(PythonTopics, "size_bytes", lambda self: 466_000)  # of whichever Python runs this
    monkeypatch.setattr(PythonTopics, "count", lambda self: 79)
    (workspace / "corpus").mkdir()
    (workspace / "corpus" / "night.txt").write_text(TEXT)
    (workspace / "configs").mkdir()
    (workspace / "configs" / "draft.toml").write_text('[data]\ncorpus = "night"\ntokenizer = "byte"\n')


def running(runs):
    fake_run.running(runs)


def paused(runs):
    fake_run.running(runs).set_status("paused", "paused")


def starting(runs):
    run = fake_run.FakeRun(runs)
    run.lock()
    run.event("started", "started")
    run.set_status("starting", "preparing the corpus", fraction=0.45)


def diverged(runs):
    run = fake_run.running(runs, steps=812)
    run.train(40, loss=float("nan"))
    run.event("non-finite", "the loss is not a number at step 813; the batch began: “Mia found a red kite”", "warning")
    run.set_status("running", "training", eta_seconds=300.0)


def failed(runs):
    run = fake_run.running(runs, steps=812)
    run.event("failed", "the loss is not a number at step 812", "error")
    run.fail()


def finished(runs):
    fake_run.finished(runs)


STATES = [starting, running, paused, diverged, failed, finished]


def compare(name: str, text: str) -> None:
    path = PICTURES / f"{name}.txt"
    if os.environ.get("UPDATE_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        path.write_text(text + "\n", "utf-8")
    assert text + "\n" == path.read_text("utf-8"), f"{path} differs; UPDATE_PICTURES=1 draws it anew"


async def press(app, pilot, *keys):
    await pilot.press(*keys)
    await settle(app, pilot)
    app.clear_notifications()
    await settle(app, pilot)


@at_each_size
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_the_dashboard_in_each_state(opened, workspace, state, size):
    state(workspace / "runs")
    async with opened(size=size) as (app, pilot):
        await press(app, pilot)
        compare(f"dashboard-{state.__name__}-{size[0]}x{size[1]}", text_of(app))


@at_each_size
async def test_the_dashboard_with_a_gpu(opened, workspace, machine, size):
    run = fake_run.running(workspace / "runs")
    run.set_status("running", "training", gpu_uuid="GPU-1", eta_seconds=232.0)
    machine(gpus=(CARD,), trainer_memory_bytes=3 * GIB, trainer_cores=1.1)
    async with opened(size=size) as (app, pilot):
        await press(app, pilot)
        compare(f"gpu-{size[0]}x{size[1]}", text_of(app))


@at_each_size
async def test_new_run(opened, size):
    async with opened(size=size) as (app, pilot):
        await press(app, pilot, "tab", "tab")
        compare(f"new-run-{size[0]}x{size[1]}", text_of(app))


@at_each_size
async def test_many_runs(opened, workspace, size):
    runs = workspace / "runs"
    for index in range(45):
        name = f"202611{index % 20 + 1:02d}-1{index % 6}0000-pico-stories-{index}"
        asked = {"preset": "pico", "optimizer": {"learning_rate": 1e-3 * (index % 5 + 1)}}
        run = fake_run.FakeRun(runs, name, asked=asked, total=2000)
        run.step = 100 * (index % 20 + 1)
        state = ("finished", "stopped", "failed")[index % 3]
        run.set_status(state, loss=1 + index / 50, val_loss=1.1 + index / 50, elapsed_seconds=60.0 * index)
    fake_run.running(runs, steps=900)
    (runs / "20261101-100000-pico-stories-0" / "note.txt").write_text("the first one, at the default learning rate")
    async with opened(size=size) as (app, pilot):
        await press(app, pilot, "f3")
        await press(app, pilot, "space", "down", "down")
        compare(f"runs-{size[0]}x{size[1]}", text_of(app))


@at_each_size
async def test_talk_before_anything_is_written(opened, workspace, size):
    fake_run.finished(workspace / "runs").checkpoint(val_loss=1.21)
    async with opened(size=size) as (app, pilot):
        await press(app, pilot, "f4")
        await press(app, pilot, *"Once")
        compare(f"talk-{size[0]}x{size[1]}", text_of(app))


@at_each_size
async def test_the_corpora(opened, size):
    async with opened(size=size) as (app, pilot):
        await press(app, pilot, "f5")
        compare(f"corpora-{size[0]}x{size[1]}", text_of(app))
        await press(app, pilot, "k")
        compare(f"clean-{size[0]}x{size[1]}", text_of(app))


@at_each_size
@pytest.mark.parametrize("colors", [True, False], ids=["colors", "no-colors"])
async def test_tokens(opened, size, colors, monkeypatch):
    if not colors:
        monkeypatch.setenv("NO_COLOR", "1")
    async with opened(size=size) as (app, pilot):
        await press(app, pilot, "v")
        await press(app, pilot, "right", "right", "down")
        compare(f"tokens{'' if colors else '-no-colors'}-{size[0]}x{size[1]}", text_of(app))


@at_each_size
async def test_help_and_questions(opened, workspace, size):
    running(workspace / "runs")
    async with opened(size=size) as (app, pilot):
        for name, key in (("help", "?"), ("stop", "X"), ("quit", "q"), ("metrics", "m")):
            await press(app, pilot, key)
            compare(f"{name}-{size[0]}x{size[1]}", text_of(app))
            await pilot.press("escape")


async def test_curves_in_ascii_are_told_apart(opened, workspace):
    running(workspace / "runs")
    async with opened(size=(120, 40), glyphs="ascii") as (app, pilot):
        await press(app, pilot)
        compare("dashboard-ascii-120x40", text_of(app))
