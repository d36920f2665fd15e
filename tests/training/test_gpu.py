"""Tests that need a CUDA device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.live import ended, losses, resume, start
from tui_gpt.config import ModelConfig
from tui_gpt.model import GPT

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def test_a_run_on_cuda_uses_half_precision_and_records_its_gpu(tmp_path: Path) -> None:
    folder = start(tmp_path, "training.duration=60", "training.compile=off")
    status = ended(folder)
    assert status.state == "finished", status.message
    assert status.gpu_uuid.startswith("GPU-")
    info, lines = folder.read_info(), folder.read_metrics()
    assert info is not None and info.precision in ("bf16", "fp16")
    assert [line.step for line in lines] == list(range(1, 61))
    assert lines[-1].loss < lines[0].loss and lines[-1].memory_bytes > 0


def test_a_compiled_run_resumes_where_it_stopped(tmp_path: Path) -> None:
    folder = start(tmp_path, "training.duration=40", "training.compile=on", "model.dropout=0", stop_at=20)
    assert ended(folder).step == 20
    resume(folder)
    assert ended(folder).state == "finished"
    assert sorted(losses(folder)) == list(range(1, 41))


def test_document_masks_with_grouped_queries_use_a_kernel_without_scores_in_memory() -> None:
    model = GPT(ModelConfig(n_layer=1, n_head=8, n_kv_head=2, n_embd=512, context_length=4096), 64).cuda().bfloat16()
    tokens = torch.randint(0, 64, (4, 4096), device="cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    model(tokens, tokens, documents=torch.zeros_like(tokens)).backward()
    scores = 4 * 8 * 4096**2 * 2  # bytes of one T×T matrix for each head
    assert torch.cuda.max_memory_allocated() - before < scores
