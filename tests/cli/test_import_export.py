"""`gpt-tui import` and `export` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.cli.test_cli import gpt_tui
from tui_gpt.config import build
from tui_gpt.corpora import make_tokenizer
from tui_gpt.model import GPT, huggingface

MODEL = {"architecture": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 16}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a Hugging Face folder in it, and the run that it was imported as."""
    place = tmp_path_factory.mktemp("exchange")
    folder = place / "tiny gpt2"
    folder.mkdir()
    tokenizer = make_tokenizer("byte", (), lambda *_: None)
    torch.manual_seed(1)
    config = build({"model": MODEL})
    huggingface.write_model(GPT(config.model, 257), config, tokenizer.end_of_text, folder)
    (folder / "tokenizer.json").write_bytes(tokenizer.to_json())
    done = gpt_tui(place, "import", "tiny gpt2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("-tiny-gpt2") and "gpt-tui sample" in done.stderr
    return place


def test_imported_model_can_be_listed_sampled_and_trained(workspace: Path) -> None:
    (row,) = json.loads(gpt_tui(workspace, "runs", "--json").stdout)
    assert row["state"] == "stopped" and row["step"] == 0
    assert "imported from" in gpt_tui(workspace, "status", "tiny-gpt2").stdout
    sample = gpt_tui(workspace, "sample", "tiny-gpt2", "--prompt", "Once", "--tokens", "5", "--json")
    assert json.loads(sample.stdout)["step"] == 0
    short = ["training.threads=1", "sampling.every=0", "--steps", "2"]
    started = gpt_tui(workspace, "train", "--init-from", "tiny-gpt2", "--corpus", "tiny", "--name", "tuned", *short)
    assert started.returncode == 0, started.stderr
    (run,) = (workspace / "runs").glob("*tiny-gpt2")
    again = gpt_tui(workspace, "train", "--config", str(run / "config.toml"), "--dry-run")
    assert again.returncode == 0 and f'init_from = "{run}' in again.stdout, again.stderr
    resumed = gpt_tui(workspace, "train", "--resume", "tiny-gpt2", *short)
    assert resumed.returncode == 0, resumed.stderr
    assert {row["step"] for row in json.loads(gpt_tui(workspace, "runs", "--json").stdout)} == {2}


def test_export_and_import_print_json_and_keep_the_weights(workspace: Path, tmp_path: Path) -> None:
    source = gpt_tui(workspace, "import", "tiny gpt2", "--name", "other", "--json")
    made = json.loads(source.stdout)
    assert made["run"].endswith("-other") and made["preset"] == "gpt2"
    out = tmp_path / "deep" / "out"
    done = gpt_tui(workspace, "export", made["checkpoint"], str(out), "--json")
    facts = json.loads(done.stdout)
    assert facts["path"] == str(out) and facts["format"] == "gpt2" and facts["parameters"] == made["parameters"]
    names = {"README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}
    names |= {"tokenizer_config.json"}
    assert {path.name for path in out.iterdir()} == names
    assert (out / "model.safetensors").read_bytes() == (workspace / "tiny gpt2" / "model.safetensors").read_bytes()
    again = gpt_tui(workspace, "export", "other", str(out))
    assert again.returncode == 2 and "already exists and is not empty" in again.stderr and not again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "absent"], "is not a folder"),
        (["import", "runs"], "has no config.json"),
        (["import", "tiny gpt2", "--name", "../../x"], "is not a valid run name"),
        (["export", "absent", "out"], "no run matches 'absent'"),
        (["export", "runs/absent", "out"], "does not exist"),
    ],
)
def test_user_errors_exit_with_code_2(workspace: Path, arguments: list[str], message: str) -> None:
    done = gpt_tui(workspace, *arguments)
    assert done.returncode == 2 and message in done.stderr and not done.stdout
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (workspace / "out").exists()


def test_commands_do_not_import_torch() -> None:
    code = (
        "import sys, tui_gpt.cli.subcommands.model_transfer;"
        "print([name for name in ('torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stderr
