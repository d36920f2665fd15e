"""Which documents say the same: exact copies, near copies, and passages that stand in another document too.

A document leaves three kinds of fingerprints on the disk: a digest of its text, a MinHash of its runs of five words
(`rensa` computes it; compared by bands), and a sample of its runs of thirteen words, thinned so that all of them fit
into memory. Which documents go is then decided with arrays of some 50 bytes a document, whatever their length.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import xxhash

if TYPE_CHECKING:
    import numpy as np

SHINGLE_WORDS, PASSAGE_WORDS = 5, 13  # thirteen: as GPT-3's authors measured contamination
PERMUTATIONS, BANDS = 128, 16  # bands of 8: copies alike by 0.8 meet in one with p = 0.95, by 0.5 with p = 0.06
SIMILAR = 0.8  # Jaccard, of the runs of five words
SHARED = 0.5  # of a document's passages
MIN_PASSAGES = 4  # sampled, to say anything of a share
SAMPLE_ONE_IN = 4  # passages at least, which tells a share well enough
MAX_PASSAGES = 1 << 22  # sampled, of all documents: 50 MB of fingerprints, and some times that to compare them
WORD = re.compile(rb"[\w\x80-\xff]+")
BATCH = 256


class _WordHashes(dict[bytes, int]):
    """Hashes of words, kept while they are not too many: most words of a text are a few thousand."""

    def __missing__(self, word: bytes) -> int:
        if len(self) > 1 << 20:
            self.clear()
        value = self[word] = xxhash.xxh3_64_intdigest(word)
        return value


class Fingerprints:
    """Fingerprints as they are taken, in files of `folder`. expected_bytes: of text, by which passages are thinned."""

    def __init__(self, folder: Path, expected_bytes: int) -> None:
        self.folder, self.documents = folder, 0
        self._files = {name: (folder / name).open("wb") for name in ("exact", "near", "passages", "passage_documents")}
        self._words = _WordHashes()
        self._shingles: list[np.ndarray] = []
        self._one_in = SAMPLE_ONE_IN
        while expected_bytes / 6 / self._one_in > MAX_PASSAGES:  # six bytes a word
            self._one_in *= 2

    def add(self, text: str) -> None:
        import numpy as np

        self._files["exact"].write(xxhash.xxh3_64_digest(text.encode("utf-8", "surrogatepass")))
        found = WORD.findall(text.lower().encode("utf-8", "surrogatepass"))
        words = np.fromiter(map(self._words.__getitem__, found), np.uint64, len(found))
        self._shingles.append(_runs(words, min(SHINGLE_WORDS, max(1, len(words)))))
        passages = _runs(words, PASSAGE_WORDS)
        sampled = np.unique(passages[passages % np.uint64(self._one_in) == 0])
        self._files["passages"].write(sampled.tobytes())
        self._files["passage_documents"].write(np.full(len(sampled), self.documents, np.uint32).tobytes())
        self.documents += 1
        if len(self._shingles) == BATCH:
            self._sign()

    def _sign(self) -> None:
        import numpy as np
        from rensa import RMinHash

        if self._shingles:
            ends = np.cumsum([0, *map(len, self._shingles)]).tolist()
            flat = np.concatenate(self._shingles)
            rows = RMinHash.digest_matrix_from_flat_token_hashes(flat, ends, PERMUTATIONS, 1).to_rows()
            self._files["near"].write(np.array(rows, np.uint32).tobytes())
            self._shingles.clear()

    def close(self) -> None:
        self._sign()
        for file in self._files.values():
            file.close()

    def read(self, name: str, dtype: str) -> np.ndarray:
        import numpy as np

        path = self.folder / name
        return np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)


def _runs(words: np.ndarray, length: int) -> np.ndarray:
    """A hash of each run of `length` words, shape (words - length + 1,), uint64."""
    import numpy as np

    count = max(0, len(words) - length + 1)
    runs = words[:count].copy()
    for word in range(1, length):
        runs = runs * np.uint64(0x9E3779B97F4A7C15) + words[word : word + count]
    runs ^= runs >> np.uint64(29)
    runs *= np.uint64(0xBF58476D1CE4E5B9)
    return runs ^ (runs >> np.uint64(32))


def exact_copies(prints: Fingerprints) -> np.ndarray:
    """For each document the first with the same text: itself where it is the first, shape (documents,), int64."""
    import numpy as np

    _, first, group = np.unique(prints.read("exact", "<u8"), return_index=True, return_inverse=True)
    return first[group]


def near_copies(prints: Fingerprints, kept: np.ndarray) -> np.ndarray:
    """For each kept document the first one of its family: a chain of documents, each SIMILAR to another.

    Itself where it is the first or not kept, shape (documents,), int64.
    """
    import numpy as np

    signatures = prints.read("near", "<u4").reshape(-1, PERMUTATIONS)
    family = np.arange(len(signatures))
    indices = np.flatnonzero(kept)
    for band in np.split(np.arange(PERMUTATIONS), BANDS):
        keys = np.zeros(len(indices), np.uint64)
        for column in band:
            keys = keys * np.uint64(0x9E3779B97F4A7C15) + signatures[indices, column]
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.r_[True, keys[order][1:] != keys[order][:-1]])
        leaders = indices[order[np.repeat(starts, np.diff(np.r_[starts, len(order)]))]]
        members = indices[order]
        pairs = np.flatnonzero(leaders != members)
        for block in np.array_split(pairs, max(1, len(pairs) // 10_000)):
            alike = (signatures[leaders[block]] == signatures[members[block]]).mean(axis=1) >= SIMILAR
            for one, other in zip(leaders[block][alike].tolist(), members[block][alike].tolist(), strict=True):
                first, second = sorted((_root(family, one), _root(family, other)))
                family[second] = first
    return np.array([_root(family, index) for index in range(len(family))], dtype=np.int64)


def _root(family: np.ndarray, index: int) -> int:
    while family[index] != index:
        family[index] = index = int(family[family[index]])
    return index


class Shared(NamedTuple):
    """A document, and the share of its passages that other documents hold too."""

    document: int
    share: float


def shared_documents(prints: Fingerprints, kept: np.ndarray) -> list[Shared]:
    """The kept documents that must go for no other to share half of its passages, in order.

    Each was, when its turn came, SHARED among the documents that were left: held out, it would measure memory.
    """
    import numpy as np

    documents = prints.read("passage_documents", "<u4")
    chosen = kept[documents] if len(documents) else np.empty(0, bool)
    _, passages = np.unique(prints.read("passages", "<u8")[chosen], return_inverse=True)
    documents = documents[chosen]
    holders = np.bincount(passages)
    firsts = np.flatnonzero(np.diff(documents, prepend=documents[:1] + 1)).tolist()
    gone = []
    for first, last in zip(firsts, [*firsts[1:], len(documents)], strict=bool(firsts)):
        own = passages[first:last]
        share = float((holders[own] > 1).mean())
        if len(own) >= MIN_PASSAGES and share >= SHARED:
            holders[own] -= 1
            gone.append(Shared(int(documents[first]), share))
    return gone
