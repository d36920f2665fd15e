"""A full checkpoint of GPT-2 124M: how long the step waits for it, and how long its verification takes.

python -m tests.bench.checkpoints [--preset gpt2]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from tests.bench.peers import report
from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import TrainingProgress, load_state, optimizer_tensors, take_snapshot, write_checkpoint
from tui_gpt.config import build
from tui_gpt.corpora.tokenizers.build import make_tokenizer
from tui_gpt.model import GPT
from tui_gpt.training.optimizers import make_optimizers, update


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="gpt2")
    arguments = parser.parse_args()
    config = build({"preset": arguments.preset})
    model = GPT(config.model, 50257)
    optimizers = make_optimizers(model, config.optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    update(optimizers, torch.zeros(()))
    tensors = [*model.state_dict().values(), *optimizer_tensors(model, optimizers).values()]
    [tensor.clone() for tensor in tensors]  # both sides find warm memory
    started = time.perf_counter()
    copies = [tensor.clone() for tensor in tensors]
    copying = time.perf_counter() - started
    del copies
    tokenizer = make_tokenizer("byte", iter(["text"]), lambda *_: None)
    progress = TrainingProgress(step=1, tokens=1, elapsed_seconds=1.0)
    started = time.perf_counter()
    snapshot = take_snapshot("full", config, tokenizer.to_json(), model, optimizers, progress)
    stall = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        path = write_checkpoint(snapshot, Path(folder, "checkpoints"), lambda: None)
        writing = time.perf_counter() - started
        started = time.perf_counter()
        manifest.verify(path)
        verifying = time.perf_counter() - started
        started = time.perf_counter()
        load_state(path, model, optimizers)
        loading = time.perf_counter() - started
    report(
        "checkpoint", preset=arguments.preset, gigabytes=round(sum(tensor.nbytes for tensor in tensors) / 1e9, 2),
        stall_seconds=round(stall, 2), bare_copy_seconds=round(copying, 2), write_seconds=round(writing, 2),
        verify_seconds=round(verifying, 2), verify_and_load_seconds=round(loading, 2),
    )  # fmt: skip


if __name__ == "__main__":
    main()
