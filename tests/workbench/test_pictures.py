"""What each screen shows in each state, as text, at three sizes. `UPDATE_PICTURES=1 pytest …` draws them anew.

Text and not SVG: a picture is a few kilobytes, a change reads as a diff, and it does not move with Textual's own
colours and fonts. The colours are held by the few SVGs of `test_snapshots.py`.
"""

import os
from pathlib import Path

import pytest

from tests.workbench import fake_run
from tests.workbench.conftest import GIB, settle, text_of
from tests.workbench.test_talk import FakeVoice, save
from tui_gpt.corpora.sources.source import PythonTopics
from tui_gpt.hardware import Gpu
from tui_gpt.run.folder import RunFolder
from tui_gpt.workbench import talk_screen

PICTURES = Path(__file__).parent / "pictures"
SIZES = [(80, 24), (120, 40), (200, 60)]
TEXT = "It was a dark and stormy night; the rain fell in torrents, except at occasional intervals.\n" * 200
CARD = Gpu(0, "GPU-1", "NVIDIA H100 80GB HBM3", 31 * GIB, 80 * GIB, 0.97, 61, 684.0)


def nothing(runs):
    """No run: the draft."""


def running(runs):
    fake_run.running(runs)


def paused(runs):
    fake_run.running(runs).say("paused", "paused")


def starting(runs):
    run = fake_run.FakeRun(runs)
    run.lock()
    run.tell("started", "started")
    run.say("starting", "preparing the corpus", fraction=0.45)


def diverged(runs):
    run = fake_run.running(runs, steps=812)
    run.train(40, loss=float("nan"))
    run.tell("non-finite", "the loss is not a number at step 813; the batch began: “Mia found a red kite”", "warning")
    run.say("running", "training", eta_seconds=300.0)


def failed(runs):
    run = fake_run.running(runs, steps=812)
    run.tell("failed", "the loss is not a number at step 812", "error")
    run.fail()


def finished(runs):
    fake_run.finished(runs)


STATES = [nothing, starting, running, paused, diverged, failed, finished]


