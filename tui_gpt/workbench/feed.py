"""What a viewer knows of one run: everything it draws, read from the run folder and from nowhere else.

Reading is apart from knowing: `read` fetches what was appended since and belongs in a thread, so that a slow disk
stalls no key; `take` makes it known and belongs on the event loop, where the screens draw, so that nothing changes
under a drawing. A long journal comes in pieces. A folder that vanishes keeps its last picture and says so.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gpt.config import Asked, Config
from tui_gpt.errors import UserError
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.jsonl import JsonlReader, append_entries
from tui_gpt.run.messages import FINAL_STATES, Eval, Event, Rewound, RunInfo, Sample, Status
from tui_gpt.workbench.series import Point, Series

if TYPE_CHECKING:
    from tui_gpt.checkpoints.manifest import CheckpointInfo

KEPT_SAMPLES, KEPT_EVENTS = 200, 2000


LONG = 1000  # points in one reading from which on there are likely more


@dataclass
class News:
    """What one reading found; None for what is as before."""

    state: str = "starting"
    problem: str = ""
    status: Status | None = None
    info: RunInfo | None = None
    asked: Asked = field(default_factory=dict)
    config: Config | None = None
    checkpoints: list[CheckpointInfo] | None = None
    metrics: list[Point | Rewound] = field(default_factory=list)
    evals: list[Eval | Rewound] = field(default_factory=list)
    samples: list[Sample | Rewound] = field(default_factory=list)
    events: list[Event | Rewound] = field(default_factory=list)


class RunFeed:
    """One run folder, followed."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.series = Series()
        self.evals: list[Eval] = []
        self.samples: list[Sample] = []
        self.events: list[Event] = []
        self.acks: dict[str, Event] = {}
        self.status: Status | None = None
        self.info: RunInfo | None = None
        self.config: Config | None = None
        self.checkpoints: list[CheckpointInfo] = []
        self.asked: Asked = {}
        self.state = "starting"
        self.problem = ""  # why the folder cannot be read, in words
        self.opened = False  # whether it has been read once
        self._config_stamp = self._checkpoints_stamp = 0
        self._readers = (
            JsonlReader(folder.metrics, Point, chunk_bytes=1 << 21),
            JsonlReader(folder.evals, Eval),
            JsonlReader(folder.samples, Sample),
            JsonlReader(folder.events, Event),
        )

    @property
    def is_live(self) -> bool:
        """Whether a trainer may still write here: what decides about refreshing readings and offering commands."""
        return self.state not in FINAL_STATES and self.state not in ("crashed", "gone", "unreadable")

    @property
    def step(self) -> int:
        last = self.series.last
        return max(last.step if last else 0, self.status.step if self.status else 0)

    @property
    def total_steps(self) -> int | None:
        return self.status.total_steps if self.status else None

    @property
    def best_val(self) -> float | None:
        return min((item.val_loss for item in self.evals if item.val_loss is not None), default=None)

    def silent_seconds(self) -> float:
        """Seconds since the supervisor's last sign of life."""
        return max(0.0, time.time() - self.status.heartbeat) if self.status and self.status.heartbeat else 0.0

    def poll(self) -> None:
        """Read and take all there is, for callers without an event loop."""
        while self.take(self.read()):
            pass

    def read(self) -> News:
        """What came since, blocking. Never raises for what a run folder can hold: that becomes the problem."""
        metrics, evals, samples, events = self._readers
        news = News()
        try:
            if not self.folder.path.is_dir():
                return News(state="gone", problem=f"the run folder is gone: {self.folder.path}")
            news.asked, news.config = self._read_config()
            news.checkpoints = self._read_checkpoints()
            news.info = self.folder.read_info()
            news.metrics = metrics.poll(at_once=False)
            news.evals, news.samples, news.events = evals.poll(), samples.poll(), events.poll()
            news.status = self.folder.read_status()
            news.state = self.folder.state(news.status or self.status)
        except UserError as error:
            news.state, news.problem = "unreadable", str(error)
        except OSError as error:
            news.state, news.problem = "unreadable", f"{self.folder.path}: {(error.strerror or str(error)).lower()}"
        return news

    def take(self, news: News) -> bool:
        """Make `news` known; whether there may be more to read at once."""
        self.series.extend(news.metrics)
        append_entries(self.evals, news.evals)
        append_entries(self.samples, news.samples)
        append_entries(self.events, news.events)
        acks = (item for item in news.events if isinstance(item, Event) and item.kind == "ack")
        self.acks |= {ack.command_id: ack for ack in acks if ack.command_id}
        del self.samples[:-KEPT_SAMPLES], self.events[:-KEPT_EVENTS]
        self.status, self.info = news.status or self.status, news.info or self.info
        if news.config is not None:
            self.asked, self.config = news.asked, news.config
        if news.checkpoints is not None:
            self.checkpoints = news.checkpoints
        self.state, self.problem = news.state, news.problem
        self.opened = True
        return len(news.metrics) > LONG

    def _read_config(self) -> tuple[Asked, Config | None]:
        try:
            stamp = self.folder.config.stat().st_mtime_ns
        except FileNotFoundError:
            return {}, None
        if stamp == self._config_stamp:
            return {}, None
        asked, config = self.folder.read_asked(), self.folder.read_config()
        self._config_stamp = stamp
        return asked, config

    def _read_checkpoints(self) -> list[CheckpointInfo] | None:
        try:
            stamp = self.folder.checkpoints.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if stamp == self._checkpoints_stamp:
            return None
        from tui_gpt.checkpoints.manifest import list_checkpoints

        self._checkpoints_stamp = stamp
        return list_checkpoints(self.folder.checkpoints)

    def failure(self) -> str:
        """Why it failed, in one line; empty where it did not."""
        if self.problem:
            return self.problem
        if self.status is None or self.state not in ("failed", "crashed"):
            return ""
        if self.status.failure is not None:
            return str(self.status.failure)
        if self.state == "crashed":
            return "its processes ended without a word"
        return self.status.message

    def log_tail(self, *, tail_bytes: int = 200_000) -> str:
        """The end of trainer.log."""
        return read_tail(self.folder.log, tail_bytes)


def read_tail(path: Path, tail_bytes: int) -> str:
    """The last `tail_bytes` of a file as text; a line that says why where it cannot be read."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, 2)
            file.seek(max(0, length - tail_bytes))
            text = file.read().decode("utf-8", "replace")
            return text if length <= tail_bytes else text.partition("\n")[2]
    except FileNotFoundError:
        return "(no log yet)"
    except OSError as error:
        return f"(the log cannot be read: {(error.strerror or str(error)).lower()})"
