"""GPU selection by UUID, free memory, mask and lock; NVML that fails; and peak FLOP/s by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tui_gpt import hardware
from tui_gpt.errors import ConfigError
from tui_gpt.hardware import Gpu, choose_gpu, gpus_in_training, peak_flops, take_gpu, visible_gpus


def card(index: int, used: int) -> Gpu:
    return Gpu(index, f"GPU-{index}", "NVIDIA H100 80GB HBM3", used << 30, 80 << 30, 0.5, 40, 100.0)


CARDS = [card(0, 10), card(1, 2), card(2, 40)]


@pytest.mark.parametrize(
    ("device", "taken", "chosen"),
    [
        ("auto", (), "GPU-1"),
        ("cuda", ("GPU-1",), "GPU-0"),
        ("auto", ("GPU-0", "GPU-1", "GPU-2"), "GPU-1"),
        ("cuda:2", (), "GPU-2"),
        ("GPU-0", ("GPU-0",), "GPU-0"),
        ("cpu", (), None),
        ("mps", (), None),
    ],
)
def test_gpu_with_most_free_memory_or_the_named_one_is_chosen(
    device: str, taken: tuple[str, ...], chosen: str | None
) -> None:
    gpu = choose_gpu(device, CARDS, taken)
    assert (gpu.uuid if gpu else None) == chosen


def test_missing_gpu_is_rejected_with_those_available() -> None:
    with pytest.raises(ConfigError, match="Available: cuda:0 NVIDIA H100 80GB HBM3 GPU-0"):
        choose_gpu("cuda:7", CARDS)
    assert choose_gpu("auto", []) is None


@pytest.mark.parametrize(
    ("name", "bf16"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835e12),
        ("NVIDIA GH200 480GB", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A100-PCIE-40GB", 312e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA L40S", 362e12),
        ("Tesla V100-SXM2-16GB", 125e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
        ("NVIDIA RTX A6000", 154.8e12),
        ("NVIDIA RTX 6000 Ada Generation", 364.2e12),
        ("NVIDIA RTX A4000", None),
        ("NVIDIA A1000 Laptop GPU", None),
        ("NVIDIA RTX A1000", None),
        ("NVIDIA A400", None),
        ("NVIDIA T400", None),
        ("NVIDIA GB200", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce RTX 3080 Ti", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("Some Other Card", None),
    ],
)
def test_peak_flops_are_known_by_the_whole_model(name: str, bf16: float | None) -> None:
    assert peak_flops(name, "bf16") == bf16


def test_every_card_has_a_peak_and_fp32_runs_as_tf32() -> None:
    assert all(peak_flops(f"NVIDIA {card}", "bf16") == peaks[0] for card, peaks in hardware.PEAK_FLOPS.items())
    assert peak_flops("NVIDIA A100-SXM4-80GB", "fp32") == 156e12


def test_host_has_a_name_cores_and_memory() -> None:
    host = hardware.host()
    assert host.name and host.cpu and host.cores >= 1 and host.memory_bytes > host.memory_free_bytes > 0
    assert hardware.boot_id() == hardware.boot_id() != ""
    assert hardware.logout_kills_processes() in ("yes", "no", "unknown")


# ── CUDA_VISIBLE_DEVICES ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("mask", "visible"),
    [
        (None, ["GPU-0", "GPU-1", "GPU-2"]),
        ("", []),
        ("-1", []),
        ("2,0", ["GPU-2", "GPU-0"]),
        ("1, GPU-0", ["GPU-1", "GPU-0"]),
        ("0,7,1", ["GPU-0"]),
        ("GPU-2", ["GPU-2"]),
        ("MIG-41b36e5a-1", ["MIG-41b36e5a-1"]),
        ("MIG-GPU-0/3/0,1", ["MIG-GPU-0/3/0", "GPU-1"]),
        ("NoDevFiles", []),
    ],
)
def test_an_inherited_mask_is_never_widened(
    monkeypatch: pytest.MonkeyPatch, mask: str | None, visible: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if mask is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    found = visible_gpus(CARDS)
    assert [gpu.uuid for gpu in found] == visible
    assert [gpu.index for gpu in found] == list(range(len(visible)))
    for device in ("auto", "cuda"):
        chosen = choose_gpu(device, found)
        assert (chosen is None) == (not visible) and (chosen is None or chosen.uuid in visible)
    for uuid in {"GPU-0", "GPU-1", "GPU-2", "MIG-other"} - set(visible):
        if mask is not None:
            with pytest.raises(ConfigError, match="is not on this machine"):
                choose_gpu(uuid, found)


def test_numbers_count_the_visible_cards_as_in_cuda() -> None:
    chosen = choose_gpu("cuda:0", visible_gpus(CARDS, "2,1"))
    assert chosen is not None and chosen.uuid == "GPU-2"


def test_a_mig_uuid_is_accepted_where_nvml_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    chosen = choose_gpu("MIG-41b36e5a-1", visible_gpus([]))
    assert chosen is not None and chosen.uuid == "MIG-41b36e5a-1"


# ── NVML ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class NVMLError(Exception):
    """As of pynvml."""


class FakeNvml:
    """pynvml with one card, divided into two MIG instances on request; the functions in `failing` raise."""

    NVMLError, NVML_TEMPERATURE_GPU = NVMLError, 0

    def __init__(self, *failing: str, mig: bool = False) -> None:
        self.failing, self.mig = failing, mig

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in self.failing:

            def fail(*_: object) -> None:
                raise NVMLError("Insufficient Permissions")

            return fail
        return super().__getattribute__(name)

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return f"GPU-{index}"

    def nvmlDeviceGetMigMode(self, handle: str) -> list[int]:
        if not self.mig:
            raise NVMLError("Not Supported")
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: str) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, index: int) -> str:
        if index > 1:
            raise NVMLError("Not Found")
        return f"MIG-{index}"

    def nvmlDeviceGetUUID(self, handle: str) -> bytes:
        return handle.encode()

    def nvmlDeviceGetName(self, handle: str) -> str:
        return "NVIDIA A100" + (" MIG 3g.20gb" if handle.startswith("MIG") else "")

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        return SimpleNamespace(used=1 << 30, total=40 << 30)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        return SimpleNamespace(gpu=50)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return 100_000

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:
        return 40


READINGS = ("MemoryInfo", "UtilizationRates", "PowerUsage", "Temperature", "Name")


@pytest.mark.parametrize(
    ("nvml", "uuids"),
    [
        (FakeNvml(), ["GPU-0"]),
        (FakeNvml(mig=True), ["MIG-0", "MIG-1"]),
        (FakeNvml(*(f"nvmlDeviceGet{name}" for name in READINGS)), ["GPU-0"]),
        (FakeNvml(*(f"nvmlDeviceGet{name}" for name in READINGS), mig=True), ["MIG-0", "MIG-1"]),
        (FakeNvml("nvmlDeviceGetMaxMigDeviceCount", mig=True), ["GPU-0"]),
        (FakeNvml("nvmlDeviceGetUUID"), []),
        (FakeNvml("nvmlDeviceGetHandleByIndex"), []),
        (FakeNvml("nvmlDeviceGetCount"), []),
        (FakeNvml("nvmlInit"), []),
        (FakeNvml("nvmlShutdown"), ["GPU-0"]),
    ],
)
def test_no_error_of_nvml_is_raised(monkeypatch: pytest.MonkeyPatch, nvml: FakeNvml, uuids: list[str]) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = hardware.gpus()
    assert [gpu.uuid for gpu in found] == uuids
    assert all(gpu.memory_free_bytes >= 0 for gpu in found)
    chosen = choose_gpu("auto", visible_gpus(found))
    assert (chosen is None) == (not uuids)


# ── locks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

HOLDER = """
import sys, time
from tui_gpt.hardware import Gpu, take_gpu
cards = [Gpu(n, f"GPU-{n}", "card", 0, 1, None, None, None) for n in range(3)]
gpu, lock = take_gpu("auto", cards)
print(gpu.uuid, lock is not None, flush=True)
time.sleep(60)
"""


@pytest.fixture
def holders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that starts processes which each take a card at the same time; they are killed at the end."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    started: list[subprocess.Popen] = []

    def start(count: int) -> list[tuple[subprocess.Popen, str]]:
        new = [
            subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True) for _ in range(count)
        ]
        started.extend(new)
        return [(process, process.stdout.readline().strip()) for process in new]  # type: ignore[union-attr]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_runs_that_start_together_take_different_cards_until_they_die(holders: Any, tmp_path: Path) -> None:
    (one, first), (_, second), (_, third) = holders(3)
    assert {first, second, third} == {"GPU-0 True", "GPU-1 True", "GPU-2 True"}
    assert gpus_in_training(CARDS) == {"GPU-0", "GPU-1", "GPU-2"}
    shared, lock = take_gpu("auto", CARDS)
    assert shared is not None and lock is None
    one.kill()
    one.wait()
    gpu, lock = take_gpu("auto", CARDS)
    assert gpu is not None and lock is not None and f"{gpu.uuid} True" == first
    os.close(lock)
    assert (tmp_path / "gpt-tui" / "gpus").stat().st_mode & 0o777 == 0o700


def test_a_named_card_is_shared_and_other_processes_avoid_it(holders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, taken),) = holders(1)
    uuid = taken.split()[0]
    gpu, lock = take_gpu(uuid, CARDS)
    assert gpu is not None and gpu.uuid == uuid and lock is None
    monkeypatch.setattr(hardware, "gpus", lambda: CARDS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    hardware.avoid_gpus_in_training()
    assert uuid == "GPU-0" and os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    holders(1)
    hardware.avoid_gpus_in_training()
    assert all(gpu.uuid not in gpus_in_training(CARDS) for gpu in visible_gpus(CARDS))


def test_without_a_writable_home_cards_are_not_locked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    gpu, lock = take_gpu("auto", CARDS)
    assert gpu is not None and gpu.uuid == "GPU-1" and lock is not None
    assert gpus_in_training(CARDS) == set()
    os.close(lock)
