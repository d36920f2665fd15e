"""gpt-tui: a terminal workbench for pretraining small GPTs. The names of the Python API load lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tui_gpt.api import Run, generate, load_checkpoint, open_run, train
    from tui_gpt.config import Config
    from tui_gpt.errors import UserError

__all__ = ["Config", "Run", "UserError", "generate", "load_checkpoint", "open_run", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = {"Config": "config", "UserError": "errors"}.get(name, "api")
    return getattr(import_module(f"tui_gpt.{module}"), name)
