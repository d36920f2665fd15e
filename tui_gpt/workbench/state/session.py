"""The state that screens and panes share: one person's view of one workspace, free of Textual."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gpt.run.folder import RunFolder, list_runs
from tui_gpt.workbench.state.draft import Draft
from tui_gpt.workbench.state.estimate import Estimate, Speed, estimate
from tui_gpt.workbench.state.pending_commands import PendingCommands
from tui_gpt.workbench.state.preferences import Preferences
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.system_monitor import SystemMonitor

if TYPE_CHECKING:
    from tui_gpt.workbench.jobs.task import Task
    from tui_gpt.workbench.keys import Keymap
    from tui_gpt.workbench.state.corpora.corpus_summary import CorpusSummary


@dataclass
class Session:
    """Everything that a screen may read, and the few things that it may set."""

    workspace: Path
    preferences: Preferences
    keymap: Keymap = field(default_factory=dict)
    glyphs: str = "braille"
    has_color: bool = True

    monitor: RunMonitor | None = None  # the shown run
    live_runs: tuple[RunFolder, ...] = ()  # every run of the workspace that holds its lock
    commands: PendingCommands = field(default_factory=PendingCommands)
    system: SystemMonitor = field(default_factory=SystemMonitor)

    corpus: CorpusSummary | None = None  # of the draft's corpus, None until it has been read
    speed: Speed | None = None  # of an earlier run like the draft
    task: Task | None = None  # the background task that is running: preparing, fetching, cleaning …
    task_error: str = ""  # why the last one failed
    corpora_version: int = 0  # counts up when a task has changed what is in the corpus folder
    is_frozen: bool = False  # whether the dashboard holds still

    def __post_init__(self) -> None:
        self.draft = Draft(self.workspace / "configs")

    @property
    def runs_dir(self) -> Path:
        return self.workspace / "runs"

    @property
    def corpus_dir(self) -> Path:
        return self.workspace / "corpus"

    @property
    def estimate(self) -> Estimate:
        """Return what the draft will cost, from what is known of its corpus and of this machine."""
        return estimate(self.draft.config, self.corpus, self.system.readings, self.speed)

    @property
    def is_live(self) -> bool:
        """Return whether the shown run is live."""
        return self.monitor is not None and self.monitor.is_live

    def show(self, folder: RunFolder | None) -> None:
        """Make `folder` the shown run; the run that is shown already keeps its monitor."""
        if folder is None:
            self.monitor = None
        elif self.monitor is None or self.monitor.folder.path != folder.path:
            self.monitor = RunMonitor(folder)
        self.is_frozen = False

    def find_live_runs(self) -> tuple[RunFolder, ...]:
        """Return the runs that hold their lock, newest first. Blocking; an unreadable folder has none."""
        try:
            return tuple(folder for folder in reversed(list_runs(self.runs_dir)) if folder.is_locked())
        except OSError:
            return ()
