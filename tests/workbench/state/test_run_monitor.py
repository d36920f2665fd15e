"""A viewer reads any run folder, whole, torn, vanishing or foreign, and says what it found."""

import shutil
import time
from pathlib import Path

import msgspec
import pytest

from tests.workbench import fake_run
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Failure, Metrics, Rewound
from tui_gpt.workbench.state import run_monitor
from tui_gpt.workbench.state.run_monitor import RunMonitor


def monitor_of(run: fake_run.FakeRun) -> RunMonitor:
    monitor = RunMonitor(run.folder)
    monitor.read_all()
    return monitor


def test_a_running_run_is_read_whole_and_then_followed(runs):
    run = fake_run.running(runs, steps=500)
    monitor = monitor_of(run)
    counts = (monitor.step, monitor.total_steps, len(monitor.series), len(monitor.evals), len(monitor.samples))
    assert (monitor.state, *counts) == ("running", 500, 4000, 500, 2, 2)
    assert monitor.is_live
    assert (monitor.failure(), monitor.remedy()) == ("", ("", ""))
    run.train(3)
    monitor.read_all()
    assert len(monitor.series) == 503


def test_reading_changes_nothing_until_it_is_applied(runs):
    monitor = RunMonitor(fake_run.running(runs, steps=5).folder)
    update = monitor.read()
    assert (len(monitor.series), monitor.state, monitor.is_read) == (0, "starting", False)
    monitor.apply(update)
    assert (len(monitor.series), monitor.state, monitor.is_read) == (5, "running", True)


def test_the_config_comes_with_its_differences_from_the_preset(runs):
    run = fake_run.FakeRun(runs, asked={"preset": "pico", "model": {"n_layer": 2}})
    assert monitor_of(run).differences == {"model.n_layer": (4, 2)}


def test_the_best_evaluation_is_known_by_value_and_step(runs):
    run = fake_run.running(runs, steps=10)
    for value in (2.0, 1.5, float("nan"), 1.7):
        run.train(1)
        run.evaluate(value)
    monitor = monitor_of(run)
    assert (monitor.best.val_loss, monitor.best.step) == (1.5, 12)
    run.append(run.folder.evals, Rewound(rewound_to=11))
    monitor.read_all()
    assert (monitor.best.val_loss, monitor.best.step) == (2.0, 11)


def test_a_resume_that_would_fail_again_is_not_the_remedy(runs):
    """The resume of a run whose corpus had changed was offered again."""
    run = fake_run.running(runs, steps=10)
    run.checkpoint(step=8)
    failure = Failure(what="corpus x has changed", do="Restore the old text.", blocks_resume=True)
    run.set_status("failed", failure=failure)
    run.unlock()
    assert monitor_of(run).remedy() == ("Restore the old text", "new_run")


def test_every_sample_is_kept(runs):
    run = fake_run.running(runs, steps=10)
    for _ in range(300):
        run.step += 1
        run.sample("text")
    assert [sample.step for sample in monitor_of(run).samples] == list(range(11, 311))


def test_a_free_lock_without_a_final_state_reads_as_crashed(runs):
    run = fake_run.running(runs, steps=10)
    run.unlock()
    monitor = monitor_of(run)
    assert monitor.state == "crashed"
    assert not monitor.is_live
    assert monitor.failure() == "its processes ended while it was running, without reporting why"
    assert monitor.remedy()[0] == "It saved no checkpoint, so a resume begins at step 0"
    run.checkpoint(step=8)
    run.set_status("running", boot_id="before")
    monitor.read_all()
    assert monitor.failure() == "the machine restarted while the run was running"
    assert monitor.remedy() == ("It can be resumed from step 8", "resume")


def test_a_run_on_another_host_is_elsewhere_not_crashed(runs):
    run = fake_run.running(runs, steps=10)
    run.unlock()
    run.set_status("running", host="another-host")
    assert monitor_of(run).state == "elsewhere"


def test_a_torn_last_line_is_left_until_it_is_whole(runs):
    run = fake_run.running(runs, steps=5)
    with run.folder.metrics.open("ab") as file:
        file.write(b'{"step":6,"tok')
    monitor = monitor_of(run)
    assert len(monitor.series) == 5
    with run.folder.metrics.open("ab") as file:
        file.write(b'\n{"rubbish\n\xff\xfe\n')
    run.train(1)
    monitor.read_all()
    assert (len(monitor.series), monitor.step) == (6, 6)


