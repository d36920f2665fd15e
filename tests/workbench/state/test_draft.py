"""The draft holds what was set by hand, refuses what cannot run, and comes back after a restart."""

import tomllib
from pathlib import Path

import pytest

from tui_gpt.config import build, override
from tui_gpt.errors import ConfigError, RunError
from tui_gpt.workbench.state.draft import Draft, differences_from_preset, format_value, to_editable_toml


@pytest.fixture
def draft(tmp_path):
    return Draft(tmp_path / "configs")


def test_a_saved_draft_comes_back(draft):
    draft.set({"model.n_layer": "6"})
    draft.save()
    again = Draft(draft.configs)
    again.load()
    assert again.config.model.n_layer == 6
    assert again.asked == {"preset": "pico", "model": {"n_layer": 6}}


def test_an_edit_touches_no_disk(draft):
    draft.set({"model.n_layer": "6"})
    assert not draft.configs.exists()


def test_a_value_that_cannot_run_is_refused_and_changes_nothing(draft):
    with pytest.raises(ConfigError, match="not divisible"):
        draft.set({"model.n_head": "3"})
    assert draft.config.model.n_head == 4
    assert not draft.is_set("model.n_head")


def test_typing_is_checked_with_bounds_and_a_remedy(draft):
    problems = draft.set_what_can_be({"model.n_layer": "9999", "model.n_head": "3", "training.seed": "7"})
    assert "at most 512" in problems["model.n_layer"]
    assert "Try model.n_embd" in problems["model.n_head"]
    assert (draft.config.training.seed, draft.config.model.n_layer, draft.config.model.n_head) == (7, 4, 4)


def test_what_is_right_only_after_another_or_together_is_set(draft):
    wrong = {"training.duration": "bananas"}
    assert draft.set_what_can_be({"model.n_head": "3", "model.n_embd": "192"}) == {}
    assert list(draft.set_what_can_be({"model.n_head": "5", "model.n_embd": "240", **wrong})) == list(wrong)
    assert (draft.config.model.n_head, draft.config.model.n_embd) == (5, 240)


def test_differences_are_what_was_set(draft):
    draft.set({"optimizer.learning_rate": "1e-3"})
    assert differences_from_preset(draft.config) == {"optimizer.learning_rate": (3e-3, 1e-3)}
    draft.reset("optimizer.learning_rate")
    assert differences_from_preset(draft.config) == {}
    assert not draft.is_set("optimizer.learning_rate")


def test_a_runs_config_says_how_it_differs_from_its_preset():
    config = build(override({"preset": "nano"}, ["model.n_layer=2", "data.corpus=tiny"]))
    assert differences_from_preset(config) == {"model.n_layer": (6, 2), "data.corpus": ("stories", "tiny")}


def test_another_preset_keeps_what_was_set_by_hand(draft):
    draft.set({"data.corpus": "tiny"})
    draft.set({"preset": "nano"})
    assert (draft.config.preset, draft.config.data.corpus, draft.config.model.n_layer) == ("nano", "tiny", 6)


def test_a_config_saved_under_a_name_is_a_file_that_train_takes(draft):
    draft.set({"model.n_layer": "6"})
    path = draft.save_as("mine")
    assert tomllib.loads(path.read_text())["model"]["n_layer"] == 6
    assert draft.saved() == [path]
    for name, error in (("../elsewhere", RunError), ("draft", ConfigError), ("", RunError)):
        with pytest.raises(error):
            draft.save_as(name)


def test_a_loaded_config_is_the_drafts_own_copy(draft):
    asked = {"preset": "pico", "model": {"n_layer": 2}}
    draft.replace(asked, "a run")
    draft.set({"model.n_layer": "3"})
    assert asked["model"]["n_layer"] == 2
    with pytest.raises(ConfigError, match="a run"):
        draft.replace({"preset": "none"}, "a run")
    assert draft.config.model.n_layer == 3


def test_the_editors_text_shows_every_setting_and_reads_back_as_it_was(draft):
    draft.set({"model.n_layer": "6"})
    text = to_editable_toml(draft)
    assert tomllib.loads(text)["model"] == {"n_layer": 6}
    assert "# learning_rate = 0.003  # peak learning rate" in text
    again = Draft(draft.configs)
    again.replace(tomllib.loads(text))
    assert again.config == draft.config


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e-8, 3e-3, 1 / 3, True, 7, "text", ("a", "b")])
def test_a_form_takes_back_what_it_shows(value):
    text = format_value(value)
    if isinstance(value, float):
        assert float(text) == value
    assert text == {True: "true", ("a", "b"): '["a","b"]'}.get(value, text)


def test_a_damaged_draft_file_is_named(draft):
    draft.configs.mkdir()
    draft.path.write_text("model = {n_layer = 0}")
    with pytest.raises(ConfigError, match=r"draft\.toml"):
        draft.load()


def test_a_read_only_or_unreadable_workspace_is_an_error_in_words(draft, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    draft.configs.write_text("")  # a file where the folder should be
    with pytest.raises(ConfigError, match="cannot be written"):
        draft.save()
    draft.load()
    assert draft.saved() == []
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(ConfigError, match="cannot be read: permission denied"):
        draft.load()
