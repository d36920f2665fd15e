"""The GPT: architecture, initialization, loss, key-value cache, and the Hugging Face format."""

from tui_gpt.model.gpt import GPT
from tui_gpt.model.kv_cache import KVCache

__all__ = ["GPT", "KVCache"]
