"""One run as a viewer knows it: everything is read from the run folder, and from nowhere else.

`read()` does I/O in a thread, so that a slow disk stalls no key; `apply()` updates state on the event loop, so that
nothing changes while it is drawn. A long journal comes in chunks. A part of the folder that cannot be read becomes
`problem` and leaves the others as they are; a folder that vanishes keeps its last picture.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tui_gpt.config import Config, PartialConfig
from tui_gpt.errors import UserError, reason
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.jsonl import JsonlReader
from tui_gpt.run.messages import FINAL_STATES, Eval, Event, Message, Metrics, Rewound, RunInfo, Sample, Status
from tui_gpt.workbench.state.draft import differences_from_preset
from tui_gpt.workbench.state.metric_series import MetricSeries, MetricsReader, Point

if TYPE_CHECKING:
    from tui_gpt.checkpoints.manifest import CheckpointInfo

MAX_SAMPLES, MAX_EVENTS = 20_000, 2_000
CHUNK_POINTS = 50  # points in one reading from which on there may be more: a live run logs fewer between two
SETTLED_SECONDS = 2.0  # file times are coarse: a folder that changed this recently is read again

Remedy = Literal["resume", "new_run", "log", ""]
M = TypeVar("M", bound=Message)


@dataclass
class RunUpdate:
    """What one reading found; None, or nothing, for what is as before."""

    state: str = ""
    problem: str = ""
    is_locked: bool = False
    status: Status | None = None
    info: RunInfo | None = None
    asked: PartialConfig = field(default_factory=dict)
    config: Config | None = None
    differences: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    checkpoints: list[CheckpointInfo] | None = None
    metrics: list[Point | Metrics | Rewound] = field(default_factory=list)
    evals: list[Eval | Rewound] = field(default_factory=list)
    samples: list[Sample | Rewound] = field(default_factory=list)
    events: list[Event | Rewound] = field(default_factory=list)


class RunMonitor:
    """One run folder, followed."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.series = MetricSeries()
        self.evals: list[Eval] = []
        self.samples: list[Sample] = []
        self.events: list[Event] = []
        self.acks: dict[str, Event] = {}  # by the command's id
        self.status: Status | None = None
        self.info: RunInfo | None = None
        self.config: Config | None = None
        self.asked: PartialConfig = {}
        self.differences: dict[str, tuple[Any, Any]] = {}  # from its preset: {key: (the preset's value, the run's)}
        self.checkpoints: list[CheckpointInfo] = []
        self.best: Eval | None = None  # the evaluation with the lowest validation loss
        self.state = "starting"
        self.problem = ""  # why the folder, or a part of it, cannot be read
        self.is_read = False  # whether it has been read once
        self._is_locked = False
        self._config_stamp = self._checkpoints_stamp = 0
        self._metrics = MetricsReader(folder.metrics)
        self._evals = JsonlReader(folder.evals, Eval)
        self._samples = JsonlReader(folder.samples, Sample)
        self._events = JsonlReader(folder.events, Event)

    # ── reading: in a thread ────────────────────────────────────────────────────────────────────────────────────────

    def read(self) -> RunUpdate:
        """Return what came since the last reading. Blocking. Never raises: what cannot be read becomes `problem`."""
        update = RunUpdate()
        problems = []
        for part in (
            self._read_status,
            self._read_info,
            self._read_config,
            self._read_checkpoints,
            self._read_journals,  # after the status: whoever reads "finished" there has read them to their end
        ):
            try:
                part(update)
            except UserError as error:
                problems.append(str(error))
            except OSError as error:
                problems.append(f"{error.filename or self.folder.path}: cannot be read: {reason(error)}")
            except (ValueError, RecursionError) as error:
                problems.append(f"{self.folder.path}: is damaged: {error}")
            if update.state == "gone":
                break
        if problems:
            update.state, update.problem = "unreadable", problems[0]
        return update

    def _read_status(self, update: RunUpdate) -> None:
        try:
            self.folder.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            update.state, update.problem = "gone", f"the run folder is gone: {self.folder.path}"
            return
        update.is_locked = self.folder.is_locked()
        update.status = self.folder.read_status()
        update.state = self.folder.state(update.status or self.status)

    def _read_info(self, update: RunUpdate) -> None:
        update.info = self.folder.read_info()

    def _read_config(self, update: RunUpdate) -> None:
        try:
            stamp = self.folder.config.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if stamp == self._config_stamp:
            return
        update.asked, update.config = self.folder.read_asked(), self.folder.read_config()
        update.differences = differences_from_preset(update.config)
        self._config_stamp = stamp

    def _read_checkpoints(self, update: RunUpdate) -> None:
        try:
            stamp = self.folder.checkpoints.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if stamp == self._checkpoints_stamp:
            return
        from tui_gpt.checkpoints.manifest import list_checkpoints

        update.checkpoints = list_checkpoints(self.folder.checkpoints)
        if abs(time.time() - stamp / 1e9) > SETTLED_SECONDS:
            self._checkpoints_stamp = stamp

    def _read_journals(self, update: RunUpdate) -> None:
        update.metrics = self._metrics.poll(at_once=False)
        update.evals, update.samples, update.events = self._evals.poll(), self._samples.poll(), self._events.poll()

    def log_tail(self, tail_bytes: int = 200_000) -> str:
        """Return the end of trainer.log. Blocking."""
        return read_tail(self.folder.log, tail_bytes)

    def read_all(self) -> None:
        """Read and apply all there is, for callers without an event loop."""
        while self.apply(self.read()):
            pass

    # ── knowing: on the event loop ──────────────────────────────────────────────────────────────────────────────────

    def apply(self, update: RunUpdate) -> bool:
        """Update the state, and return whether there may be more to read at once."""
        try:
            self.series.extend(update.metrics)
        except OverflowError as error:  # a number that no run writes
            self.series = MetricSeries()
            update.problem = update.problem or f"{self.folder.metrics}: is damaged: {error}"
        _append(self.evals, update.evals)
        _append(self.samples, update.samples)
        _append(self.events, update.events)
        for event in update.events:
            if isinstance(event, Event) and event.command_id:
                self.acks[event.command_id] = event
        del self.samples[:-MAX_SAMPLES], self.events[:-MAX_EVENTS]
        if update.evals:
            scored = [item for item in self.evals if item.val_loss is not None]
            self.best = min(scored, key=lambda item: item.val_loss or 0.0, default=None)
        self.status, self.info = update.status or self.status, update.info or self.info
        if update.config is not None:
            self.asked, self.config, self.differences = update.asked, update.config, update.differences
        if update.checkpoints is not None:
            self.checkpoints = update.checkpoints
        self.state, self.problem, self._is_locked = update.state, update.problem, update.is_locked
        self.is_read = True
        return len(update.metrics) > CHUNK_POINTS

    @property
    def is_live(self) -> bool:
        """Whether a trainer may still write here: decides about refreshing and about offering commands."""
        if self.state == "unreadable":
            return self._is_locked
        return not self.has_ended

    @property
    def has_ended(self) -> bool:
        """Whether nobody will answer a command any more."""
        return self.state in FINAL_STATES or self.state in ("crashed", "gone")

    @property
    def step(self) -> int:
        last = self.series.last
        return max(last.step if last else 0, self.status.step if self.status else 0)

    @property
    def total_steps(self) -> int | None:
        return self.status.total_steps if self.status else None

    @property
    def best_val(self) -> float | None:
        return self.best.val_loss if self.best else None

    @property
    def best_step(self) -> int | None:
        return self.best.step if self.best else None

    @property
    def newest_full_checkpoint(self) -> CheckpointInfo | None:
        """The checkpoint that a resume continues from."""
        return next((info for info in reversed(self.checkpoints) if info.kind == "full"), None)

    def silent_seconds(self) -> float:
        """Return the seconds since the supervisor's last sign of life."""
        return max(0.0, time.time() - self.status.heartbeat) if self.status and self.status.heartbeat else 0.0

    def failure(self) -> str:
        """Return why the run failed or cannot be read, without what to do about it; empty when neither is so."""
        if self.problem:
            return self.problem
        if self.state == "crashed":
            return self._crash()
        if self.status is None or self.state != "failed":
            return ""
        failure = self.status.failure
        if failure is None:
            return self.status.message
        return f"{failure.where}: {failure.what}" if failure.where else failure.what

    def _crash(self) -> str:
        from tui_gpt.hardware import boot_id

        if self.status is None:
            return "its processes ended before they wrote a status"
        if self.status.boot_id and self.status.boot_id != boot_id():
            return f"the machine restarted while the run was {self.status.state}"
        return f"its processes ended while it was {self.status.state}, without reporting why"

    def remedy(self) -> str:
        """Return what to do about the failure, in sentences without keys; empty when nothing failed."""
        if self.problem or self.state not in ("failed", "crashed"):
            return ""
        failure = self.status.failure if self.status else None
        parts = [failure.do.rstrip(".")] if failure and failure.do else []
        checkpoint = self.newest_full_checkpoint
        if checkpoint is not None:
            parts.append(f"It can be resumed from step {checkpoint.step:,}")
        elif self.step:
            parts.append("It saved no checkpoint, so a resume begins at step 0")
        elif not parts:
            parts.append("The log may say more")
        return ". ".join(parts)

    @property
    def remedy_action(self) -> Remedy:
        """The action whose key the screen names beside `remedy()`."""
        if not self.remedy():
            return ""
        if self.newest_full_checkpoint is not None:
            return "resume"
        return "new_run" if self.status and self.status.failure and self.status.failure.do else "log"


def _append(entries: list[M], news: list[M | Rewound]) -> None:
    """Append `news` and carry out rewinds. One to step 0, as of a file that was replaced, takes back everything."""
    for item in news:
        if not isinstance(item, Rewound):
            entries.append(item)
        elif item.rewound_to <= 0:
            entries.clear()
        else:
            while entries and (getattr(entries[-1], "step", None) or 0) > item.rewound_to:
                entries.pop()


def read_tail(path: Path, tail_bytes: int) -> str:
    """Return the last `tail_bytes` of a file as text, or a line that says why it cannot be read. Blocking."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, 2)
            file.seek(max(0, length - tail_bytes))
            text = file.read().decode("utf-8", "replace")
            return text if length <= tail_bytes else text.partition("\n")[2]
    except FileNotFoundError:
        return "(no log yet)"
    except OSError as error:
        return f"(the log cannot be read: {reason(error)})"