def compare(name: str, text: str) -> None:
    path = PICTURES / f"{name}.txt"
    if os.environ.get("UPDATE_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        path.write_text(text + "\n", "utf-8")
    assert text + "\n" == path.read_text("utf-8"), f"{path} differs; UPDATE_PICTURES=1 draws it anew"


async def ready(app, pilot, workspace):
    (workspace / "corpus").mkdir(exist_ok=True)
    (workspace / "corpus" / "night.txt").write_text(TEXT)
    app.workspace = Path("/home/ada/texts")
    app.edit_draft(lambda: app.draft.set("data.corpus", "night"))
    app.speed = None
    await settle(app, pilot)
    app.speed = None
    app.redraw()
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_the_dashboard_in_each_state(opened, workspace, state, size):
    state(workspace / "runs")
    names = [path.name for path in (workspace / "runs").iterdir()]
    async with opened(names[0] if names else None, size=size) as (app, pilot):
        await ready(app, pilot, workspace)
        compare(f"dashboard-{state.__name__}-{size[0]}x{size[1]}", text_of(app))


@pytest.mark.parametrize("key", "12456789")
async def test_each_pane_as_a_tab_of_a_small_screen(opened, workspace, key):
    running(workspace / "runs")
    async with opened(size=(80, 24)) as (app, pilot):
        await ready(app, pilot, workspace)
        await pilot.press(key)
        await settle(app, pilot)
        compare(f"tab-{app.screen.active}-80x24", text_of(app))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_machine_with_a_gpu(opened, workspace, machine, size):
    run = fake_run.running(workspace / "runs")
    run.say("running", "training", gpu_uuid="GPU-1", eta_seconds=232.0)
    machine(gpus=(CARD,), trainer_memory_bytes=3 * GIB, trainer_cores=1.1)
    async with opened(size=size) as (app, pilot):
        await ready(app, pilot, workspace)
        await app._read_machine()
        await pilot.press("6")
        await settle(app, pilot)
        compare(f"gpu-{size[0]}x{size[1]}", text_of(app))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_many_runs(opened, workspace, size, monkeypatch):
    monkeypatch.setattr(RunFolder, "size_bytes", lambda self: 12_345_678)
    runs = workspace / "runs"
    for index in range(45):
        run = fake_run.FakeRun(runs, f"202611{index % 20 + 1:02d}-1{index % 6}0000-pico-stories-{index}", total=2000)
        run.step = 100 * (index % 20 + 1)
        state = ("finished", "stopped", "failed")[index % 3]
        run.say(state, loss=1 + index / 50, val_loss=1.1 + index / 50, elapsed_seconds=60.0 * index)
    fake_run.running(runs, steps=900)
    (runs / "20261101-100000-pico-stories-0" / "note.txt").write_text("the first one, at the default learning rate")
    async with opened(size=size) as (app, pilot):
        await pilot.press("]")
        await settle(app, pilot)
        await pilot.press("space", "down", "down")
        await settle(app, pilot)
        compare(f"runs-{size[0]}x{size[1]}", text_of(app))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_help_palette_question_and_prompt(opened, workspace, size):
    running(workspace / "runs")
    async with opened(size=size) as (app, pilot):
        await ready(app, pilot, workspace)
        for name, keys in (("help", "?"), ("palette", ":"), ("question", "X")):
            await pilot.press(keys)
            await pilot.pause()
            compare(f"{name}-{size[0]}x{size[1]}", text_of(app))
            await pilot.press("escape")
        await pilot.press("1", "down", "down", "enter")
        await settle(app, pilot)
        await pilot.press("9", "9", "9")
        await settle(app, pilot)
        compare(f"prompt-{size[0]}x{size[1]}", text_of(app))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_talk(opened, workspace, size, monkeypatch):
    voices = []
    monkeypatch.setattr(talk_screen, "Voice", lambda log, hear: voices.append(FakeVoice(log, hear)) or voices[-1])
    save(fake_run.finished(workspace / "runs"), 600)
    async with opened(size=size) as (app, pilot):
        await pilot.press("t")
        await settle(app, pilot)
        await pilot.press("i", "O", "n", "c", "e")
        await pilot.press("ctrl+g")
        await settle(app, pilot)
        voices[0].write(" upon a time " + fake_run.STORY)
        await settle(app, pilot)
        await pilot.press("escape")
        app.workspace = Path("/home/ada/texts")
        await settle(app, pilot)
        compare(f"talk-{size[0]}x{size[1]}", text_of(app))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_corpora(opened, workspace, size, monkeypatch):
    monkeypatch.setattr(PythonTopics, "size_bytes", lambda self: 466_000)  # of whichever Python runs this
    monkeypatch.setattr(PythonTopics, "count", lambda self: 79)
    async with opened(size=size) as (app, pilot):
        await ready(app, pilot, workspace)
        app.draft.set("data.tokenizer", "byte")
        await pilot.press("2", "enter")
        await settle(app, pilot)
        await pilot.press("p")
        await settle(app, pilot)
        app.clear_notifications()
        await pilot.pause()
        compare(f"corpora-{size[0]}x{size[1]}", text_of(app))
        await pilot.press("c")
        await settle(app, pilot)
        compare(f"clean-{size[0]}x{size[1]}", text_of(app))
        await pilot.press("escape", "end", "up", "up", "up", "up")
        await settle(app, pilot)
        compare(f"corpora-by-name-{size[0]}x{size[1]}", text_of(app))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_path_that_is_typed(opened, workspace, size, monkeypatch):
    monkeypatch.setattr(PythonTopics, "size_bytes", lambda self: 466_000)
    monkeypatch.setattr(PythonTopics, "count", lambda self: 79)
    async with opened(size=size) as (app, pilot):
        await ready(app, pilot, workspace)
        await pilot.press("2", "enter")
        await settle(app, pilot)
        app.workspace = workspace
        await pilot.press("o", *"corpus/")
        app.workspace = Path("/home/ada/texts")
        app.screen_stack[-2].redraw()
        await settle(app, pilot)
        compare(f"path-{size[0]}x{size[1]}", text_of(app))


@pytest.mark.parametrize("colours", [True, False], ids=["colours", "no-colours"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_tokens(opened, workspace, size, colours, monkeypatch):
    if not colours:
        monkeypatch.setenv("NO_COLOR", "1")
    async with opened(size=size) as (app, pilot):
        await ready(app, pilot, workspace)
        app.draft.set("data.tokenizer", "bpe:300")
        await pilot.press("v")
        await settle(app, pilot)
        await pilot.press("right", "right", "right", "down", "down")
        await settle(app, pilot)
        compare(f"tokens{'' if colours else '-no-colours'}-{size[0]}x{size[1]}", text_of(app))
