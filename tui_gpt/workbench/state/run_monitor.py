"""One run as a viewer knows it: everything is read from the run folder, and from nowhere else.

`read()` does I/O in a thread, so that a slow disk stalls no key; `apply()` updates state on the event loop, so that
nothing changes while it is drawn. A long journal comes in chunks. A part of the folder that cannot be read becomes
`problem` and leaves the others as they are; a folder that vanishes keeps its last picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tui_gpt.config import Config, PartialConfig
from tui_gpt.errors import UserError, reason
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.jsonl import JsonlReader, append_entries
from tui_gpt.run.messages import FINAL_STATES, Eval, Event, Metrics, Rewound, RunInfo, Sample, Status
from tui_gpt.workbench.state.draft import differences_from_preset
from tui_gpt.workbench.state.metric_series import MetricSeries, MetricsReader, Point

if TYPE_CHECKING:
    from tui_gpt.checkpoints.manifest import CheckpointInfo

MAX_SAMPLES, MAX_EVENTS = 20_000, 2_000
CHUNK_POINTS = 50  # points in one reading from which on there may be more: a live run logs fewer between two
SETTLED_SECONDS = 2.0  # file times are coarse: what changed this recently is read again
REDRAW_SECONDS = 1.4  # between two drawings of a curve, which moves many cells; a run may log twenty steps a second

Remedy = Literal["resume", "new_run", "log", ""]


@dataclass
class RunUpdate:
    """What one reading found. `known`: attributes of the monitor that are new; journals: their new lines."""

    known: dict[str, Any] = field(default_factory=dict)
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
        self.is_locked = False
        self.curve_version = 0  # changes when it is time to draw curves, and the numbers that must agree with them
        self._curve_time = 0.0
        self._has_new_points = self._is_behind = False
        self._stamps: dict[Path, int] = {}
        self._metrics = MetricsReader(folder.metrics)
        self._evals = JsonlReader(folder.evals, Eval)
        self._samples = JsonlReader(folder.samples, Sample)
        self._events = JsonlReader(folder.events, Event)

    # ── reading: in a thread ────────────────────────────────────────────────────────────────────────────────────────

    def read(self) -> RunUpdate:
        """Return what came since the last reading. Blocking. Never raises: what cannot be read becomes `problem`."""
        update = RunUpdate({"problem": ""})
        folder, known, problems = self.folder, update.known, []
        for part in (
            self._read_status,
            self._read_info,
            lambda update: self._read_changed(folder.config, update, self._read_config),
            lambda update: self._read_changed(folder.checkpoints, update, self._read_checkpoints),
            self._read_journals,  # after the status: whoever reads "finished" there has read them to their end
        ):
            try:
                part(update)
            except UserError as error:
                problems.append(str(error))
            except OSError as error:
                problems.append(f"{error.filename or folder.path}: cannot be read: {reason(error)}")
            except (ValueError, RecursionError) as error:
                problems.append(f"{folder.path}: is damaged: {error}")
            if known.get("state") == "gone":
                break
        if problems:
            known |= {"state": "unreadable", "problem": problems[0]}
        return update

    def _read_status(self, update: RunUpdate) -> None:
        try:
            self.folder.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            update.known |= {"state": "gone", "problem": f"the run folder is gone: {self.folder.path}"}
            return
        update.known["is_locked"] = self.folder.is_locked()
        status = update.known["status"] = self.folder.read_status() or self.status
        update.known["state"] = self.folder.state(status)

    def _read_info(self, update: RunUpdate) -> None:
        update.known["info"] = self.folder.read_info() or self.info

    def _read_changed(self, path: Path, update: RunUpdate, read: Callable[[RunUpdate], None]) -> None:
        try:
            stamp = path.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if stamp != self._stamps.get(path):
            read(update)
            if abs(time.time() - stamp / 1e9) > SETTLED_SECONDS:
                self._stamps[path] = stamp

    def _read_config(self, update: RunUpdate) -> None:
        asked, config = self.folder.read_asked(), self.folder.read_config()
        update.known |= {"asked": asked, "config": config, "differences": differences_from_preset(config)}

    def _read_checkpoints(self, update: RunUpdate) -> None:
        from tui_gpt.checkpoints.manifest import list_checkpoints

        update.known["checkpoints"] = list_checkpoints(self.folder.checkpoints)

    def _read_journals(self, update: RunUpdate) -> None:
        update.metrics = self._metrics.poll(at_once=False)
        update.evals, update.samples, update.events = self._evals.poll(), self._samples.poll(), self._events.poll()

    def log_tail(self, tail_bytes: int = 200_000) -> str:
        """Return the end of trainer.log, or a line that says why it cannot be read. Blocking."""
        try:
            with self.folder.log.open("rb") as file:
                length = file.seek(0, 2)
                file.seek(max(0, length - tail_bytes))
                text = file.read().decode("utf-8", "replace")
                return text if length <= tail_bytes else text.partition("\n")[2]
        except FileNotFoundError:
            return "(no log yet)"
        except OSError as error:
            return f"(the log cannot be read: {reason(error)})"

    def read_all(self) -> None:
        """Read and apply all there is, for callers without an event loop."""
        while self.apply(self.read()):
            pass

    # ── knowing: on the event loop ──────────────────────────────────────────────────────────────────────────────────

    def apply(self, update: RunUpdate) -> bool:
        """Update the state, and return whether there may be more to read at once."""
        before = self._milestones()
        vars(self).update(update.known)
        try:
            self.series.extend(update.metrics)
        except OverflowError as error:  # a number that no run writes
            self.series = MetricSeries()
            self.problem = self.problem or f"{self.folder.metrics}: is damaged: {error}"
        append_entries(self.evals, update.evals)
        append_entries(self.samples, update.samples)
        append_entries(self.events, update.events)
        del self.samples[:-MAX_SAMPLES], self.events[:-MAX_EVENTS]
        for event in update.events:
            if isinstance(event, Event) and event.command_id:
                self.acks[event.command_id] = event
        if update.evals:
            scored = [item for item in self.evals if item.val_loss is not None]
            self.best = min(scored, key=lambda item: item.val_loss or 0.0, default=None)
        self.is_read = True
        was_behind, self._is_behind = self._is_behind, len(update.metrics) > CHUNK_POINTS
        is_news = before != self._milestones() or update.evals or update.samples or update.events
        self._has_new_points |= bool(update.metrics)
        is_due = self._has_new_points and time.monotonic() - self._curve_time >= REDRAW_SECONDS
        if is_news or is_due or (was_behind and not self._is_behind):  # what is rare, such as an evaluation, at once
            self.draw_curves()
        return self._is_behind

    def _milestones(self) -> tuple[object, ...]:
        """Return what is shown as soon as it changes."""
        return self.state, len(self.checkpoints), self.total_steps, self.info is None, not len(self.series)

    def draw_curves(self) -> None:
        """Let curves be drawn with what is known now."""
        self.curve_version += 1
        self._curve_time, self._has_new_points = time.monotonic(), False

    @property
    def is_live(self) -> bool:
        """Whether a trainer may still write here: decides about refreshing and about offering commands."""
        return self.is_locked if self.state == "unreadable" else not self.has_ended

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
    def newest_full_checkpoint(self) -> CheckpointInfo | None:
        """The checkpoint that a resume continues from."""
        return next((info for info in reversed(self.checkpoints) if info.kind == "full"), None)

    def silent_seconds(self) -> float:
        """Return the seconds since the supervisor's last sign of life; 0 when none is expected here."""
        if not self.is_live or self.state == "elsewhere" or not (self.status and self.status.heartbeat):
            return 0.0
        return max(0.0, time.time() - self.status.heartbeat)

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

    def remedy(self) -> tuple[str, Remedy]:
        """Return what to do about the failure, in sentences without keys, and the action that does it."""
        if self.problem or self.state not in ("failed", "crashed"):
            return "", ""
        failure = self.status.failure if self.status else None
        advice = [failure.do.rstrip(".")] if failure and failure.do else []
        if failure and failure.blocks_resume:
            return ". ".join(advice), "new_run"
        if self.newest_full_checkpoint is not None:
            return ". ".join([*advice, f"It can be resumed from step {self.newest_full_checkpoint.step:,}"]), "resume"
        if self.step:
            advice.append("It saved no checkpoint, so a resume begins at step 0")
        return ". ".join(advice) or "The log may say more", "new_run" if failure and failure.do else "log"
