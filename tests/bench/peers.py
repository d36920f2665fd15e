"""Runs to compare: ours through the command line, in a workspace of its own, and nanoGPT's by its own train.py."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tui_gpt.run.folder import RunFolder, list_runs

# nanoGPT's README: "I only have a macbook"
NANOGPT = (
    "config/train_shakespeare_char.py", "--device=cpu", "--compile=False", "--eval_iters=20", "--log_interval=1",
    "--block_size=64", "--batch_size=12", "--n_layer=4", "--n_head=4", "--n_embd=128", "--dropout=0.0",
)  # fmt: skip

# The same hyperparameters, on our GPT-2
AS_NANOGPT = (
    "model.architecture=gpt2", "model.tied=true", "model.context_length=64", "model.n_layer=4", "model.n_head=4",
    "model.n_embd=128", "model.mlp=gelu", "data.tokenizer=char", "data.mode=random", "training.micro_batch_size=12",
    "optimizer.name=adamw", "optimizer.learning_rate=1e-3", "optimizer.beta1=0.9", "optimizer.beta2=0.99",
    "optimizer.weight_decay=0.1", "optimizer.grad_clip=1", "optimizer.embedding_lr_ratio=1",
    "optimizer.width_scaling=false", "schedule.name=cosine", "schedule.warmup_steps=100", "schedule.min_lr_ratio=0.1",
    "sampling.every=0", "training.eval_every=250", "training.eval_tokens=15360",
)  # fmt: skip

_EVALUATE = """
import sys, numpy as np, torch
sys.path.insert(0, ".")
from model import GPT, GPTConfig
saved = torch.load("out-bench/ckpt.pt", map_location="cpu", weights_only=True)
model = GPT(GPTConfig(**saved["model_args"]))
model.load_state_dict(saved["model"])
model.eval()
tokens = torch.from_numpy(np.fromfile("data/shakespeare_char/val.bin", dtype=np.uint16).astype(np.int64))
count = (len(tokens) - 1) // 64
inputs, targets = tokens[: count * 64].view(count, 64), tokens[1 : count * 64 + 1].view(count, 64)
with torch.no_grad():
    losses = [model(x, y)[1].item() * len(x) for x, y in zip(inputs.split(64), targets.split(64))]
print("whole", sum(losses) / count)
"""


@dataclass
class Result:
    """seconds: the whole command, start-up included. val_loss: nats per token over the whole validation split."""

    seconds: float
    tokens_per_second: float
    val_loss: float


def nanogpt(checkout: Path, steps: int, *, seed: int = 1337) -> Result:
    """nanoGPT's laptop recipe for `steps`; its data must have been prepared. Its checkpoint is then scored whole."""
    options = (*NANOGPT, f"--max_iters={steps}", f"--lr_decay_iters={steps}", "--out_dir=out-bench")
    started = time.perf_counter()
    command = [sys.executable, "train.py", *options, "--always_save_checkpoint=True"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    milliseconds = [float(found) for found in re.findall(r"time ([\d.]+)ms", done.stdout)]
    scored = subprocess.run(
        [sys.executable, "-c", _EVALUATE], cwd=checkout, capture_output=True, text=True, check=True
    ).stdout
    return Result(seconds, 768e3 / statistics.median(milliseconds), float(scored.split("whole ")[1].split()[0]))


def ours(corpus: Path | str, steps: int, *overrides: str) -> Result:
    """`gpt-tui train` on `corpus` in an empty workspace, supervised, with metrics, evaluations and checkpoints."""
    with tempfile.TemporaryDirectory() as workspace:
        command = [
            sys.executable, "-c", "from tui_gpt.cli import main; main()",
            "train", "--workspace", workspace, "--corpus", str(corpus), "--steps", str(steps), *overrides, "--json",
        ]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(command, cwd=workspace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        seconds = time.perf_counter() - started
        (folder,) = list_runs(Path(workspace, "runs"))
        speeds = [line.tokens_per_second for line in folder.read_metrics()]
        return Result(seconds, statistics.median(speeds), last_val_loss(folder))


def last_val_loss(folder: RunFolder) -> float:
    last = folder.read_evals()[-1]
    assert last.whole and last.val_loss is not None
    return last.val_loss


def machine() -> str:
    """What the figures were taken on."""
    from tui_gpt import hardware

    host = hardware.host()
    return f"{host.cpu}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}"


def report(name: str, **figures: object) -> None:
    """One line of JSON, to be read or pasted into the table."""
    print(json.dumps({"bench": name, "machine": machine(), **figures}, ensure_ascii=False))
