"""Readings of the machine: cards through NVML, and on a CPU what the trainer's processes take.

Taken when a screen opens, when the config changes and on a key, and again and again only while a run is live; always
in a thread, since a driver may take its time to answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

    from tui_gpt.hardware import Gpu, Host


@dataclass(frozen=True)
class Readings:
    """The machine at one moment. `trainer_*` are sums over the trainer's processes, None without one on this host."""

    host: Host | None = None
    gpus: tuple[Gpu, ...] = ()
    trainer_memory_bytes: int | None = None
    trainer_cores: float | None = None  # cores kept busy since the last reading
    load: float | None = None  # runnable processes, one-minute mean
    problem: str = ""


class Machine:
    """Takes readings; keeps the process handles that a rate needs."""

    def __init__(self) -> None:
        self.readings = Readings()
        self._processes: dict[int, psutil.Process] = {}

    def take(self, trainer_pids: tuple[int, ...] = ()) -> Readings:
        """Read everything now. Blocking; never raises."""
        import psutil

        from tui_gpt import hardware

        try:
            host, gpus, problem = hardware.host(), tuple(hardware.gpus()), ""
        except Exception as error:  # whatever a driver's library throws: the pane says so, the run is not concerned
            host, gpus, problem = None, (), f"{type(error).__name__}: {error}"
        memory: int | None = None
        cores: float | None = None
        for pid in trainer_pids:
            try:
                process = self._processes.get(pid) or psutil.Process(pid)
                self._processes[pid] = process
                memory = (memory or 0) + process.memory_info().rss
                cores = (cores or 0.0) + process.cpu_percent() / 100
            except psutil.Error:
                self._processes.pop(pid, None)
        self.readings = Readings(host, gpus, memory, cores, psutil.getloadavg()[0], problem)
        return self.readings
