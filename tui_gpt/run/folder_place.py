"""The place of a live run's folder: whether it was moved or deleted meanwhile, and where to save then."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from tui_gpt.run.folder import RunFolder

WORKSPACE_LOG = "gpt-tui.log"


class FolderGone(Exception):
    """The run folder is no longer where the run began."""


class FolderPlace:
    """A folder held open, so that it is recognised, and found again, whatever its name becomes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def check(self) -> None:
        """Raise FolderGone unless the folder is still at its path; another one of that name is not the same."""
        held = os.fstat(self._fd)
        try:
            there = self.path.stat()
        except FileNotFoundError:
            raise FolderGone from None
        except OSError:
            return  # an interrupted mount, for example: not known to be gone
        if (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino):
            raise FolderGone

    def is_there(self) -> bool:
        """Whether `check` finds the folder."""
        try:
            self.check()
        except FolderGone:
            return False
        return True

    def leave(self) -> tuple[str, RunFolder | None]:
        """Return what happened, in words, and the folder to save in: where it was moved, or a new one beside it."""
        found = self._now()
        if found is not None:
            return f"the run folder was moved to {found} while the run was live", RunFolder(found)
        what = "the run folder was deleted while the run was live"
        for suffix in ("", *(f"-{n}" for n in range(2, 100))):
            rescue = RunFolder(self.path.with_name(f"{self.path.name}-rescued{suffix}"))
            try:
                rescue.path.mkdir()
                rescue.commands.mkdir(mode=0o700)
                rescue.checkpoints.mkdir()
            except FileExistsError:
                continue
            except OSError:
                break
            return f"{what}; what could be saved is in {rescue.path}", rescue
        return what, None

    def _now(self) -> Path | None:
        """Return where the folder is now, or None if it was deleted."""
        with suppress(OSError):
            if sys.platform == "darwin":
                path = Path(os.fsdecode(fcntl.fcntl(self._fd, 50, bytes(1024)).rstrip(b"\0")))  # F_GETPATH
            else:
                path = Path(f"/proc/self/fd/{self._fd}").readlink()
            held, there = os.fstat(self._fd), path.stat()
            if (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino):
                return path
        return None


def log_to_workspace(runs: Path, text: str) -> None:
    """Add a line to the log beside the runs, for what happened to a run that has no folder any more."""
    with suppress(OSError), (runs / WORKSPACE_LOG).open("a", encoding="utf-8", errors="replace") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
