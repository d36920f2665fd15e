"""Find duplicates: exact copies, near copies, and documents that share passages with others.

Three fingerprints of each document are written to disk: a digest of its text, a MinHash of its runs of five words
(computed by `rensa`, compared in bands), and a sample of its runs of thirteen words, thinned so that all samples fit
into memory. The duplicates are then found with arrays of about 50 bytes per document, whatever the documents' length.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import xxhash

if TYPE_CHECKING:
    import numpy as np

SHINGLE_WORDS, PASSAGE_WORDS = 5, 13  # GPT-3's authors measured contamination by runs of thirteen words
PERMUTATIONS, BANDS = 128, 16  # bands of 8: similarity 0.8 matches in one with p = 0.95, similarity 0.5 with p = 0.06
SIMILAR = 0.8  # Jaccard similarity of the runs of five words
SHARED = 0.5  # share of a document's passages
MIN_PASSAGES = 4  # sampled passages needed to estimate the share
SAMPLE_ONE_IN = 4  # at least; enough for the estimate
MAX_PASSAGES = 1 << 22  # sampled passages of all documents: 50 MB, and a few times that while comparing
WORD = re.compile(rb"[\w\x80-\xff]+")
BATCH = 256


class _WordHashes(dict[bytes, int]):
    """A bounded cache of word hashes; most words of a text are among a few thousand."""

    def __missing__(self, word: bytes) -> int:
        if len(self) > 1 << 20:
            self.clear()
        value = self[word] = xxhash.xxh3_64_intdigest(word)
        return value


class Fingerprints:
    """Fingerprints of documents, written to files in `folder`. expected_bytes: size of the text, which sets the
    thinning.
    """

    def __init__(self, folder: Path, expected_bytes: int) -> None:
        self.folder, self.documents = folder, 0
        self._files = {name: (folder / name).open("wb") for name in ("exact", "near", "passages", "passage_documents")}
        self._words = _WordHashes()
        self._shingles: list[np.ndarray] = []
        self._one_in = SAMPLE_ONE_IN
        while expected_bytes / 6 / self._one_in > MAX_PASSAGES:  # six bytes a word
            self._one_in *= 2

    def add(self, text: str) -> None:
        """Append the fingerprints of a document."""
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
        """Compute and write the MinHash signatures of the collected shingles."""
        import numpy as np
        from rensa import RMinHash

        if self._shingles:
            ends = np.cumsum([0, *map(len, self._shingles)]).tolist()
            flat = np.concatenate(self._shingles)
            rows = RMinHash.digest_matrix_from_flat_token_hashes(flat, ends, PERMUTATIONS, 1).to_rows()
            self._files["near"].write(np.array(rows, np.uint32).tobytes())
            self._shingles.clear()

    def close(self) -> None:
        """Write what is pending and close the files."""
        self._sign()
        for file in self._files.values():
            file.close()

    def read(self, name: str, dtype: str) -> np.ndarray:
        """Return one of the files as a memory-mapped array."""
        import numpy as np

        path = self.folder / name
        return np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)


def _runs(words: np.ndarray, length: int) -> np.ndarray:
    """Return a hash of each run of `length` words, shape (words - length + 1,), uint64."""
    import numpy as np

    count = max(0, len(words) - length + 1)
    runs = words[:count].copy()
    for word in range(1, length):
        runs = runs * np.uint64(0x9E3779B97F4A7C15) + words[word : word + count]
    runs ^= runs >> np.uint64(29)
    runs *= np.uint64(0xBF58476D1CE4E5B9)
    return runs ^ (runs >> np.uint64(32))


def exact_copies(fingerprints: Fingerprints) -> np.ndarray:
    """Return for each document the first one with the same text (itself if it is the first), shape (documents,),
    int64.
    """
    import numpy as np

    _, first, group = np.unique(fingerprints.read("exact", "<u8"), return_index=True, return_inverse=True)
    return first[group]


def near_copies(fingerprints: Fingerprints, kept: np.ndarray) -> np.ndarray:
    """Return for each document the first one of its cluster, shape (documents,), int64.

    A cluster is a chain of kept documents, each SIMILAR to another of them. Documents that are first or not kept return
    themselves.
    """
    import numpy as np

    signatures = fingerprints.read("near", "<u4").reshape(-1, PERMUTATIONS)
    cluster = np.arange(len(signatures))
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
            similar = (signatures[leaders[block]] == signatures[members[block]]).mean(axis=1) >= SIMILAR
            for one, other in zip(leaders[block][similar].tolist(), members[block][similar].tolist(), strict=True):
                first, second = sorted((_root(cluster, one), _root(cluster, other)))
                cluster[second] = first
    return np.array([_root(cluster, index) for index in range(len(cluster))], dtype=np.int64)


def _root(cluster: np.ndarray, index: int) -> int:
    """Return the first document of a cluster (union-find, with path halving)."""
    while cluster[index] != index:
        cluster[index] = index = int(cluster[cluster[index]])
    return index


class SharedPassages(NamedTuple):
    """A document and the share of its passages that other documents contain too."""

    document: int
    share: float


def shared_documents(fingerprints: Fingerprints, kept: np.ndarray) -> list[SharedPassages]:
    """Return the kept documents to drop so that no document shares half of its passages with others, in order.

    A document is dropped if at least SHARED of its passages are in documents not dropped before it. In validation it
    would measure memorisation.
    """
    import numpy as np

    documents = fingerprints.read("passage_documents", "<u4")
    chosen = kept[documents] if len(documents) else np.empty(0, bool)
    _, passages = np.unique(fingerprints.read("passages", "<u8")[chosen], return_inverse=True)
    documents = documents[chosen]
    holders = np.bincount(passages)
    firsts = np.flatnonzero(np.diff(documents, prepend=documents[:1] + 1)).tolist()
    dropped = []
    for first, last in zip(firsts, [*firsts[1:], len(documents)], strict=bool(firsts)):
        own = passages[first:last]
        share = float((holders[own] > 1).mean())
        if len(own) >= MIN_PASSAGES and share >= SHARED:
            holders[own] -= 1
            dropped.append(SharedPassages(int(documents[first]), share))
    return dropped
