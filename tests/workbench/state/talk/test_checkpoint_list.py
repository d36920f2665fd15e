"""Which checkpoint writes, and which GPUs are left alone."""

from tests.workbench import fake_run
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.talk.checkpoint_list import (
    CheckpointChoice,
    list_run_checkpoints,
    newest_checkpoint,
    runs_on_gpu,
)


def monitor_of(run):
    monitor = RunMonitor(run.folder)
    monitor.read_all()
    return monitor


def test_the_newest_checkpoint_of_the_shown_run_is_followed_until_one_is_picked(runs):
    run = fake_run.running(runs, steps=20)
    run.checkpoint(step=10)
    monitor, choice = monitor_of(run), CheckpointChoice()
    choice.follow(monitor)
    assert choice.current.info.step == 10
    older = choice.current
    run.checkpoint(step=20)
    monitor.read_all()
    choice.follow(monitor)
    assert choice.current.info.step == 20
    choice.pick(older)
    choice.follow(monitor)
    assert choice.current is older
    other = fake_run.finished(runs, "20261101-000000-other")
    choice.follow(monitor_of(other))
    assert choice.current is None
    assert choice.must_search(monitor_of(other))


def test_a_checkpoint_that_was_asked_for_is_used_when_it_appears(runs):
    run = fake_run.running(runs, steps=20)
    monitor, choice = monitor_of(run), CheckpointChoice()
    choice.follow(monitor)
    assert not choice.must_search(monitor)  # a live run will save one
    choice.use_next(monitor)
    assert choice.is_awaited
    run.checkpoint(step=20)
    monitor.read_all()
    assert choice.follow(monitor)
    assert (choice.is_awaited, choice.current.info.step) == (False, 20)


def test_titles_keep_the_figures_and_cut_the_name(runs):
    run = fake_run.finished(runs)
    run.checkpoint(step=2400, val_loss=0.4101)
    checkpoint = newest_checkpoint([run.folder])
    assert checkpoint.title(60) == "20261119-101500-pico-tiny · step 2,400 · val 0.410"
    assert checkpoint.title(30) == "…tiny · step 2,400 · val 0.410"
    assert len(list_run_checkpoints([run.folder, run.folder])) == 2


def test_runs_that_train_on_a_gpu_of_this_machine(runs):
    here, elsewhere, on_cpu = (fake_run.running(runs, steps=2, name=f"run-{index}") for index in range(3))
    here.set_status("running", "training", gpu_uuid="GPU-1")
    elsewhere.set_status("running", "training", gpu_uuid="GPU-1", host="another")
    damaged = fake_run.running(runs, steps=2, name="run-3")
    damaged.folder.status.write_text("{")
    folders = [run.folder for run in (here, elsewhere, on_cpu, damaged)]
    assert runs_on_gpu(folders) == ["run-0"]
