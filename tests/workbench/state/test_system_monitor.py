"""Readings of the machine come whole or with a problem in words."""

import os

import pytest

from tui_gpt import hardware
from tui_gpt.hardware import Gpu
from tui_gpt.workbench.state.system_monitor import SystemMonitor

CARD = Gpu(0, "GPU-0", "A card", 1, 2, 0.5, 60, 70.0)


@pytest.fixture
def cards(monkeypatch):
    found = [CARD]
    monkeypatch.setattr(hardware, "gpus", lambda: found)
    return found


def test_a_reading_has_the_host_the_cards_and_the_trainers_processes(cards):
    monitor = SystemMonitor()
    readings = monitor.read((os.getpid(), 2**22 + 1))
    assert readings is monitor.readings
    assert readings.host is not None
    assert readings.gpus == (CARD,)
    assert readings.trainer_memory_bytes > 0
    assert readings.trainer_cores is not None
    assert monitor.read().trainer_cores is None


def test_a_driver_that_fails_is_a_problem_and_the_host_is_read_all_the_same(monkeypatch):
    def fail() -> list[Gpu]:
        raise RuntimeError("driver/library version mismatch")

    monkeypatch.setattr(hardware, "gpus", fail)
    readings = SystemMonitor().read()
    assert readings.problem == "RuntimeError: driver/library version mismatch"
    assert readings.host is not None


def test_a_machine_that_says_nothing_ends_nothing(monkeypatch, cards):
    def fail() -> None:
        raise OSError("no /proc")

    monkeypatch.setattr(hardware, "host", fail)
    assert SystemMonitor().read().problem == "OSError: no /proc"
