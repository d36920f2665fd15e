"""The GPT: architecture, initialisation, key-value cache."""

from tui_gpt.model.cache import KVCache
from tui_gpt.model.gpt import GPT

__all__ = ["GPT", "KVCache"]
