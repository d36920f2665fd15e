"""Before the start: figures that follow from the config, none that is made up, and what to think over first."""

from dataclasses import dataclass, replace

import pytest

from tests.workbench import fake_run
from tui_gpt.config import build, override
from tui_gpt.hardware import Gpu, Host
from tui_gpt.workbench.state.estimate import Speed, estimate, find_speed
from tui_gpt.workbench.state.system_monitor import SystemReadings

GIB = 2**30
HOST = Host(name="box", system="Linux", cpu="Test CPU", cores=8, memory_bytes=32 * GIB, memory_free_bytes=24 * GIB)
READINGS = SystemReadings(host=HOST)


@dataclass(frozen=True)
class Corpus:
    train_tokens: int | None = 4_096_000
    val_tokens: int | None = 40_000
    vocab_size: int | None = 1024


def config_with(*assignments: str):
    return build(override({"preset": "pico"}, assignments))


def test_epochs_tokens_and_time_follow_from_the_config():
    found = estimate(config_with(), Corpus(), READINGS, Speed(10_240.0, "r"))
    assert (found.tokens_per_step, found.steps, found.tokens, found.epochs) == (1024, 4000, 4_096_000, 1.0)
    assert found.seconds == 400
    assert (found.memory_free_bytes, found.memory_device) == (HOST.memory_free_bytes, "host")
    assert found.warnings == ()


def test_what_cannot_be_known_is_left_out():
    for corpus in (None, Corpus(None, None, None)):
        found = estimate(config_with(), corpus, SystemReadings(), None)
        assert (found.parameters, found.epochs, found.seconds, found.memory_bytes) == (None, None, None, None)
        assert found.warnings == ()


@pytest.mark.parametrize(("duration", "steps"), [('"3 epochs"', 12000), ("7", 7), ('"1M tokens"', 977)])
def test_durations_become_steps(duration, steps):
    assert estimate(config_with(f"training.duration={duration}"), Corpus(), READINGS).steps == steps


def test_an_epoch_of_overlapping_windows_has_more_steps():
    config = config_with("data.mode=sliding", "training.duration=1 epoch")
    found = estimate(config, Corpus(409_600), READINGS)
    rows = 1 + (409_600 - 1 - 64 + 31) // 32  # one begins every 32 tokens, as long as it predicts another token
    assert found.steps == -(-rows // config.sequences_per_step)
    assert found.epochs == pytest.approx(1, abs=0.01)


def test_minutes_are_time_and_become_steps_only_where_a_speed_is_known():
    config = config_with('training.duration="2 minutes"')
    assert estimate(config, Corpus(), READINGS).steps is None
    assert estimate(config, Corpus(), READINGS).seconds == 120
    assert estimate(config, Corpus(), READINGS, Speed(1024.0, "r")).steps == 120


WARNINGS = {
    "memory": (("training.micro_batch_size=65536",), Corpus(), "GiB are free on host"),
    "repeated": ((), Corpus(409_600), "the corpus is repeated 10 times: past 4 epochs repeated text teaches less"),
    "repeated a little": ((), Corpus(900_000), "the corpus is repeated 4.6 times"),
    "validation": ((), Corpus(val_tokens=500), "the validation split has only 500 tokens (7.8 contexts)"),
    "corpus": ((), Corpus(train_tokens=60), "the corpus has 60 training tokens, and one context holds 64"),
    "parameters": (("training.duration=100",), Corpus(), "tokens are seen for each parameter"),
    "warmup": (("training.duration=2000", "schedule.warmup_steps=2000"), Corpus(), "the warmup of 2,000 steps"),
}


@pytest.mark.parametrize(("assignments", "corpus", "warning"), WARNINGS.values(), ids=WARNINGS.keys())
def test_what_to_think_over_first_is_said_in_a_sentence(assignments, corpus, warning):
    found = estimate(config_with(*assignments), corpus, READINGS)
    assert any(warning in each for each in found.warnings), found.warnings


def test_the_memory_of_the_card_that_the_run_would_take_counts():
    card = Gpu(1, "GPU-1", "A card", 0, GIB // 100, None, None, None)
    taken = replace(card, index=0, uuid="GPU-0", memory_used_bytes=card.memory_total_bytes)
    found = estimate(config_with(), Corpus(), SystemReadings(host=HOST, gpus=(taken, card)))
    assert found.memory_device == "gpu1"
    assert "free on gpu1" in found.warnings[0]
    nowhere = estimate(config_with("training.device=cuda:7"), Corpus(), SystemReadings(gpus=(card,)))
    assert (nowhere.memory_free_bytes, nowhere.memory_device) == (None, "cuda:7")


def test_speed_comes_from_an_earlier_run_of_the_same_model_on_this_host(runs):
    run = fake_run.finished(runs)
    (runs / "20990101-000000-rubbish").mkdir()
    (runs / "20990101-000000-rubbish" / "config.toml").write_bytes(b"\xff")
    (runs / "20990101-000000-rubbish" / "status.json").write_bytes(b"{")
    speed = find_speed(runs, build({"preset": "pico"}))
    assert speed is not None
    assert round(speed.tokens_per_second) == 12_345
    assert find_speed(runs, build({"preset": "nano"})) is None
    run.set_status("finished", host="another-host")
    assert find_speed(runs, build({"preset": "pico"})) is None


def test_an_unreadable_runs_folder_has_no_speed(runs, monkeypatch):
    def refuse(_: object) -> list:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tui_gpt.workbench.state.estimate.list_runs", refuse)
    assert find_speed(runs, build({"preset": "pico"})) is None
