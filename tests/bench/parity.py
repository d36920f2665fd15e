"""Our GPT-2 with nanoGPT's hyperparameters against nanoGPT: the same loss, and no slower.

    python -m tests.bench.parity NANOGPT_CHECKOUT [--pairs 5]

Loss: one run each of 2,000 steps. Speed: interleaved pairs of 200 steps, the ratio of median tokens/s.
Ours has biases (nanoGPT's recipe turns them off) and decays neither embeddings nor norms.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from tests.bench.peers import AS_NANOGPT, nanogpt, ours, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nanogpt", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    corpus = (arguments.nanogpt / "data/shakespeare_char/input.txt").resolve()
    ratios = []
    for _ in range(arguments.pairs):
        theirs = nanogpt(arguments.nanogpt, 200)
        mine = ours(corpus, 200, *AS_NANOGPT)
        ratios.append(mine.tokens_per_second / theirs.tokens_per_second)
        report("speed pair", ours=round(mine.tokens_per_second), nanogpt=round(theirs.tokens_per_second))
    report("speed", median_ratio=round(statistics.median(ratios), 3), ratios=[round(ratio, 3) for ratio in ratios])
    theirs, mine = nanogpt(arguments.nanogpt, arguments.steps), ours(corpus, arguments.steps, *AS_NANOGPT)
    report(
        "parity", steps=arguments.steps, ours_val_loss=round(mine.val_loss, 4),
        nanogpt_val_loss=round(theirs.val_loss, 4), ours_seconds=round(mine.seconds, 1),
        nanogpt_seconds=round(theirs.seconds, 1),
    )  # fmt: skip


if __name__ == "__main__":
    main()
