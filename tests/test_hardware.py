"""GPU selection by UUID and free memory, and peak FLOP/s by name."""

from __future__ import annotations

import pytest

from tui_gpt import hardware
from tui_gpt.errors import ConfigError
from tui_gpt.hardware import Gpu, choose_gpu, peak_flops


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
