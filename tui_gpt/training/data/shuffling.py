"""A pseudo-random permutation that needs no memory: each image is computed when it is needed.

A Feistel network on an even number of bits is a permutation, whatever its rounds compute. Images of n or more are
permuted again until they are below n (fewer than 4 rounds on average). A stored permutation would take 4 bytes a
window: 12 GB for 50 GB of text in short windows.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

ROUNDS = 4


def permute(places: np.ndarray, n: int, key: tuple[int, ...]) -> np.ndarray:
    """Return the images of `places` (int64, below n) under the permutation of 0 to n - 1 that `key` selects."""
    half = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    keys = _keys(key)
    found = _rounds(places.astype(np.uint64), keys, half, mask)
    beyond = np.flatnonzero(found >= n)
    while len(beyond):
        found[beyond] = _rounds(found[beyond], keys, half, mask)
        beyond = beyond[found[beyond] >= n]
    return found.astype(np.int64)


def _rounds(x: np.ndarray, keys: np.ndarray, half: np.uint64, mask: np.uint64) -> np.ndarray:
    left, right = x >> half, x & mask
    for key in keys:
        mixed = (right ^ key) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
    return (left << half) | right


@lru_cache(maxsize=64)
def _keys(key: tuple[int, ...]) -> np.ndarray:
    return np.random.SeedSequence(key).generate_state(ROUNDS, np.uint64)
