"""Before the start: figures that follow the config, and none that is made up."""

import pytest

from tests.workbench import fake_run
from tests.workbench.conftest import HOST
from tui_gpt.config import build, override
from tui_gpt.config.estimates import vocab_size_of
from tui_gpt.workbench.corpus_facts import CorpusFacts, bytes_per_token, read_facts
from tui_gpt.workbench.machine import Readings
from tui_gpt.workbench.plan import Speed, known_speed, make_plan

FACTS = CorpusFacts("stories", "bpe:1024", train_tokens=409_600, val_tokens=40_000, vocab_size=1024, prepared=True)


def test_epochs_tokens_and_time_follow_from_the_config():
    plan = make_plan(build({"preset": "pico"}), FACTS, Readings(host=HOST), Speed(10_240.0, "r"))
    assert (plan.tokens_per_step, plan.steps, plan.tokens, plan.epochs) == (1024, 4000, 4_096_000, 10.0)
    assert plan.seconds == 400
    assert plan.memory_free_bytes == HOST.memory_free_bytes


def test_what_cannot_be_known_is_left_out():
    plan = make_plan(build({"preset": "pico"}), CorpusFacts("x", "char"), Readings(), None)
    assert (plan.parameters, plan.epochs, plan.seconds, plan.memory_bytes) == (None, None, None, None)


@pytest.mark.parametrize(("duration", "steps"), [('"3 epochs"', 1200), ("7", 7), ('"1M tokens"', 977)])
def test_durations_become_steps(duration, steps):
    asked = override({"preset": "pico"}, [f"training.duration={duration}"])
    assert make_plan(build(asked), FACTS, Readings(), None).steps == steps


def test_an_epoch_of_overlapping_windows_has_more_steps():
    asked = override({"preset": "pico"}, ["data.mode=sliding", "training.duration=1 epoch"])
    config = build(asked)
    plan = make_plan(config, FACTS, Readings(), None)
    rows = 1 + (409_600 - 1 - 64 + 31) // 32  # begun every 32 tokens, as long as one predicts another token
    assert plan.steps == -(-rows // config.sequences_per_step) and plan.epochs == pytest.approx(1, abs=0.01)


def test_minutes_are_time_and_become_steps_only_where_a_speed_is_known():
    asked = override({"preset": "pico"}, ['training.duration="2 minutes"'])
    assert make_plan(build(asked), FACTS, Readings(), None).steps is None
    assert make_plan(build(asked), FACTS, Readings(), Speed(1024.0, "r")).steps == 120


def test_speed_comes_from_an_earlier_run_of_the_same_model(workspace):
    fake_run.finished(workspace / "runs")
    speed = known_speed(workspace / "runs", build({"preset": "pico"}))
    assert speed is not None
    assert round(speed.tokens_per_second) == 12_345
    assert known_speed(workspace / "runs", build({"preset": "nano"})) is None


def test_a_corpus_is_known_before_it_is_prepared(workspace):
    (workspace / "corpus").mkdir()
    (workspace / "corpus" / "mine.txt").write_text("word " * 20_000)
    facts = read_facts("mine", "byte", 0.1, workspace / "corpus")
    assert (facts.size_bytes, facts.documents, facts.train_tokens, facts.prepared) == (100_000, 1, 90_000, False)
    assert facts.preview.startswith("word word")


def test_a_corpus_that_is_not_there_is_a_problem_in_words(workspace):
    assert "no-such-corpus" in read_facts("no-such-corpus", "byte", 0.1, workspace / "corpus").problem


def test_vocabularies_that_a_name_promises():
    assert [vocab_size_of(name) for name in ("byte", "gpt2", "bpe:4096", "char", "bpe:x")] == [
        257,
        50257,
        4096,
        None,
        None,
    ]
    assert 2.4 < bytes_per_token("bpe:1024") < 3 < bytes_per_token("gpt2") < 4.5
