"""The draft holds what was set by hand, refuses what cannot run, and comes back after a restart."""

import tomllib

import pytest

from tui_gpt.config import field
from tui_gpt.errors import ConfigError, RunError
from tui_gpt.workbench.draft import Draft, as_text, check_text


@pytest.fixture
def draft(tmp_path):
    return Draft(tmp_path / "configs")


def test_an_edit_is_kept_and_comes_back(draft):
    draft.set("model.n_layer", "6")
    again = Draft(draft.configs)
    again.load()
    assert again.config.model.n_layer == 6
    assert again.asked == {"preset": "pico", "model": {"n_layer": 6}}


def test_what_cannot_run_is_refused_and_changes_nothing(draft):
    with pytest.raises(ConfigError, match="not divisible"):
        draft.set("model.n_head", "3")
    assert draft.config.model.n_head == 4
    assert not draft.path.exists()


def test_typing_is_checked_with_bounds_and_a_way_out(draft):
    item = field("model.n_layer")
    assert check_text(draft, item, "6") == ""
    assert "at most 512" in check_text(draft, item, "9999")
    assert "Try model.n_embd" in check_text(draft, field("model.n_head"), "3")


def test_the_difference_to_the_preset_is_what_was_set(draft):
    draft.set("optimizer.learning_rate", "1e-3")
    assert draft.difference() == {"optimizer.learning_rate": (3e-3, 1e-3)}
    draft.reset("optimizer.learning_rate")
    assert draft.difference() == {}


def test_another_preset_keeps_what_was_set_by_hand(draft):
    draft.set("data.corpus", "tiny")
    draft.use_preset("nano")
    assert (draft.config.preset, draft.config.data.corpus, draft.config.model.n_layer) == ("nano", "tiny", 6)


def test_a_saved_config_is_a_file_that_train_takes(draft):
    draft.set("model.n_layer", "6")
    path = draft.save_as("mine")
    assert tomllib.loads(path.read_text())["model"]["n_layer"] == 6
    assert draft.saved() == [path]
    with pytest.raises(RunError):
        draft.save_as("../elsewhere")


def test_the_editors_text_shows_every_setting_and_reads_back_as_it_was(draft):
    draft.set("model.n_layer", "6")
    text = as_text(draft.asked, draft.config)
    assert tomllib.loads(text)["model"] == {"n_layer": 6}
    assert "# learning_rate = 0.003  # peak learning rate" in text
    again = Draft(draft.configs)
    again.take(tomllib.loads(text))
    assert again.config == draft.config


def test_a_broken_draft_file_is_said_where(draft):
    draft.configs.mkdir()
    draft.path.write_text("model = {n_layer = 0}")
    with pytest.raises(ConfigError, match=r"draft\.toml"):
        draft.load()
