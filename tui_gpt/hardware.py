"""The machine's hardware: GPUs through NVML, the host, and peak compute rates. No torch here.

Peak rates are the vendors' dense figures (without sparsity) in FLOP/s. MFU is measured against them; a GPU that is not
listed has no MFU rather than a wrong one.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
    """Return the NVIDIA GPUs in NVML's order, and MIG instances in place of a GPU that is divided. Never raises.

    The list is empty without a driver. What NVML does not tell is left out or 0: it may lack the privilege (MIG), the
    notion (memory that is shared with the host), or its version may not match the driver's.
    """
    with _nvml() as nvml:
        if nvml is None:
            return []
        found: list[Gpu] = []
        for number in range(_ask(nvml.nvmlDeviceGetCount) or 0):
            card = _ask(nvml.nvmlDeviceGetHandleByIndex, number)
            if card is None:
                continue
            instances = _mig_instances(nvml, card)
            found += [gpu for handle in instances or [card] if (gpu := _read_gpu(nvml, handle, len(found)))]
        return found


def driver_version() -> str:
    """Return the version of the NVIDIA driver, empty without one."""
    with _nvml() as nvml:
        return _text(_ask(nvml.nvmlSystemGetDriverVersion) or "") if nvml is not None else ""


@contextmanager
def _nvml() -> Iterator[Any]:
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no driver, another version of it, or a broken installation
        yield None
        return
    try:
        yield pynvml
    finally:
        _ask(pynvml.nvmlShutdown)


def _ask(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the answer of NVML, None if it has none."""
    try:
        return function(*arguments)
    except Exception:  # NVMLError, or a function that the driver's library lacks
        return None


def _mig_instances(nvml: Any, card: Any) -> list[Any]:
    mode = _ask(nvml.nvmlDeviceGetMigMode, card)
    if not mode or not mode[0]:
        return []
    numbers = range(_ask(nvml.nvmlDeviceGetMaxMigDeviceCount, card) or 0)
    handles = [_ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, card, number) for number in numbers]
    return [handle for handle in handles if handle is not None]


def _read_gpu(nvml: Any, handle: Any, index: int) -> Gpu | None:
    uuid = _ask(nvml.nvmlDeviceGetUUID, handle)
    if uuid is None:
        return None
    memory = _ask(nvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _ask(nvml.nvmlDeviceGetUtilizationRates, handle)
    power = _ask(nvml.nvmlDeviceGetPowerUsage, handle)
    return Gpu(
        index=index,
        uuid=_text(uuid),
        name=_text(_ask(nvml.nvmlDeviceGetName, handle) or "NVIDIA GPU"),
        memory_used_bytes=int(memory.used) if memory else 0,
        memory_total_bytes=int(memory.total) if memory else 0,
        utilisation=rates.gpu / 100 if rates else None,
        temperature_celsius=_ask(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
        power_watts=power / 1000 if power is not None else None,
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def visible_gpus(known: list[Gpu], mask: str | None = None) -> list[Gpu]:
    """Return the GPUs that this process may use, numbered from 0 as CUDA does.

    mask: as in CUDA_VISIBLE_DEVICES (None: of this process): numbers, UUIDs or their beginnings, up to the first that
    does not exist; empty: none. A UUID that NVML does not show, as of a MIG instance, is taken on trust.
    """
    mask = os.environ.get("CUDA_VISIBLE_DEVICES") if mask is None else mask
    if mask is None:
        return known
    found: list[Gpu] = []
    for entry in (part.strip() for part in mask.split(",")):
        if entry.isdigit():
            gpu = known[int(entry)] if int(entry) < len(known) else None
        elif entry.startswith(("GPU-", "MIG-")):
            gpu = next((gpu for gpu in known if gpu.uuid.startswith(entry)), None) or _unseen_gpu(entry)
        else:
            gpu = None
        if gpu is None:
            break
        found.append(replace(gpu, index=len(found)))
    return found


def _unseen_gpu(uuid: str) -> Gpu:
    return Gpu(0, uuid, "NVIDIA GPU", 0, 0, None, None, None)


def choose_gpu(device: str, available: list[Gpu], in_use: Collection[str] = ()) -> Gpu | None:
    """Return the GPU that `training.device` selects, None if it selects no NVIDIA GPU.

    For `auto` and `cuda`, the one with the most free memory among those that are not in use. available: of
    `visible_gpus`. in_use: UUIDs of GPUs that others use. Raises ConfigError for a GPU that does not exist; a UUID is
    taken on trust where NVML shows no GPU.
    """
    if device in ("cpu", "mps") or (device in ("auto", "cuda") and not available):
        return None
    if device in ("auto", "cuda"):
        free = [gpu for gpu in available if gpu.uuid not in in_use] or available
        return max(free, key=lambda gpu: gpu.memory_free_bytes)
    for gpu in available:
        if device in (gpu.uuid, f"cuda:{gpu.index}"):
            return gpu
    if not available and device.startswith(("GPU-", "MIG-")) and "CUDA_VISIBLE_DEVICES" not in os.environ:
        return _unseen_gpu(device)
    names = ", ".join(f"cuda:{gpu.index} {gpu.name} {gpu.uuid}" for gpu in available) or "no NVIDIA GPU"
    raise ConfigError(f'training.device = "{device}" is not on this machine', do=f"Available: {names}")


# ── locks ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def take_gpu(device: str, available: list[Gpu]) -> tuple[Gpu | None, int | None]:
    """Choose a GPU as `choose_gpu` does, and lock it. Return it, and the file descriptor of its lock.

    Of two runs of one user that start together each thus gets its own card. The lock is free once every process that
    holds the descriptor has ended, however it ended. A card is shared, without a lock (None), where `device` names it,
    or where all are in use.
    """
    taken: set[str] = set()
    while (gpu := choose_gpu(device, available, taken)) is not None:
        if gpu.uuid in taken:
            return gpu, None
        lock = _lock_gpu(gpu.uuid)
        if lock is not None:
            return gpu, lock
        taken.add(gpu.uuid)
    return None, None


def gpus_in_training(known: list[Gpu]) -> set[str]:
    """Return the UUIDs of the GPUs that runs of this user have locked, in any workspace."""
    found = set()
    for gpu in known:
        lock = _lock_gpu(gpu.uuid, shared=True)
        if lock is None:
            found.add(gpu.uuid)
        else:
            os.close(lock)
    return found


def avoid_gpus_in_training() -> None:
    """Hide the GPUs that runs of this user train on from this process. Call before CUDA is initialized."""
    known = gpus()
    available = visible_gpus(known)
    busy = gpus_in_training(available)
    if busy:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.uuid for gpu in available if gpu.uuid not in busy)


def _lock_gpu(uuid: str, *, shared: bool = False) -> int | None:
    """Lock the card for this process and those that inherit the descriptor; None if another one holds it."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "gpt-tui", "gpus")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder / f"{uuid.replace('/', '_')}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # a home that cannot be written: nothing can be locked, and nothing is
        return os.open(os.devnull, os.O_RDONLY)
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:  # a file system without locks
        pass
    return fd


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
