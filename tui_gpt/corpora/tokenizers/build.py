"""Build tokenizers by name: `char`, `byte`, `bpe:N`, tiktoken's encodings, or a given tokenizer.json.

Every one is written as a `tokenizer.json` and parsed again (`tokenizer.py`), so that there is a single way from a
vocabulary to tokens. `bpe:N` is trained by the `tokenizers` library on all 256 bytes; N includes the end-of-text token.
It is trained on at most half a gigabyte, sampled evenly: more text changes little and takes minutes.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_gpt.config.tokenizer_names import ALLOWED, TIKTOKEN_ENCODINGS, is_tokenizer_name
from tui_gpt.corpora.sources.source import Progress
from tui_gpt.corpora.sources.text_files import path_kind
from tui_gpt.corpora.tokenizers.chunking import portable_pattern
from tui_gpt.corpora.tokenizers.tokenizer import (
    END_OF_TEXT,
    GPT2_PATTERN,
    Tokenizer,
    bytes_to_unicode,
    load_tokenizer,
    parse_tokenizer,
)
from tui_gpt.errors import CorpusError
from tui_gpt.files import read_file

if TYPE_CHECKING:
    import tokenizers

BPE_CHARACTERS = 1 << 29
MAX_VOCABULARY_BYTES = 1 << 26  # OpenAI's largest has 4 MB
LONGEST_WORD = 1000  # characters; a longer one is trained on in parts, because the time grows with its square
FETCH_SECONDS = (10.0, 30.0)  # timeouts to connect and between two reads

_LONG_RUN = re.compile(rf"(?<!\S)\S{{{LONGEST_WORD},}}|(?<!\s)\s{{{LONGEST_WORD},}}")
TRAINED_ON_TEXT = re.compile(r"char$|bpe:")


def check_tokenizer(spec: str) -> str:
    """Return the tokenizer's name, with a path made absolute. Raises CorpusError if it cannot be built."""
    if not is_tokenizer_name(spec):
        raise CorpusError(f"unknown tokenizer {spec!r}", do=f"Allowed: {ALLOWED}")
    if spec.startswith("bpe:"):
        return f"bpe:{int(spec.removeprefix('bpe:'))}"
    if not spec.endswith(".json"):
        return spec
    path = Path(spec).expanduser().absolute()
    if path_kind(path) != "file":
        raise CorpusError("no such tokenizer file", where=spec, do=f"Allowed: {ALLOWED}")
    load_tokenizer(path).encode("a")  # compiles its pattern
    return str(path)


