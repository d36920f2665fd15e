"""The GPT: architecture, initialisation, key-value cache."""

from tui_gpt.model.gpt import GPT
from tui_gpt.model.kv_cache import KVCache

__all__ = ["GPT", "KVCache"]
