"""How checkpoints are named, and which GPUs are left alone."""

from tests.workbench import fake_run
from tui_gpt.workbench.state.talk.checkpoint_list import list_run_checkpoints, runs_on_gpu


def test_titles_keep_the_figures_and_cut_the_name(runs):
    run = fake_run.finished(runs)
    run.checkpoint(step=2400, val_loss=0.4101)
    (checkpoint,) = list_run_checkpoints([run.folder])
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
