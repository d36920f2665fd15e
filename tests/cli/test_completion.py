"""Completion of commands, runs, checkpoints, corpora and config keys."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tui_gpt.checkpoints import manifest
from tui_gpt.cli import completion
from tui_gpt.cli.root import COMMANDS, gpt_tui
from tui_gpt.config import PRESETS, fields
from tui_gpt.run.folder import RunFolder, take_lock

RUNS = ("20260101-120000-pico-a", "20260102-120000-pico-b", "20260103-120000-nano")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs, the first with a checkpoint, and a corpus; the current folder."""
    for name in RUNS:
        for folder in ("commands", "checkpoints"):
            (tmp_path / "runs" / name / folder).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.toml").touch()
    step = manifest.step_folder(tmp_path / "runs" / RUNS[0] / "checkpoints", 500)
    step.mkdir()
    made = manifest.Manifest(kind="full", step=500, tokens=1, vocab_size=2, parameters=3, files={}, val_loss=1.5)
    (step / manifest.MANIFEST).write_bytes(msgspec.json.encode(made.sealed()))
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "whale.txt").write_text("Call me Ishmael.")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def live_run(workspace: Path) -> Iterator[str]:
    fd = take_lock(RunFolder(workspace / "runs" / RUNS[1]))
    yield RUNS[1]
    os.close(fd)


def complete(*words: str) -> list[str]:
    """Return the words that complete the last of `words`, or `<file>` or `<dir>` where the shell completes a path."""
    shell = completion.Bash(gpt_tui, {}, completion.PROGRAM, completion.VARIABLE)
    items = shell.get_completions(list(words[:-1]), words[-1])
    return [item.value if item.type == "plain" else f"<{item.type}>" for item in items]


