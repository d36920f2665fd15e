"""Checkpoints: the manifest (list, verify, prune; no torch) and the state (save, load; torch). Names load lazily."""

from __future__ import annotations

from typing import Any

_MODULES = {
    "CheckpointInfo": "manifest",
    "LoadedModel": "state",
    "best": "manifest",
    "list_checkpoints": "manifest",
    "newest": "manifest",
    "verify": "manifest",
    "load_model": "state",
    "locate": "manifest",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
