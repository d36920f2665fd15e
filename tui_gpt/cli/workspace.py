"""The workspace of a command that names none."""

from __future__ import annotations

import os
from pathlib import Path


def default_workspace() -> Path:
    """Return the folder in GPT_TUI_WORKSPACE, or the current one where that is not set or empty."""
    return Path(os.environ.get("GPT_TUI_WORKSPACE") or ".").expanduser().absolute()
