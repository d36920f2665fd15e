"""The machine's hardware: GPUs through NVML, the host, and peak compute rates. No torch here.

Peak rates are the vendors' dense figures (without sparsity) in FLOP/s. MFU is measured against them; a GPU that is not
listed has no MFU rather than a wrong one.
"""

from __future__ import annotations

import os
import platform
import re
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tui_gpt.errors import ConfigError

# model in NVML's name: (bf16 or fp16, tf32) FLOP/s
PEAK_FLOPS: dict[str, tuple[float, float]] = {
    "B200": (2250e12, 1125e12),
    "H200 NVL": (835e12, 417e12),
    "H200": (989e12, 494e12),
    "H100 NVL": (835e12, 417e12),
    "H100 PCIe": (756e12, 378e12),
    "H100": (989e12, 494e12),
    "GH200": (989e12, 494e12),
    "A100": (312e12, 156e12),
    "A800": (312e12, 156e12),
    "A40": (149.7e12, 74.8e12),
    "A30": (165e12, 82e12),
    "A10G": (70e12, 35e12),
    "A10": (125e12, 62.5e12),
    "L40S": (362e12, 183e12),
    "L40": (181e12, 90.5e12),
    "L4": (121e12, 60e12),
    "V100": (125e12, 15.7e12),
    "T4": (65e12, 8.1e12),
    "RTX 5090": (209.5e12, 104.8e12),
    "RTX 4090": (165.2e12, 82.6e12),
    "RTX 4080": (97.5e12, 48.7e12),
    "RTX 3090": (71e12, 35.6e12),
    "RTX 3080": (59.5e12, 29.8e12),
    "RTX A6000": (154.8e12, 77.4e12),
    "RTX 6000 Ada": (364.2e12, 182.1e12),
}
# Words of a name that do not tell models apart, but for boards of other speed, which have their own entry.
BRANDS_AND_MEMORY = re.compile(r"nvidia|tesla|geforce|generation|\d+gb?|hbm\d\w?", re.IGNORECASE)
BOARDS = re.compile(r"sxm\d?|pcie", re.IGNORECASE)


@dataclass(frozen=True)
class Gpu:
    """A GPU as NVML reports it now. Readings that it does not support are None."""

    index: int
    uuid: str
    name: str
    memory_used_bytes: int
    memory_total_bytes: int
    utilisation: float | None  # 0 to 1
    temperature_celsius: int | None
    power_watts: float | None

    @property
    def memory_free_bytes(self) -> int:
        return self.memory_total_bytes - self.memory_used_bytes


@dataclass(frozen=True)
class Host:
    """The machine and its resources for training on the CPU."""

    name: str
    system: str
    cpu: str
    cores: int  # physical, among those that this process may use
    memory_bytes: int
    memory_free_bytes: int


def gpus() -> list[Gpu]:
    """Return the NVIDIA GPUs in NVML's order, an empty list without a driver."""
    with _nvml() as nvml:
        if nvml is None:
            return []
        return [_read_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]


@contextmanager
def _nvml() -> Iterator[Any]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _read_gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)

    def query(name: str, *arguments: Any) -> Any:
        try:
            return getattr(nvml, name)(handle, *arguments)
        except nvml.NVMLError:  # not supported by this GPU
            return None

    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    rates = query("nvmlDeviceGetUtilizationRates")
    power = query("nvmlDeviceGetPowerUsage")
    return Gpu(
        index=index,
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        name=_text(nvml.nvmlDeviceGetName(handle)),
        memory_used_bytes=int(memory.used),
        memory_total_bytes=int(memory.total),
        utilisation=rates.gpu / 100 if rates else None,
        temperature_celsius=query("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        power_watts=power / 1000 if power is not None else None,
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def choose_gpu(device: str, available: list[Gpu], in_use: Collection[str] = ()) -> Gpu | None:
    """Return the GPU that `training.device` selects, None if it selects no NVIDIA GPU.

    For `auto` and `cuda`, the one with the most free memory among those that no live run uses. in_use: UUIDs of the
    GPUs that live runs use. Raises ConfigError for a GPU that does not exist.
    """
    if device in ("cpu", "mps") or (device in ("auto", "cuda") and not available):
        return None
    if device in ("auto", "cuda"):
        free = [gpu for gpu in available if gpu.uuid not in in_use] or available
        return max(free, key=lambda gpu: gpu.memory_free_bytes)
    for gpu in available:
        if device in (gpu.uuid, f"cuda:{gpu.index}"):
            return gpu
    names = ", ".join(f"cuda:{gpu.index} {gpu.name} {gpu.uuid}" for gpu in available) or "no NVIDIA GPU"
    raise ConfigError(f'training.device = "{device}" is not on this machine', do=f"Available: {names}")


def peak_flops(name: str, precision: str) -> float | None:
    """Return a GPU's peak FLOP/s in `precision` (bf16, fp16, or fp32, which runs as TF32), None if unknown.

    The whole model must match: an RTX A4000 is no A40, a laptop's card or a slice by MIG not the card itself.
    """
    words = [word for word in re.split(r"[ -]+", name) if not BRANDS_AND_MEMORY.fullmatch(word)]
    without_board = [word for word in words if not BOARDS.fullmatch(word)]
    known = {card.casefold(): peaks for card, peaks in PEAK_FLOPS.items()}
    for model in (words, without_board):
        if peaks := known.get(" ".join(model).casefold()):
            return peaks[1] if precision == "fp32" else peaks[0]
    return None


def host() -> Host:
    """Return the machine's hardware and free memory."""
    import psutil

    memory = psutil.virtual_memory()
    return Host(
        name=socket.gethostname(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu_name(),
        cores=cores(),
        memory_bytes=memory.total,
        memory_free_bytes=memory.available,
    )


def cores() -> int:
    """Return the physical cores that this process may use; `training.threads = 0` means this many."""
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))


@cache
def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def boot_id() -> str:
    """Return an id that changes when the machine restarts."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def logout_kills_processes() -> Literal["yes", "no", "unknown"]:
    """Return whether systemd kills this user's processes, detached runs too, when the login session ends.

    It does with `KillUserProcesses=yes` in logind.conf, unless lingering is enabled for the user (`man logind.conf`,
    `man loginctl`).
    """
    if not Path("/run/systemd/system").exists():
        return "no"
    user = os.environ.get("USER") or str(os.getuid())
    if Path("/var/lib/systemd/linger", user).exists():
        return "no"
    import shutil
    import subprocess

    if not shutil.which("busctl"):
        return "unknown"
    query = ["busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1"]
    query += ["org.freedesktop.login1.Manager", "KillUserProcesses"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return {"b true": "yes", "b false": "no"}.get(answer.stdout.strip(), "unknown")  # type: ignore[return-value]
