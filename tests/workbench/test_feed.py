"""A viewer reads any run folder, whole, torn, vanishing or foreign, and says what it found."""

import shutil

import msgspec

from tests.workbench import fake_run
from tui_gpt.run.messages import Rewound
from tui_gpt.workbench.feed import RunFeed


def test_a_running_run_is_read_whole_and_then_followed(workspace):
    run = fake_run.running(workspace / "runs", steps=500)
    feed = RunFeed(run.folder)
    feed.poll()
    assert (feed.state, feed.step, len(feed.series), len(feed.evals), len(feed.samples)) == ("running", 500, 500, 2, 2)
    assert feed.is_live
    run.train(3)
    feed.poll()
    assert len(feed.series) == 503


def test_a_free_lock_without_a_last_word_reads_as_crashed(workspace):
    run = fake_run.running(workspace / "runs", steps=10)
    run.unlock()
    feed = RunFeed(run.folder)
    feed.poll()
    assert feed.state == "crashed"
    assert not feed.is_live
    assert "without a word" in feed.failure()


def test_a_run_on_another_host_is_elsewhere_not_crashed(workspace):
    run = fake_run.running(workspace / "runs", steps=10)
    run.unlock()
    run.say("running", host="another-host")
    feed = RunFeed(run.folder)
    feed.poll()
    assert feed.state == "elsewhere"


def test_a_torn_last_line_is_left_until_it_is_whole(workspace):
    run = fake_run.running(workspace / "runs", steps=5)
    with run.folder.metrics.open("ab") as file:
        file.write(b'{"step":6,"tok')
    feed = RunFeed(run.folder)
    feed.poll()
    assert len(feed.series) == 5
    with run.folder.metrics.open("ab") as file:
        file.write(b'\n{"rubbish\n\xff\xfe\n')
    run.train(1)
    feed.poll()
    assert (len(feed.series), feed.series.step[-1]) == (6, 6)


def test_a_rewind_takes_back_points_evaluations_and_samples(workspace):
    run = fake_run.running(workspace / "runs", steps=500)
    feed = RunFeed(run.folder)
    feed.poll()
    for path in (run.folder.metrics, run.folder.evals, run.folder.samples):
        run.append(path, Rewound(rewound_to=250))
    feed.poll()
    assert (len(feed.series), len(feed.evals), len(feed.samples)) == (250, 1, 1)


def test_a_vanished_folder_keeps_its_last_picture(workspace):
    run = fake_run.running(workspace / "runs", steps=20)
    feed = RunFeed(run.folder)
    feed.poll()
    shutil.rmtree(run.folder.path)
    feed.poll()
    assert feed.state == "gone"
    assert len(feed.series) == 20
    assert "gone" in feed.failure()


def test_a_run_of_a_newer_version_is_refused_in_words(workspace):
    run = fake_run.running(workspace / "runs", steps=3)
    run.folder.info.write_bytes(msgspec.json.encode({"schema_version": 99}))
    feed = RunFeed(run.folder)
    feed.poll()
    assert feed.state == "unreadable"
    assert "newer" in feed.problem


def test_a_damaged_status_is_said_and_heals(workspace):
    run = fake_run.running(workspace / "runs", steps=3)
    run.folder.status.write_bytes(b"{")
    feed = RunFeed(run.folder)
    feed.poll()
    assert feed.state == "unreadable"
    run.say("running", "training")
    feed.poll()
    assert (feed.state, feed.problem) == ("running", "")


def test_why_it_failed_is_one_line(workspace):
    run = fake_run.running(workspace / "runs", steps=3)
    run.fail("the loss is not a number at step 3")
    feed = RunFeed(run.folder)
    feed.poll()
    assert feed.failure() == "the loss is not a number at step 3. Lower optimizer.learning_rate"
    assert "nan" in feed.log_tail()


def test_losses_that_are_no_numbers_are_kept_as_such(workspace):
    run = fake_run.running(workspace / "runs", steps=3)
    for loss in (float("nan"), float("inf"), 0.0, -1.0):
        run.train(1, loss=loss)
    feed = RunFeed(run.folder)
    feed.poll()
    assert feed.series.first_non_finite == 4
    assert len(feed.series.buckets("loss")) == 7