def make_tokenizer(spec: str, texts: Iterable[str], progress: Progress, size: int = 0) -> Tokenizer:
    """Build the tokenizer `spec`. Raises CorpusError.

    texts: documents or chunks of them, read for `char` and `bpe:N` only. size: their approximate length in characters.
    """
    spec = check_tokenizer(spec)
    if spec == "char":
        progress("collecting characters", None)
        return _collect_characters(texts)
    if spec == "byte":
        return from_ranks({bytes([byte]): byte for byte in range(256)})
    if spec in TIKTOKEN_ENCODINGS:
        progress(f"loading the vocabulary of {spec}", None)
        return _convert_tiktoken(spec)
    if spec.startswith("bpe:"):
        progress(f"training {spec}", None)
        return _train_bpe(int(spec.partition(":")[2]), islice(texts, 0, None, 1 + size // BPE_CHARACTERS))
    return load_tokenizer(Path(spec))


def _collect_characters(texts: Iterable[str]) -> Tokenizer:
    import numpy as np
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    found = np.zeros(sys.maxunicode + 1, dtype=bool)
    for text in texts:
        found[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")] = True
    if not found.any():
        raise CorpusError("no text to collect characters from")
    vocab = {chr(code): id for id, code in enumerate(np.flatnonzero(found).tolist())}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return _finish(tokenizer)


def _train_bpe(size: int, texts: Iterable[str]) -> Tokenizer:
    from tokenizers import models, pre_tokenizers, trainers

    tokenizer = _byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,  # plus the end-of-text token
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_cut_long_runs(texts), trainer)
    return _finish(tokenizer)


def _cut_long_runs(texts: Iterable[str]) -> Iterator[str]:
    """Yield `texts`, cut within runs of blanks, or of other characters, that are no word."""
    half = LONGEST_WORD // 2
    for text in texts:
        # A run covers a whole block of half its length, so most texts need not be searched.
        if all(len(text[at : at + half].split(None, 1)) > 1 for at in range(0, len(text) - half + 1, half)):
            yield text
            continue
        start = 0
        for run in _LONG_RUN.finditer(text):
            yield text[start : run.start()]
            word = run.group()
            yield from (word[at : at + LONGEST_WORD] for at in range(0, len(word), LONGEST_WORD))
            start = run.end()
        yield text[start:]


def _convert_tiktoken(name: str) -> Tokenizer:
    import tiktoken
    from tiktoken import load

    own = load.read_file
    load.read_file = _fetch  # tiktoken's own function has no timeout
    try:
        encoding = tiktoken.get_encoding(name)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a damaged download is a ValueError
        raise CorpusError(
            f"cannot download the vocabulary of {name} ({type(error).__name__})",
            where=f"data.tokenizer = {name}",
            do="Set TIKTOKEN_CACHE_DIR to a folder that holds it, or use bpe:4096, byte or char",
        ) from None
    finally:
        load.read_file = own
    return from_ranks(encoding._mergeable_ranks, {END_OF_TEXT: encoding.eot_token}, encoding._pat_str)


def _fetch(blobpath: str) -> bytes:
    """Download a URL with a timeout, encrypted on every hop. Raises OSError. tiktoken verifies its digest."""
    from tui_gpt.corpora.sources.download import encrypted_session

    with (
        encrypted_session(retries=2) as session,
        session.get(blobpath, timeout=FETCH_SECONDS, stream=True) as response,
    ):
        response.raise_for_status()
        data = bytearray()
        for part in response.iter_content(1 << 16):
            data += part
            if len(data) > MAX_VOCABULARY_BYTES:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return bytes(data)


def from_vocabulary(vocab: Path, merges: Path) -> Tokenizer:
    """Return the tokenizer of GPT-2's two files, vocab.json and merges.txt. Raises CorpusError."""
    from tokenizers import models

    try:
        ids = msgspec.json.decode(read_file(vocab), type=dict[str, int])
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(f"invalid vocabulary or {merges.name}: {error}", where=str(vocab)) from None
    if sorted(ids.values()) != list(range(len(ids))):  # the library would fill a gap of billions
        raise CorpusError("the vocabulary's ids are not consecutive from 0", where=str(vocab))
    try:
        model = models.BPE.from_file(str(vocab), str(merges))
    except Exception as error:  # the library raises plain Exception
        raise CorpusError(f"invalid vocabulary or {merges.name}: {error}", where=str(vocab)) from None
    return _finish(_byte_level(model))


def from_ranks(
    ranks: dict[bytes, int], special: dict[str, int] | None = None, pattern: str = GPT2_PATTERN
) -> Tokenizer:
    """Return the byte-level BPE whose tokens have these ranks, which are also their ids.

    special: special tokens with their ids, by default an end-of-text token with the next id. Gaps between the ids,
    which some of OpenAI's vocabularies have, are filled with tokens that no text encodes to.
    """
    from tokenizers import models

    names = bytes_to_unicode()
    name = {raw: "".join(names[byte] for byte in raw) for raw in ranks}
    merges = [(name[left], name[right]) for left, right in derive_merges(ranks)]
    vocab = {name[raw]: rank for raw, rank in ranks.items()}
    special = special or {END_OF_TEXT: len(ranks)}
    gaps = sorted({*range(max(special.values()))} - {*vocab.values(), *special.values()})
    special = special | {f"<|unused_{id}|>": id for id in gaps}
    below = {token: id for token, id in special.items() if id < max(vocab.values())}  # ids between the ranks
    tokenizer = _byte_level(models.BPE(vocab | below, merges), pattern)
    return _finish(tokenizer, sorted(special, key=special.__getitem__))


def derive_merges(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Return the merge that creates each token longer than a byte, by rank: the two parts that lower ranks reduce it
    to.
    """
    return [_parts(raw, ranks) for raw in sorted(ranks, key=ranks.__getitem__) if len(raw) > 1]


def _parts(raw: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    parts = [raw[i : i + 1] for i in range(len(raw))]
    while len(parts) > 2:
        pairs = [ranks.get(parts[i] + parts[i + 1], len(ranks)) for i in range(len(parts) - 1)]
        i = pairs.index(min(pairs))
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts[0], parts[1]


def _byte_level(model: tokenizers.models.BPE, pattern: str = GPT2_PATTERN) -> tokenizers.Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers

    tokenizer = Tokenizer(model)
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern == GPT2_PATTERN)
    split = pre_tokenizers.Split(Regex(portable_pattern(pattern)), "isolated")
    tokenizer.pre_tokenizer = whole if pattern == GPT2_PATTERN else pre_tokenizers.Sequence([split, whole])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _finish(tokenizer: tokenizers.Tokenizer, special: Sequence[str] = (END_OF_TEXT,)) -> Tokenizer:
    """Add the special tokens and parse the resulting file. Those not in the vocabulary get the next ids."""
    tokenizer.add_special_tokens(list(special))
    return parse_tokenizer(tokenizer.to_str().encode())
