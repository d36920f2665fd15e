"""Tokenizers made to order: `char`, `byte`, `bpe:N`, `gpt2`, or a tokenizer.json from somewhere.

Whatever the order, the result is a `tokenizer.json` read back (`tokenizer.py`): there is one way from a vocabulary to
tokens. The `tokenizers` library trains, on all 256 bytes and with the end of text counted in N, and writes the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gpt.corpora.files import kind_of
from tui_gpt.corpora.sources import Progress
from tui_gpt.corpora.tokenizer import END_OF_TEXT, Tokenizer, bytes_to_unicode, cut, load_tokenizer, parse_tokenizer
from tui_gpt.errors import CorpusError

if TYPE_CHECKING:
    import tokenizers

MIN_BPE, MAX_BPE = 257, 1_000_000
ALLOWED = "char, byte, bpe:N (such as bpe:1024), gpt2, or the path of a tokenizer.json"


def check_tokenizer(spec: str) -> str:
    """`spec` with a path made absolute, if it can be made into a tokenizer. Raises CorpusError otherwise."""
    if spec in ("char", "byte", "gpt2"):
        return spec
    if spec.startswith("bpe"):
        size = re.fullmatch(r"bpe:([0-9]{1,9})", spec)
        if size and MIN_BPE <= int(size[1]) <= MAX_BPE:
            return f"bpe:{int(size[1])}"
        raise CorpusError(
            f"data.tokenizer = {spec!r} is not allowed",
            do=f"Write bpe:N with N from {MIN_BPE} (256 bytes and the end of text) to {MAX_BPE:,}, such as bpe:1024",
        )
    if not spec.endswith(".json"):
        raise CorpusError(f"data.tokenizer = {spec!r} is not known", do=f"Allowed: {ALLOWED}")
    path = Path(spec).expanduser().absolute()
    if kind_of(path) != "file":
        raise CorpusError("there is no such tokenizer file", where=spec, do=f"Allowed: {ALLOWED}")
    load_tokenizer(path).encode("a")  # which also compiles its pattern
    return str(path)


def make_tokenizer(spec: str, documents: Iterable[str], progress: Progress) -> Tokenizer:
    """The tokenizer that `spec` names; `documents` are read for `char` and `bpe:N` alone. Raises CorpusError."""
    spec = check_tokenizer(spec)
    if spec == "char":
        progress("collecting characters", None)
        return _characters(documents)
    if spec == "byte":
        return from_ranks({bytes([byte]): byte for byte in range(256)})
    if spec == "gpt2":
        progress("loading GPT-2's vocabulary", None)
        return _gpt2()
    if spec.startswith("bpe:"):
        progress(f"training {spec}", None)
        return _trained(int(spec.partition(":")[2]), documents)
    return load_tokenizer(Path(spec))


def _characters(documents: Iterable[str]) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    found: set[str] = set()
    for text in documents:
        found.update(text)
    if not found:
        raise CorpusError("there is no text to take characters from")
    vocab = {character: id for id, character in enumerate(sorted(found))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return _finished(tokenizer)


def _trained(size: int, documents: Iterable[str]) -> Tokenizer:
    from tokenizers import models, pre_tokenizers, trainers

    tokenizer = _byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,  # and the end of text
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((part for text in documents for part in cut(text)), trainer)
    return _finished(tokenizer)


def _gpt2() -> Tokenizer:
    import tiktoken

    try:
        encoding = tiktoken.get_encoding("gpt2")
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a damaged download is a ValueError
        raise CorpusError(
            f"GPT-2's vocabulary is not on this machine and cannot be fetched ({type(error).__name__})",
            where="data.tokenizer = gpt2",
            do="Set TIKTOKEN_CACHE_DIR to a folder that holds it, or take one made here: bpe:4096, byte, char",
        ) from None
    return from_ranks(encoding._mergeable_ranks)


def from_vocabulary(vocab: Path, merges: Path) -> Tokenizer:
    """The tokenizer of GPT-2's two files, vocab.json and merges.txt. Raises CorpusError."""
    from tokenizers import models

    try:
        model = models.BPE.from_file(str(vocab), str(merges))
    except Exception as error:  # the library raises plain Exception
        raise CorpusError(f"cannot be read with {merges.name} as a vocabulary: {error}", where=str(vocab)) from None
    return _finished(_byte_level(model))


def from_ranks(ranks: dict[bytes, int]) -> Tokenizer:
    """The byte-level BPE whose tokens have these ranks, which are their ids: 0 to len(ranks) - 1."""
    from tokenizers import models

    names = bytes_to_unicode()
    name = {raw: "".join(names[byte] for byte in raw) for raw in ranks}
    merges = [(name[left], name[right]) for left, right in merges_of(ranks)]
    return _finished(_byte_level(models.BPE({name[raw]: rank for raw, rank in ranks.items()}, merges)))


def merges_of(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The merges that make each token longer than a byte, by rank: the two parts that lower ranks leave of it."""
    return [_parts(raw, ranks) for raw in sorted(ranks, key=ranks.__getitem__) if len(raw) > 1]


def _parts(raw: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    parts = [raw[i : i + 1] for i in range(len(raw))]
    while len(parts) > 2:
        pairs = [ranks.get(parts[i] + parts[i + 1], len(ranks)) for i in range(len(parts) - 1)]
        i = pairs.index(min(pairs))
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts[0], parts[1]


def _byte_level(model: tokenizers.models.BPE) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer, decoders, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _finished(tokenizer: tokenizers.Tokenizer) -> Tokenizer:
    """With the end of text as its last id, read back from the file that it writes."""
    tokenizer.add_special_tokens([END_OF_TEXT])
    return parse_tokenizer(tokenizer.to_str().encode())
