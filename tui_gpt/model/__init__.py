"""The GPT: architecture, parameter roles, loss, key-value cache, and the Hugging Face format."""

from tui_gpt.model.gpt import GPT
from tui_gpt.model.kv_cache import KVCache
from tui_gpt.model.parameter_roles import role_of

__all__ = ["GPT", "KVCache", "role_of"]
