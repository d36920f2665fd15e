"""Our best CPU recipe against nanoGPT's laptop recipe on tinyshakespeare: time to its loss, and loss at its budget.

    python -m tests.bench.recipe NANOGPT_CHECKOUT [--seeds 3]

Both sides: 4 layers, 4 heads, 128 wide, context 64, 12 sequences a step, start-up included. Ours is the preset `pico`;
for the time to nanoGPT's loss, with the rates of `FAST`.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from tests.bench.peers import nanogpt, ours, report

PICO = ("data.tokenizer=char", "training.micro_batch_size=12", "sampling.every=0")
FAST = (  # so short a run learns most at higher rates
    *PICO, "optimizer.learning_rate=0.01", "optimizer.embedding_lr_ratio=1", "optimizer.muon_learning_rate=0.03",
    "optimizer.momentum=0.9", "training.eval_every=0", "checkpoints.every=0", "training.log_every=10",
)  # fmt: skip
FAST_STEPS = {4: 225, 2: 270}  # by layers: half the model gets there sooner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nanogpt", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    corpus = (arguments.nanogpt / "data/shakespeare_char/input.txt").resolve()
    theirs = nanogpt(arguments.nanogpt, 2000)
    report("nanogpt", seconds=round(theirs.seconds, 1), val_loss=round(theirs.val_loss, 4))
    seeds = [f"training.seed={seed}" for seed in range(1, arguments.seeds + 1)]
    for layers, steps in FAST_STEPS.items():
        fast = [ours(corpus, steps, *FAST, f"model.n_layer={layers}", seed) for seed in seeds]
        seconds = statistics.median(result.seconds for result in fast)
        report(
            "time to its loss", layers=layers, steps=steps, median_seconds=round(seconds, 1),
            seconds=[round(result.seconds, 1) for result in fast],
            share_of_nanogpts=f"1/{theirs.seconds / seconds:.1f}",
            val_losses=[round(result.val_loss, 4) for result in fast],
        )  # fmt: skip
    full = [ours(corpus, 2000, *PICO, seed) for seed in seeds]
    losses = [result.val_loss for result in full]
    report(
        "loss at its budget", mean_val_loss=round(statistics.mean(losses), 4),
        val_losses=[round(loss, 4) for loss in losses], seconds=[round(result.seconds, 1) for result in full],
    )  # fmt: skip


if __name__ == "__main__":
    main()
