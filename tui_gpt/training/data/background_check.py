"""Checks large token files while a run trains: they are too large to be read before it starts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tui_gpt.corpora import Shards
from tui_gpt.errors import CorpusError, reason

SHARE = 0.1  # of the time of one core, and of the disk


class BackgroundCheck:
    """Compares the large files of `shards` with their digests in a thread; does nothing where there are none.

    report: called from the thread with a message at the end, unless the files are damaged.
    """

    def __init__(self, shards: Shards, report: Callable[[str], None]) -> None:
        self.damage: CorpusError | None = None
        self._shards, self._report = shards, report
        self._files = shards.large_files()
        self._thread = threading.Thread(target=self._check, name="check", daemon=True)
        if self._files:
            self._thread.start()

    def wait(self) -> None:
        """Wait until the files are checked."""
        if self._files:
            self._thread.join()

    def _check(self) -> None:
        size, started = sum(file.stat().st_size for file in self._files), time.monotonic()
        try:
            for file in self._files:
                began = time.perf_counter()
                for _ in self._shards.check(file):
                    time.sleep((time.perf_counter() - began) * (1 / SHARE - 1))
                    began = time.perf_counter()
        except CorpusError as error:
            self.damage = error
        except OSError as error:
            self._report(f"the tokens of the corpus could not be checked: {reason(error)}")
        else:
            minutes = (time.monotonic() - started) / 60
            self._report(f"checked the tokens of the corpus: {size / 2**30:.1f} GiB are whole ({minutes:.0f} min)")
