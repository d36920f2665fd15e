"""The config: presets, overrides, and errors with file, key, value and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.config import (
    PRESETS,
    PURPOSES,
    Duration,
    build,
    changed_keys,
    check_resumable,
    field,
    fields,
    load_config,
    override,
    read_toml,
    to_dict,
    to_toml,
    with_relative_paths,
)
from tui_gpt.config.estimates import describe_final_eval, eval_tokens
from tui_gpt.errors import ConfigError


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_builds_and_round_trips_through_toml(preset: str, tmp_path: Path) -> None:
    config = build({"preset": preset})
    file = tmp_path / "config.toml"
    file.write_text(to_toml(to_dict(config)), "utf-8")
    assert build(read_toml(file)) == config
    assert PURPOSES[preset]


def test_every_field_has_help_and_a_description_of_what_is_allowed() -> None:
    assert len(fields()) > 40
    for item in fields().values():
        assert item.help and item.allowed
        assert item.convert(item.default) == item.default


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("model.n_layr=3", "Did you mean model.n_layer?"),
        ("n_layer=3", "Did you mean model.n_layer?"),
        ("optimiser.learning_rate=1", "Did you mean optimizer.learning_rate?"),
        ("optimizer.learning_rate=-1", "optimizer.learning_rate = -1.0 is not allowed. Allowed: a number, above 0"),
        ("optimizer.learning_rate=nan", "is not allowed"),
        ("model.n_layer=0", "a whole number, at least 1 and at most 512"),
        ("model.n_layer=2.5", "a whole number"),
        ("model.architecture=lstm", "Allowed: modern or gpt2"),
        ("model.tied=maybe", "true or false"),
        ("training.compile", "section.key=value"),
        ("training.duration=3 fortnights", "invalid duration"),
        ("training.duration=0", "invalid duration"),
        ("training.duration=2.5 steps", "invalid duration"),
        ("model.n_embd=130", "not divisible by model.n_head = 4. Try model.n_embd = 132"),
        ("model.n_kv_head=3", "not divisible by model.n_kv_head"),
        ("preset=huge", "Presets: pico"),
        ("data.tokenizer=bananas", "Allowed: char, byte, bpe:N with N from 257 to 1,000,000, gpt2, "),
        ("data.tokenizer=bpe:256", 'data.tokenizer = "bpe:256" is not allowed'),
        ("data.tokenizer=bpe", "or the path of a tokenizer.json"),
        ("data.tokenizer=", "is not allowed"),
        (
            "data.corpus=caf\udce9",
            "data.corpus = 'caf\\udce9' is not text in UTF-8",
        ),  # Latin-1, as an argument
        ('sampling.prompts=["a", "\udcff"]', "is not text in UTF-8"),
        ("training.threads=0\udcff", "is not text in UTF-8"),
    ],
)
def test_invalid_override_is_rejected_with_what_to_do(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(override({}, [assignment]))
    assert message in str(caught.value)


def test_odd_head_width_is_rejected_for_rope() -> None:
    with pytest.raises(ConfigError, match="RoPE rotates pairs of channels"):
        build({"model": {"n_embd": 12, "n_head": 4}})


def test_tokenizer_names_are_validated() -> None:
    names = ["char", "byte", "bpe:257", "bpe:1000000", "gpt2", "r50k_base", "p50k_base", "cl100k_base", "o200k_base"]
    for name in [*names, "absent/tokenizer.json"]:
        assert build({"data": {"tokenizer": name}}).data.tokenizer == name
    with pytest.raises(ConfigError, match="tokenizer = 7 is not allowed"):
        build({"data": {"tokenizer": 7}})


def test_errors_name_the_config_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[model]\nn_layer = \n")
    with pytest.raises(ConfigError, match=r"run\.toml: invalid TOML: .*line 2"):
        load_config(str(file))
    file.write_text("[model]\nn_laier = 3\n")
    with pytest.raises(ConfigError, match=r"run\.toml: unknown key model\.n_laier\. Did you mean model\.n_layer"):
        build(load_config(str(file)), str(file))
    file.write_text("model = 3\n")
    with pytest.raises(ConfigError, match="model is a table"):
        build(load_config(str(file)), str(file))
    with pytest.raises(ConfigError, match="neither a preset nor a file"):
        load_config(str(tmp_path / "absent.toml"))


def test_values_are_parsed_as_toml_or_text() -> None:
    asked = override(
        {},
        [
            "data.tokenizer=gpt2",
            "training.duration=3 epochs",
            'sampling.prompts=["a, b", "c"]',
            "model.tied=true",
            "optimizer.learning_rate=1e-3",
            "data.corpus=1984",
        ],
    )
    config = build(asked)
    assert (config.data.tokenizer, config.data.corpus) == ("gpt2", "1984")
    assert config.training.duration == "3 epochs"
    assert config.sampling.prompts == ("a, b", "c")
    assert config.model.tied is True and config.optimizer.learning_rate == 1e-3


def test_gpt2_ties_its_head_by_default() -> None:
    assert build({"model": {"architecture": "gpt2"}}).model.tied is True
    with pytest.raises(ConfigError, match="tied"):
        build({"model": {"architecture": "gpt2", "tied": False}})


@given(st.floats(0.5, 1e6), st.sampled_from(["k", "M", "B", ""]))
def test_durations_round_trip_through_text(amount: float, scale: str) -> None:
    duration = Duration.parse(f"{round(amount)}{scale} tokens" if round(amount) else "1 tokens")
    assert Duration.parse(str(duration)) == duration


def test_durations_in_steps() -> None:
    kinds = {"2000": 2000, "7 steps": 7, "1 epoch": 10, "2.5 epochs": 24, "50k tokens": 49, "30 minutes": None}
    for text, steps in kinds.items():
        assert Duration.parse(text).steps(tokens_per_step=1024, steps_per_epoch=9.5) == steps


def test_resume_may_change_how_but_not_what_is_computed() -> None:
    before = build({})
    longer = build(override({}, ["training.duration=9 epochs", "training.threads=4", "sampling.temperature=1"]))
    check_resumable(before, longer)
    assert changed_keys(before, longer) == ["training.duration", "training.threads", "sampling.temperature"]
    with pytest.raises(ConfigError, match=r"cannot change model\.n_layer, training\.seed"):
        check_resumable(before, build(override({}, ["model.n_layer=2", "training.seed=2"])))
    split = ["training.micro_batch_size=4", "training.accumulation_steps=4"]
    check_resumable(before, build(override({}, split)))
    with pytest.raises(ConfigError, match="micro_batch_size × accumulation_steps"):
        check_resumable(before, build(override({}, split[:1])))


def test_field_parses_form_input() -> None:
    assert field("training.eval_every").parse("0") == 0
    assert field("sampling.prompts").parse("Once upon") == ("Once upon",)
    with pytest.raises(ConfigError):
        field("training.eval_every").parse("")


def test_error_names_the_file_and_overrides_can_fix_it(tmp_path):
    path = tmp_path / "typo.toml"
    path.write_text("[training]\nmicro_batch_sizes = 4\n")
    with pytest.raises(ConfigError, match=r"typo\.toml: unknown key training\.micro_batch_sizes"):
        load_config(str(path))
    path.write_text("[model]\nn_embd = 100\n")
    assert build(override(load_config(str(path)), ["model.n_head=5"])).model.n_embd == 100


def test_the_last_evaluation_has_a_bound_that_is_said_beforehand() -> None:
    val, trained = 1_100_000_000, 10_000_000_000
    assert eval_tokens(0, val) == eval_tokens(0, val, trained) == 10_000_000
    assert eval_tokens(0, 5_000, trained) == 5_000
    assert eval_tokens(65_536, val) == 65_536 and eval_tokens(65_536, val, trained) == 10_000_000
    assert eval_tokens(65_536, val, 1_000_000) == 1_000_000 and eval_tokens(65_536, val, 1_000) == 65_536
    assert eval_tokens(50_000_000, val, trained) == 50_000_000
    config = build({})
    assert "at most 10,000,000 of 1,100,000,000 validation tokens and 5 minutes" in describe_final_eval(
        config, val, trained
    )
    assert "at most 5,000 (all) validation tokens" in describe_final_eval(config, 5_000, trained)


def test_a_config_names_what_lies_beside_it_wherever_both_are(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    (before / "source").mkdir(parents=True)
    (before / "tokenizer.json").write_text("{}")
    asked = {"data": {"tokenizer": str(before / "tokenizer.json")}, "training": {"init_from": str(before / "source")}}
    written = with_relative_paths(asked, before)
    assert written == {"data": {"tokenizer": "tokenizer.json"}, "training": {"init_from": "source"}}
    (before / "config.toml").write_text(to_toml(written))
    assert read_toml(before / "config.toml") == asked
    before.rename(after)
    moved = read_toml(after / "config.toml")
    assert moved == {
        "data": {"tokenizer": str(after / "tokenizer.json")},
        "training": {"init_from": str(after / "source")},
    }
    (after / "gpt2").mkdir()
    (after / "other.toml").write_text('[data]\ntokenizer = "gpt2"\n[training]\ninit_from = ""\nfork_from = "absent"\n')
    assert read_toml(after / "other.toml") == {
        "data": {"tokenizer": "gpt2"},
        "training": {"init_from": "", "fork_from": "absent"},
    }