def test_a_rewind_takes_back_points_evaluations_and_samples(runs):
    run = fake_run.running(runs, steps=500)
    monitor = monitor_of(run)
    for path in (run.folder.metrics, run.folder.evals, run.folder.samples):
        run.append(path, Rewound(rewound_to=250))
    monitor.read_all()
    assert (len(monitor.series), len(monitor.evals), len(monitor.samples)) == (250, 1, 1)


def test_a_journal_that_was_replaced_is_not_shown_twice(runs):
    run = fake_run.FakeRun(runs)
    run.set_status("running")
    run.evaluate(3.0)  # at step 0, which no rewind by steps takes back
    run.sample()
    for kind in ("created", "started"):
        run.event(kind, kind)
    run.append(run.folder.events, msgspec.convert({"time": 1.0, "kind": "x", "message": "no step"}, fake_run.Event))
    monitor = monitor_of(run)
    for path in (run.folder.events, run.folder.evals, run.folder.samples):
        lines = path.read_bytes()
        path.unlink()
        path.with_suffix(".new").write_bytes(lines)
        path.with_suffix(".new").rename(path)
    monitor.read_all()
    assert [event.kind for event in monitor.events] == ["created", "started", "x"]
    assert (len(monitor.evals), len(monitor.samples)) == (1, 1)


def test_events_outlast_a_line_that_is_not_theirs(runs):
    run = fake_run.running(runs, steps=5)
    run.append(run.folder.events, msgspec.convert({"time": 1.0, "kind": "x", "message": "no step"}, fake_run.Event))
    run.append(run.folder.events, Rewound(rewound_to=3))
    assert [event.kind for event in monitor_of(run).events] == ["started", "x"]


def test_a_vanished_folder_keeps_its_last_picture(runs):
    run = fake_run.running(runs, steps=20)
    monitor = monitor_of(run)
    shutil.rmtree(run.folder.path)
    monitor.read_all()
    assert monitor.state == "gone"
    assert not monitor.is_live
    assert len(monitor.series) == 20
    assert "gone" in monitor.failure()


@pytest.mark.parametrize("method", ["stat", "open"])
def test_an_unreadable_folder_is_a_problem_in_words(runs, monkeypatch, method):
    run = fake_run.running(runs, steps=20)

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, method, refuse)
    monitor = monitor_of(run)
    assert monitor.state == "unreadable"
    assert monitor.problem.endswith("cannot be read: permission denied")
    assert monitor.failure() == monitor.problem
    monkeypatch.undo()
    monitor.read_all()
    assert (monitor.state, monitor.problem, len(monitor.series)) == ("running", "", 20)


def test_a_run_that_is_not_there_is_gone(runs):
    (runs / "file").write_text("")
    for path in (runs / "nothing", runs / "file" / "run"):
        monitor = RunMonitor(RunFolder(path))
        monitor.read_all()
        assert monitor.state == "gone"


DAMAGE = [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"null", b'{"state": 3}', b"[[[[", b"\x00" * 5000]
FILES = ["config.toml", "run.json", "status.json", "metrics.jsonl", "evals.jsonl", "samples.jsonl", "events.jsonl"]


