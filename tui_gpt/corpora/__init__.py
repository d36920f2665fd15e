"""Text in, token shards out: registry, bundled text, tokenizers, shards. No torch here.

Names are imported when they are first used, so that listing corpora loads neither numpy nor a tokenizer library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tui_gpt.corpora.files import cache_dir
    from tui_gpt.corpora.preparation import prepare
    from tui_gpt.corpora.registry import CorpusEntry, add_corpus, check_corpus, find_corpus, list_corpora
    from tui_gpt.corpora.shards import Shards, ShardsInfo, open_shards
    from tui_gpt.corpora.sources import Source
    from tui_gpt.corpora.tokenizer import Tokenizer, load_tokenizer
    from tui_gpt.corpora.tokenizer_making import check_tokenizer, make_tokenizer

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
]

_HOMES = {
    "files": ("cache_dir",),
    "preparation": ("prepare",),
    "registry": ("CorpusEntry", "add_corpus", "check_corpus", "find_corpus", "list_corpora"),
    "shards": ("Shards", "ShardsInfo", "open_shards"),
    "sources": ("Source",),
    "tokenizer": ("Tokenizer", "load_tokenizer"),
    "tokenizer_making": ("check_tokenizer", "make_tokenizer"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
