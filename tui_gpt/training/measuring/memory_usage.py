"""What a process holds and could hold, on whatever device: what decides whether a larger micro-batch is tried."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import torch
from torch import nn

from tui_gpt import hardware


def peak_bytes(device: torch.device) -> int:
    """The most that was held at once: allocated on a GPU, else resident (of this program, not of what it was forked
    from, which getrusage counts on Linux).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def limit_bytes(device: torch.device) -> int:
    """All that this process could hold: what it has, and what is free."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    import psutil

    return psutil.Process().memory_info().rss + hardware.host().memory_free_bytes


def free_memory(model: nn.Module) -> None:
    """Let go of what a step left behind: gradients, and blocks that the allocator keeps."""
    model.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