@pytest.mark.parametrize("name", [*FILES, "checkpoints/step-00000005/manifest.json"])
@pytest.mark.parametrize("data", DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_file_raises_nothing_and_hides_nothing_else(runs, name, data):
    run = fake_run.running(runs, steps=20)
    run.checkpoint(step=5)
    run.checkpoint(step=10)
    (run.folder.path / name).write_bytes(data + b"\n")
    monitor = monitor_of(run)
    assert monitor.is_live
    assert monitor.checkpoints[-1].step == 10
    if name != "metrics.jsonl":
        assert len(monitor.series) == 20
    if name == "status.json" or (name == "run.json" and data != b'{"state": 3}'):
        assert name in monitor.problem


def test_a_number_that_no_run_writes_raises_nothing(runs):
    run = fake_run.running(runs, steps=20)
    line = run.folder.metrics.read_bytes().splitlines()[-1].partition(b',"crc32"')[0] + b"}"
    with run.folder.metrics.open("ab") as file:
        file.write(line.replace(b'"step":20', b'"step":%d' % 10**30) + b"\n")
    monitor = monitor_of(run)
    assert "metrics.jsonl: is damaged" in monitor.problem
    run.train(5)
    monitor.read_all()
    assert monitor.step == 25


def test_a_folder_in_a_files_place_raises_nothing(runs):
    for number, name in enumerate(FILES):
        run = fake_run.running(runs, steps=5, name=f"run-{number}")
        (run.folder.path / name).unlink(missing_ok=True)
        (run.folder.path / name).mkdir()
        assert monitor_of(run).state == "unreadable"


def test_a_damaged_status_is_reported_and_heals(runs):
    run = fake_run.running(runs, steps=3)
    run.folder.status.write_bytes(b"{")
    monitor = monitor_of(run)
    assert monitor.state == "unreadable"
    assert monitor.is_live  # its lock is held
    run.set_status("running", "training")
    monitor.read_all()
    assert (monitor.state, monitor.problem) == ("running", "")


def test_a_run_of_a_newer_version_is_refused_in_words(runs):
    run = fake_run.running(runs, steps=3)
    run.folder.info.write_bytes(msgspec.json.encode({"schema_version": 99}))
    monitor = monitor_of(run)
    assert monitor.state == "unreadable"
    assert "newer" in monitor.problem


def test_a_failed_run_shows_cause_and_remedy(runs):
    run = fake_run.running(runs, steps=3)
    run.fail("the loss is not a number at step 3")
    monitor = monitor_of(run)
    assert monitor.failure() == "the loss is not a number at step 3"
    remedy = "Lower optimizer.learning_rate. It saved no checkpoint, so a resume begins at step 0"
    assert monitor.remedy() == (remedy, "new_run")
    assert "nan" in monitor.log_tail()
    run.checkpoint(step=2)
    monitor.read_all()
    assert monitor.remedy() == ("Lower optimizer.learning_rate. It can be resumed from step 2", "resume")


def test_a_run_that_failed_before_its_first_step_names_the_file_and_the_log(runs):
    run = fake_run.FakeRun(runs)
    run.set_status("failed", failure=Failure(what="is not UTF-8 text", where="corpus/mine.txt"))
    monitor = monitor_of(run)
    assert monitor.failure() == "corpus/mine.txt: is not UTF-8 text"
    assert monitor.remedy() == ("The log may say more", "log")
    assert monitor.log_tail() == "(no log yet)"


def test_a_new_checkpoint_is_seen_at_once(runs):
    run = fake_run.running(runs, steps=5)
    monitor = monitor_of(run)
    for step in range(1, 6):  # within one tick of the file system's clock
        run.checkpoint(step=step)
        monitor.read_all()
        assert [info.step for info in monitor.checkpoints] == list(range(1, step + 1))


def test_losses_that_are_not_finite_are_kept_as_such(runs):
    run = fake_run.running(runs, steps=3)
    for loss in (float("nan"), float("inf"), 0.0, -1.0):
        run.train(1, loss=loss)
    monitor = monitor_of(run)
    assert monitor.series.first_non_finite == 4
    assert len(monitor.series.buckets("loss")) == 7


def test_a_long_run_is_read_in_chunks_within_its_time(runs):
    run = fake_run.FakeRun(runs)
    run.set_status("stopped")
    points = 100_000
    metrics = Metrics(
        step=1,
        tokens=1024,
        loss=2.5,
        learning_rate=1e-3,
        grad_norm=0.5,
        tokens_per_second=12_345.6,
        elapsed_seconds=1.0,
    )
    head, _, tail = msgspec.json.encode(metrics).partition(b'"step":1')
    with run.folder.metrics.open("wb") as file:
        file.writelines(b'%b"step":%d%b\n' % (head, step, tail) for step in range(1, points + 1))
    monitor = RunMonitor(run.folder)
    started = time.process_time()
    assert monitor.apply(monitor.read())  # there is more
    monitor.read_all()
    assert time.process_time() - started < 1.0  # 0.1 s on a quiet machine; a million points in 1.2 s is the goal
    assert (len(monitor.series), monitor.step) == (points, points)


def test_curves_wait_for_their_turn_and_an_evaluation_does_not(runs, monkeypatch):
    now = 100.0
    monkeypatch.setattr(run_monitor.time, "monotonic", lambda: now)
    run = fake_run.running(runs, steps=20)
    monitor = RunMonitor(run.folder)

    def version() -> int:
        monitor.read_all()
        return monitor.curve_version

    first = version()
    assert version() == first
    run.train(3)
    assert version() == first
    now += run_monitor.REDRAW_SECONDS
    assert version() == first + 1
    run.evaluate()
    assert version() == first + 2


def test_a_long_journal_is_drawn_at_once_when_it_is_read(runs, monkeypatch):
    monkeypatch.setattr(run_monitor.time, "monotonic", lambda: 100.0)
    monitor = RunMonitor(fake_run.running(runs, steps=500).folder)
    assert monitor.apply(monitor.read())
    first = monitor.curve_version
    assert not monitor.apply(monitor.read())
    assert monitor.curve_version == first + 1
