"""Device, precision, threads and compilation of a run."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from tui_gpt import hardware
from tui_gpt.config import TrainingConfig
from tui_gpt.errors import ConfigError


@dataclass(frozen=True)
class Compute:
    """The resolved settings. note: why something that was configured, or is usual, is off; else empty."""

    device: torch.device
    precision: Literal["fp32", "bf16", "fp16"]
    threads: int
    compile: bool
    name: str
    note: str = ""

    def autocast(self) -> AbstractContextManager:
        """Return the autocast context of the precision."""
        if self.precision == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype)

    def scaler(self) -> torch.amp.GradScaler:
        """Return a gradient scaler, which is enabled in fp16 only."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def peak_flops(self) -> float | None:
        """Return the peak FLOP/s of the GPU by its data sheet, or None when it is not known, as for a part of one."""
        is_whole = self.device.type == "cuda" and " MIG " not in self.name
        return hardware.peak_flops(self.name, self.precision) if is_whole else None

    def memory_bytes(self) -> Callable[[], int]:
        """Return a function that reads the peak GPU memory or, on the CPU, the resident memory of the process."""
        if self.device.type == "cuda":
            return partial(torch.cuda.max_memory_allocated, self.device)
        import psutil

        process = psutil.Process()
        return lambda: process.memory_info().rss


def choose_compute(config: TrainingConfig) -> Compute:
    """Resolve device, precision, threads and compilation. Raise ConfigError for what this machine lacks."""
    device = _device(config.device)
    precision = _precision(config.precision, device)
    threads = config.threads or hardware.cores()
    torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32 for what stays in fp32
        name = torch.cuda.get_device_name(device)
    else:
        name = hardware.host().cpu if device.type == "cpu" else "Apple GPU (MPS)"
    compiled, note = _compile(config.compile, device)
    return Compute(device, precision, threads, compiled, name, note)


def _device(name: str) -> torch.device:
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    kind = "cuda" if name.startswith(("cuda", "GPU-", "MIG-")) else name
    if kind == "cuda" and not cuda:
        problem = "this PyTorch is built without CUDA" if torch.version.cuda is None else "no CUDA device was found"
        raise ConfigError(f'training.device = "{name}", but {problem}', do="Use auto or cpu, or see `gpt-tui doctor`")
    if kind == "mps" and not mps:
        raise ConfigError('training.device = "mps", but Metal is not available here', do="Use auto or cpu")
    if kind not in ("cpu", "cuda", "mps"):
        raise ConfigError(f'training.device = "{name}" is unknown', do="Use auto, cpu, mps, cuda, cuda:N or a UUID")
    return torch.device(kind)  # the supervisor made only the chosen GPU visible


def _precision(name: str, device: torch.device) -> Literal["fp32", "bf16", "fp16"]:
    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        if name == "auto":
            return "bf16" if has_bf16 else "fp16"
        if name == "bf16" and not has_bf16:
            raise ConfigError('training.precision = "bf16", but this GPU does not support it', do="Use fp16 or auto")
    if name == "fp16" and device.type == "cpu":
        raise ConfigError('training.precision = "fp16" needs a GPU', do="Use fp32, bf16 or auto on the CPU")
    return "fp32" if name == "auto" else name  # type: ignore[return-value]


def _compile(mode: str, device: torch.device) -> tuple[bool, str]:
    """Return whether to compile, and the reason when a compilation that one would expect is off."""
    if mode == "off" or (mode == "auto" and device.type != "cuda"):
        return False, ""
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return False, "torch.compile is off: Triton is not installed"
    if not (shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")):
        return False, "torch.compile is off: no C compiler was found"
    return True, ""
