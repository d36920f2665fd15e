"""Text in, token shards out. No torch here.

The rooms: `sources` finds, fetches and reads text; `stories` generates it; `cleaning` makes a clean copy of a corpus;
`tokenizers` turns text into tokens; `shards` prepares tokens for training. Names are imported on first use, so that
listing corpora loads neither numpy nor a tokenizer library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tui_gpt.corpora.shards.prepare import prepare
    from tui_gpt.corpora.shards.shard_files import Shards, ShardsInfo, open_shards
    from tui_gpt.corpora.sources.registry import (
        CorpusEntry,
        add_corpus,
        check_corpus,
        find_corpus,
        list_corpora,
        provenance,
    )
    from tui_gpt.corpora.sources.source import Source
    from tui_gpt.corpora.sources.text_files import cache_dir
    from tui_gpt.corpora.tokenizers.build import check_tokenizer, make_tokenizer
    from tui_gpt.corpora.tokenizers.tokenizer import Tokenizer, load_tokenizer

__all__ = [
    "CorpusEntry",
    "Shards",
    "ShardsInfo",
    "Source",
    "Tokenizer",
    "add_corpus",
    "cache_dir",
    "check_corpus",
    "check_tokenizer",
    "find_corpus",
    "list_corpora",
    "load_tokenizer",
    "make_tokenizer",
    "open_shards",
    "prepare",
    "provenance",
]

_MODULES = {
    "shards.prepare": ("prepare",),
    "shards.shard_files": ("Shards", "ShardsInfo", "open_shards"),
    "sources.registry": ("CorpusEntry", "add_corpus", "check_corpus", "find_corpus", "list_corpora", "provenance"),
    "sources.source": ("Source",),
    "sources.text_files": ("cache_dir",),
    "tokenizers.build": ("check_tokenizer", "make_tokenizer"),
    "tokenizers.tokenizer": ("Tokenizer", "load_tokenizer"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
