"""Readings of the machine: GPUs through NVML, and what the trainer's processes use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

    from tui_gpt.hardware import Gpu, Host


@dataclass(frozen=True)
class SystemReadings:
    """The machine at one moment. `trainer_*` are sums over the trainer's processes, None without one on this host."""

    host: Host | None = None
    gpus: tuple[Gpu, ...] = ()
    trainer_memory_bytes: int | None = None
    trainer_cores: float | None = None  # cores kept busy since the last reading
    problem: str = ""


class SystemMonitor:
    """Takes readings and keeps the process handles that a rate needs."""

    def __init__(self) -> None:
        self.readings = SystemReadings()
        self._processes: dict[int, psutil.Process] = {}

    def read(self, trainer_pids: tuple[int, ...] = ()) -> SystemReadings:
        """Read everything now and return it. Blocking. Never raises: what fails becomes `problem`."""
        try:
            self.readings = self._read(trainer_pids)
        except Exception as error:  # a driver's library may raise anything, and the run is not concerned
            self.readings = SystemReadings(problem=f"{type(error).__name__}: {error}")
        return self.readings

    def _read(self, trainer_pids: tuple[int, ...]) -> SystemReadings:
        from tui_gpt import hardware

        try:
            gpus, problem = tuple(hardware.gpus()), ""
        except Exception as error:  # see above; what the host says is known all the same
            gpus, problem = (), f"{type(error).__name__}: {error}"
        return SystemReadings(hardware.host(), gpus, *self._read_trainer(trainer_pids), problem)

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
