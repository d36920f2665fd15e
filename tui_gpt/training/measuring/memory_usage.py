"""Memory in use by this process and available to it, on any device."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import torch
from torch import nn

from tui_gpt import hardware


def peak_bytes(device: torch.device) -> int:
    """Return the peak memory: allocated on a GPU, else resident.

    On Linux it is read from /proc: getrusage would include the process that this one was forked from.
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
    """Return the memory that this process can use: what it has, and what is free."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    import psutil

    return psutil.Process().memory_info().rss + hardware.host().memory_free_bytes


def free_memory(model: nn.Module) -> None:
    """Free the gradients and the cached blocks of the allocator, and reset the peak."""
    model.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
