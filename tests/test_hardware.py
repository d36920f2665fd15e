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


def test_peak_flops_are_known_by_name() -> None:
    assert peak_flops("NVIDIA H100 80GB HBM3", "bf16") == 989e12
    assert peak_flops("NVIDIA H100 PCIe", "bf16") == 756e12
    assert peak_flops("NVIDIA A100-SXM4-80GB", "fp32") == 156e12
    assert peak_flops("NVIDIA L40S", "bf16") == 362e12
    assert peak_flops("Some Other Card", "bf16") is None


def test_host_has_a_name_cores_and_memory() -> None:
    host = hardware.host()
    assert host.name and host.cpu and host.cores >= 1 and host.memory_bytes > host.memory_free_bytes > 0
    assert hardware.boot_id() == hardware.boot_id() != ""
    assert hardware.logout_kills_processes() in ("yes", "no", "unknown")
