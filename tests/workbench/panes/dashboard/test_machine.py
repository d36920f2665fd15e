"""The machine pane: figures are whole at any width; many cards take a line each."""

import pytest

from tui_gpt.hardware import Gpu, Host
from tui_gpt.workbench.panes.dashboard.machine import system_lines
from tui_gpt.workbench.state.system_monitor import SystemReadings

GIB = 2**30
HOST = Host(name="box", system="Linux", cpu="Test CPU", cores=16, memory_bytes=64 * GIB, memory_free_bytes=48 * GIB)


def card(index: int = 0) -> Gpu:
    return Gpu(
        index=index,
        uuid=f"GPU-{index}",
        name="NVIDIA H100 80GB HBM3",
        memory_used_bytes=71 * GIB,
        memory_total_bytes=80 * GIB,
        utilisation=0.98,
        temperature_celsius=61,
        power_watts=412.0,
    )


@pytest.mark.parametrize("width", [20, 28, 40])
def test_a_card_shows_its_work_memory_heat_and_power(width):
    text = "\n".join(line.plain for line in system_lines(SystemReadings(HOST, (card(),)), width))
    for figure in ("98 %", "71/80 GiB", "61°", "412 W"):
        assert figure in text
    assert max(map(len, text.splitlines())) <= width


def test_eight_cards_take_a_line_each():
    lines = [line.plain for line in system_lines(SystemReadings(HOST, tuple(map(card, range(8)))), 40)]
    assert sum(line.startswith("gpu") for line in lines) == 8
    assert all("98 %" in line and "71/80G" in line for line in lines[:8])


def test_on_a_cpu_the_trainers_cores_and_memory_are_shown():
    readings = SystemReadings(HOST, trainer_memory_bytes=GIB // 2, trainer_cores=1.9)
    text = "\n".join(line.plain for line in system_lines(readings, 28))
    assert "1.9/16" in text
    assert "512 MiB" in text


def test_what_cannot_be_read_is_told():
    text = " ".join(line.plain for line in system_lines(SystemReadings(HOST, problem="the driver does not answer"), 28))
    assert "▲ the driver does not answer" in text