def test_commands_are_completed_without_importing_their_modules() -> None:
    assert complete("") == list(COMMANDS)
    assert complete("co") == ["corpus", "completion"]
    assert {"fetch", "prepare"} <= set(complete("corpus", ""))
    code = """
import os, sys
os.environ |= {"_GPT_TUI_COMPLETE": "bash_complete", "COMP_LINE": sys.argv[1]}
sys.argv = ["gpt-tui"]
from tui_gpt.cli import main
try:
    main()
except SystemExit as end:
    assert end.code == 0
print([name for name in ("torch", "numpy", "textual", "rich", "tui_gpt.launch") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code, "gpt-tui at"], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["plain,attach", "[]"] and not done.stderr


def test_runs_are_completed_by_their_beginning_or_any_part_of_one(workspace: Path) -> None:
    newest_first = list(reversed(RUNS))
    assert complete("status", "") == complete("status", "2026") == newest_first
    assert complete("logs", "nano") == complete("train", "--resume", "nano") == [RUNS[2]]
    assert complete("status", "pico") == []  # of two runs, and no word begins with it
    assert complete("plot", RUNS[0], "") == newest_first[:2]
    assert complete("--workspace", str(workspace / "corpus"), "status", "") == []


def test_only_runs_that_the_command_can_act_on_are_completed(workspace: Path, live_run: str) -> None:
    for name in ("pause", "stop", "checkpoint", "kill", "attach", "wait"):
        assert complete(name, "") == [live_run]
    for name in ("delete", "rename"):
        assert complete(name, "") == [RUNS[2], RUNS[0]]


def test_checkpoints_are_completed_where_a_path_has_begun(workspace: Path) -> None:
    checkpoint = f"runs/{RUNS[0]}/checkpoints/step-00000500"
    for command in ("sample", "eval", "export"):
        assert complete(command, "runs/") == complete(command, f"runs/{RUNS[0]}/checkpoints/s") == [checkpoint]
    assert complete("train", "--init-from", f"{workspace}/runs/") == [str(workspace / checkpoint)]
    assert complete("sample", "other/") == ["<dir>"]
    assert complete("sample", "pico-b") == [RUNS[1]]


def test_corpora_that_are_here_are_completed_and_those_elsewhere_for_fetch(workspace: Path) -> None:
    assert {"stories", "tiny", "pydocs", "whale"} <= set(complete("corpus", "info", ""))
    assert complete("train", "--corpus", "wh") == ["whale"]
    assert complete("train", "--corpus", "./wh") == complete("train", "--corpus", "book") == ["<file>"]
    fetched = complete("corpus", "fetch", "")
    assert {"tinystories", "gutenberg:"} <= set(fetched) and "stories" not in fetched


def test_overrides_are_completed_from_the_section_to_the_value(workspace: Path) -> None:
    assert {"model.", "data.", "preset="} <= set(complete("train", ""))
    keys = {f"{key}=" for key in fields()}
    assert set(complete("bench", "model.")) == {key for key in keys if key.startswith("model.")}
    assert complete("train", "model.n_la") == complete("train", "n_lay") == ["model.n_layer=", "model.n_layer=4"]
    assert complete("train", "model.tied=") == ["model.tied=true", "model.tied=false"]
    assert complete("train", "optimizer.name=m") == ["optimizer.name=muon"]
    assert complete("train", "training.device=c") == ["training.device=cpu", "training.device=cuda"]
    assert complete("train", "data.corpus=wh") == ["data.corpus=whale"]
    assert "data.tokenizer=bpe:1024" in complete("train", "data.tokenizer=b")
    assert complete("train", "preset=") == [f"preset={name}" for name in PRESETS]
    assert "model.n_layer=" not in complete("train", "model.n_layer=6", "model.")
    assert complete("train", "no.such=") == []


def test_no_word_is_completed_alone_that_more_can_follow(workspace: Path) -> None:
    for typed in ("", "m", "mo", "model.", "model.n_layer", "sampling.t", "preset", "bet"):
        words = complete("train", typed)
        assert len(words) != 1 or not words[0].endswith((".", "="))


def test_presets_choices_and_options_are_completed(workspace: Path) -> None:
    assert complete("train", "--config", "") == list(PRESETS)
    assert complete("bench", "--config", "my.to") == ["<file>"]
    assert complete("plot", "--metric", "l") == ["loss", "learning_rate"]
    assert "--dry-run" in complete("train", "--")
    assert complete("--workspace", "") == ["<dir>"]
    assert complete("completion", "") == list(completion.SHELLS)


def test_names_that_would_break_the_shell_are_left_out(workspace: Path) -> None:
    (workspace / "corpus" / "two\nlines.txt").write_text("x")
    (workspace / "corpus" / "bell\x07.txt").write_text("x")
    assert complete("corpus", "info", "two") == complete("corpus", "info", "bell") == ["<file>"]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_scripts_call_the_program_and_completion_prints_no_help(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert complete("train", "--help-config", "model.n_la")
    assert not capsys.readouterr().out
    script = completion.script(shell)
    assert completion.VARIABLE in script and completion.PROGRAM in script


@pytest.mark.parametrize("line", ["gpt-tui status ", "gpt-tui trian x", "gpt-tui --workspace /dev/null/x status "])
def test_nothing_reaches_the_prompt_when_completion_fails(
    line: str, workspace: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(workspace / "runs")
    (workspace / "runs").symlink_to(workspace / "runs")  # a folder that nobody can read, root included
    monkeypatch.setenv("COMP_LINE", line)
    completion.answer("bash_complete")
    monkeypatch.delenv("COMP_LINE")
    completion.answer("bash_complete")
    completion.answer("nonsense")
    out, err = capfd.readouterr()
    assert not err and not out.strip()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_real_bash_completes_across_its_word_breaks(workspace: Path) -> None:
    program = workspace / "bin" / "gpt-tui"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tui_gpt "$@"\n')
    program.chmod(0o755)
    lines = [
        ("gpt-tui stat", "status"),
        ("gpt-tui train model.architecture=g", "gpt2"),
        ("gpt-tui train data.tokenizer=bpe:4", "4096"),
        ("gpt-tui --workspace . sample nano", RUNS[2]),
    ]
    script = 'eval "$(gpt-tui completion bash)"; complete -p gpt-tui >&2\n' + "".join(
        f"COMP_LINE='{line}' COMP_POINT={len(line)}; _gpt_tui_completion gpt-tui; echo \"${{COMPREPLY[*]}}\"\n"
        for line, _ in lines
    )
    path = f"{program.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=100, env=os.environ | {"PATH": path}
    )
    assert done.stdout.splitlines() == [reply for _, reply in lines]
    assert done.stderr.strip() == "complete -o nosort -F _gpt_tui_completion gpt-tui"
