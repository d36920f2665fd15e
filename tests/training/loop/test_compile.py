"""torch.compile on the CPU, by a backend that needs no C++ compiler: the numbers of eager, and no recompilation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo import lookup_backend

from tests.live import SMALL
from tests.training.loop.test_step import train_step
from tui_gpt.config import ModelConfig, override
from tui_gpt.model import GPT
from tui_gpt.training.compute import Compute
from tui_gpt.training.data.batches import MicroBatch, StepBatch, to_device
from tui_gpt.training.loop.engine import Engine, build_engine, reset_compilation
from tui_gpt.training.run_setup import prepare_run

CPU = torch.device("cpu")


class CountingBackend:
    """The backend `aot_eager`, which traces and differentiates like the compiler, and how often it was called."""

    def __init__(self) -> None:
        self.compilations = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        self.compilations += 1
        return lookup_backend("aot_eager")(graph, inputs)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> CountingBackend:
    """Make torch.compile use a counting backend."""
    torch.compiler.reset()
    found = CountingBackend()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=found))
    return found


def micro_batches(accumulation: int, *, with_documents: bool) -> list[MicroBatch]:
    """Return a step of 4 sequences, some of whose targets are ignored."""
    random = np.random.default_rng(0)
    tokens = random.integers(0, 50, (4, 17))
    targets = np.where(random.random((4, 16)) < 0.1, -1, tokens[:, 1:])
    documents = np.cumsum(tokens[:, :-1] < 8, axis=1) if with_documents else None
    return to_device(StepBatch(tokens[:, :-1], targets, documents), accumulation, CPU)


@pytest.mark.parametrize(
    ("accumulation", "with_documents", "model"),
    [
        (1, False, {"architecture": "gpt2", "tied": True}),
        (2, True, {"architecture": "gpt2", "tied": False}),
        (2, False, {"tied": False}),
        (1, True, {"tied": True, "n_kv_head": 1}),
        (2, True, {"tied": False, "n_kv_head": 2, "value_embeddings": True, "mlp": "swiglu"}),
    ],
)
def test_compiled_in_one_graph_a_step_has_the_loss_and_gradients_of_eager(
    backend: CountingBackend, accumulation: int, with_documents: bool, model: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    gpt = GPT(ModelConfig(n_layer=2, n_head=4, n_embd=32, context_length=16, **model), 50)
    with torch.no_grad():  # projections that start at zero would hide what attention does
        for parameter in gpt.parameters():
            parameter.normal_(std=0.2)
    step, batch = train_step(gpt), micro_batches(accumulation, with_documents=with_documents)
    found = []
    for compiled in (None, torch.compile(gpt, fullgraph=True, dynamic=False)):
        gpt.zero_grad()
        step.compiled = compiled
        loss = step.compute_gradients(1, batch)
        found.append([loss, *(parameter.grad for parameter in gpt.parameters())])
    assert backend.compilations == 1
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-5) and other.abs().max() > 0


def compiled_engine(workspace: Path) -> Engine:
    asked = override({}, [*SMALL, "training.micro_batch_size=4", "training.accumulation_steps=1"])
    prepared = prepare_run(asked, workspace / "corpus", lambda *_: None)
    return build_engine(prepared.config, prepared.shards, Compute(CPU, "fp32", 1, compile=True, name=""))


def test_fifty_steps_compile_once_and_a_split_micro_batch_once_more(tmp_path: Path, backend: CountingBackend) -> None:
    engine = compiled_engine(tmp_path)

    def train(steps: range, accumulation: int) -> None:
        for step in steps:
            batch = to_device(engine.batches.batch(step), accumulation, CPU)
            loss = engine.train_step.compute_gradients(step, batch)
            engine.train_step.apply_update(step, loss, 1e-3 / step)

    train(range(1, 51), accumulation=1)
    assert backend.compilations == 1
    reset_compilation(engine.train_step)
    train(range(51, 101), accumulation=2)
    assert backend.compilations == 2
