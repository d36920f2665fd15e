"""Commands run in the process of the test."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tui_gpt.cli import main


class Result(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Return a function that runs a command in this process, as the entry point does."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]

    def run(workspace: Path, *arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["gpt-tui", "--workspace", str(workspace), *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        capsys.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            for number, handler in zip(numbers, handlers, strict=True):
                signal.signal(number, handler)
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run
