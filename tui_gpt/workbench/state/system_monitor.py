"""Readings of the machine: GPUs through NVML, and on a CPU what the trainer's processes use.

`SystemMonitor.read()` belongs in a thread, since a driver may take its time to answer. The last readings are kept for
utilisation sparklines.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

    from tui_gpt.hardware import Gpu, Host

HISTORY_LENGTH = 120  # readings: one minute at 2 Hz


@dataclass(frozen=True)
class SystemReadings:
    """The machine at one moment. `trainer_*` are sums over the trainer's processes, None without one on this host."""

    host: Host | None = None
    gpus: tuple[Gpu, ...] = ()
    trainer_memory_bytes: int | None = None
    trainer_cores: float | None = None  # cores kept busy since the last reading
    load: float | None = None  # runnable processes, one-minute mean
    problem: str = ""


class SystemMonitor:
    """Takes readings and keeps the process handles that a rate needs."""

    def __init__(self) -> None:
        self.readings = SystemReadings()
        self.history: tuple[SystemReadings, ...] = ()  # oldest first; replaced as a whole, so safe to iterate over
        self._processes: dict[int, psutil.Process] = {}

    def read(self, trainer_pids: tuple[int, ...] = ()) -> SystemReadings:
        """Read everything now and return it. Blocking. Never raises: what fails becomes `problem`."""
        try:
            readings = self._read(trainer_pids)
        except Exception as error:  # a driver's library may raise anything, and the run is not concerned
            readings = SystemReadings(problem=f"{type(error).__name__}: {error}")
        self.readings, self.history = readings, (*self.history, readings)[-HISTORY_LENGTH:]
        return readings

    def _read(self, trainer_pids: tuple[int, ...]) -> SystemReadings:
        from tui_gpt import hardware

        try:
            gpus, problem = tuple(hardware.gpus()), ""
        except Exception as error:  # see above; what the host says is known all the same
            gpus, problem = (), f"{type(error).__name__}: {error}"
        memory_bytes, cores = self._read_trainer(trainer_pids)
        return SystemReadings(hardware.host(), gpus, memory_bytes, cores, os.getloadavg()[0], problem)

    def _read_trainer(self, pids: tuple[int, ...]) -> tuple[int | None, float | None]:
        import psutil

        memory_bytes: int | None = None
        cores: float | None = None
        self._processes = {pid: process for pid, process in self._processes.items() if pid in pids}
        for pid in pids:
            try:
                process = self._processes.get(pid) or psutil.Process(pid)
                self._processes[pid] = process
                memory_bytes = (memory_bytes or 0) + process.memory_info().rss
                cores = (cores or 0.0) + process.cpu_percent() / 100
            except psutil.Error:
                self._processes.pop(pid, None)
        return memory_bytes, cores

    def gpu_utilisation(self, uuid: str) -> list[float | None]:
        """Return the card's utilisation (0 to 1) over the last readings, oldest first; None where it gave none."""
        cards = (next((gpu for gpu in each.gpus if gpu.uuid == uuid), None) for each in self.history)
        return [card.utilisation if card else None for card in cards]

    def trainer_cores(self) -> list[float | None]:
        """Return the cores that the trainer kept busy over the last readings, oldest first."""
        return [each.trainer_cores for each in self.history]
