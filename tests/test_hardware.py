"""Cards are chosen by UUID, the emptiest that no live run holds; peaks are known by name or not at all."""

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
def test_the_emptiest_free_card_or_the_one_named(device: str, taken: tuple[str, ...], chosen: str | None) -> None:
    gpu = choose_gpu(device, CARDS, taken)
    assert (gpu.uuid if gpu else None) == chosen


def test_a_card_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="There is: cuda:0 NVIDIA H100 80GB HBM3 GPU-0"):
        choose_gpu("cuda:7", CARDS)
    assert choose_gpu("auto", []) is None


def test_peaks_by_name_and_none_for_an_unknown_card() -> None:
    assert peak_flops("NVIDIA H100 80GB HBM3", "bf16") == 989e12
    assert peak_flops("NVIDIA H100 PCIe", "bf16") == 756e12
    assert peak_flops("NVIDIA A100-SXM4-80GB", "fp32") == 156e12
    assert peak_flops("NVIDIA L40S", "bf16") == 362e12
    assert peak_flops("Some Other Card", "bf16") is None


def test_the_host_has_a_name_cores_and_memory() -> None:
    host = hardware.host()
    assert host.name and host.cpu and host.cores >= 1 and host.memory_bytes > host.memory_free_bytes > 0
    assert hardware.boot_id() == hardware.boot_id() != ""
    assert hardware.logout_kills_processes() in ("yes", "no", "unknown")
