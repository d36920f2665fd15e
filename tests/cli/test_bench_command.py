"""`gpt-tui bench` as a user runs it: plausible figures, one-line errors, and no files left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.cli.test_cli import gpt_tui
from tests.live import SMALL, until
from tui_gpt.cli.root import gpt_tui as cli
from tui_gpt.config import override
from tui_gpt.run.messages import BatchSizeSearchResult, BatchSizeTrial


def left_in(workspace: Path) -> list[str]:
    return sorted(path.name for path in workspace.iterdir())


def test_json_is_a_flat_object_with_plausible_values_and_no_files_are_left(tmp_path: Path) -> None:
    done = gpt_tui(tmp_path, "bench", *SMALL, "--steps", "6", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not any(isinstance(value, dict) for value in found.values())
    assert found["precision"] == "fp32" and found["compiled"] is False and found["threads"] == 1
    assert found["corpus"] == "tiny" and found["parameters"] > 1000 and found["notes"] == []
    assert (found["micro_batch_size"], found["accumulation_steps"], found["tokens_per_step"]) == (2, 2, 64)
    assert found["steps"] == 6
    assert 0 < found["step_p5_ms"] <= found["step_p50_ms"] <= found["step_p95_ms"]
    assert found["tokens_per_second"] == pytest.approx(64_000 / found["step_p50_ms"])
    assert 0 < found["mfu"] < 1 and found["peak_source"] == "measured matrix product"
    assert 50e6 < found["memory_peak_bytes"] < found["memory_limit_bytes"]
    assert found["data_wait_share"] > 0 and found["optimizer_share"] > 0
    assert found["data_wait_share"] + found["optimizer_share"] < 1
    assert found["checkpoint_stall_ms"] > 0 and found["checkpoint_write_ms"] > 0
    assert found["checkpoint_bytes"] > 2 * 4 * found["parameters"]  # weights, and a moment of each
    assert found["generation_tokens_per_second"] > 0 and found["doubling_gain"] > 0
    assert found["verdict"].partition(":")[0] in ("compute-bound", "overhead-bound", "data-bound", "memory nearly full")
    assert left_in(tmp_path) == ["corpus"]


SEARCHED = BatchSizeSearchResult(
    device="a [card]",
    precision="bf16",
    compiled=True,
    threads=4,
    preset="nano",
    corpus="stories",
    parameters=12_000_000,
    context_length=256,
    notes=("something was left out",),
    sizes=(
        BatchSizeTrial(
            micro_batch_size=4,
            accumulation_steps=2,
            fits=True,
            pass_ms=10.0,
            tokens_per_second=102_400.0,
            memory_peak_bytes=3 * 2**30,
        ),
        BatchSizeTrial(micro_batch_size=8, accumulation_steps=1, fits=False),
    ),
    largest_micro_batch_size=4,
    ended_by="memory",
    reason="micro_batch_size 8 runs out of memory",
    recommended_micro_batch_size=4,
    recommended_accumulation_steps=2,
    overrides="training.micro_batch_size=4 training.accumulation_steps=2",
    tokens_per_step=2048,
    overrides_keeping_step="training.micro_batch_size=4 training.accumulation_steps=2",
)


def test_find_batch_prints_every_size_why_it_ended_and_valid_overrides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        "tui_gpt.cli.subcommands.bench_command.call_torch_process",
        lambda entry, *arguments, **_: asked.append(entry) or SEARCHED,
    )
    command = ["--workspace", str(tmp_path), "bench", "--find-batch", *SMALL]
    printed = CliRunner().invoke(cli, command, env={"COLUMNS": "120"}).stdout
    assert asked == ["tui_gpt.training.measuring.benchmark:run_batch_size_search"]
    rows = [line.split() for line in printed.splitlines()]
    assert ["4", "2", "10.0", "102,400", "3.00", "GiB"] in rows and ["8", "1", "–", "does", "not", "fit", "–"] in rows
    assert "a [card], bf16, compiled, 4 threads" in printed and "something was left out" in printed
    assert "ended at 4, by memory: micro_batch_size 8 runs out of memory" in printed
    assert f"{SEARCHED.overrides} (same step: 2,048 tokens)" in printed
    override({}, SEARCHED.overrides.split())
    found = json.loads(CliRunner().invoke(cli, [*command, "--json"]).stdout)
    assert found["ended_by"] == "memory" and found["sizes"][1]["tokens_per_second"] is None


def test_ctrl_c_ends_the_benchmark_cleanly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tui_gpt", "--workspace", str(tmp_path), "bench", *SMALL, "--steps", "100000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and process.stdout is not None
        while "timing steps" not in next(process.stderr):
            pass
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        rest = process.stderr.read()
        assert "interrupted" in rest and "Traceback" not in rest and not process.stdout.read()
    until(lambda: left_in(tmp_path) == ["corpus"], "an empty workspace")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "absent"], "absent"),
        (["--corpus", "absent"], "absent"),
        (["model.n_layer=0"], "model.n_layer"),
        (["model.n_head=3"], "n_head"),
        (["nonsense=1"], "nonsense"),
        (["training.device=cuda:7"], "cuda:7"),
        (["training.precision=fp16", "training.device=cpu", "data.corpus=tiny"], "needs a GPU"),
        (["--find-batch", "--steps", "5"], "--steps cannot be used with --find-batch"),
    ],
)
def test_user_errors_exit_with_code_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = gpt_tui(tmp_path, "bench", *arguments)
    assert done.returncode == 2 and not done.stdout
    assert message in done.stderr.strip().splitlines()[-1] and "Traceback" not in done.stderr


def test_command_does_not_import_torch() -> None:
    code = (
        "import sys, tui_gpt.cli.subcommands.bench_command;"
        "print([name for name in ('torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stderr
