"""Does one learning rate fit every width? Final loss of short runs over a grid of rates, by width.

    python -m tests.bench.widths NANOGPT_CHECKOUT [--steps 200] [--widths 64,128,256]

Each row is a width, each column a factor on both of pico's rates. The rates hold if the best column is the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.bench.peers import ours, report
from tui_gpt.config import build

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nanogpt", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--widths", default="64,128,256")
    arguments = parser.parse_args()
    corpus = (arguments.nanogpt / "data/shakespeare_char/input.txt").resolve()
    pico = build({"preset": "pico"}).optimizer
    for width in (int(text) for text in arguments.widths.split(",")):
        losses = {}
        for factor in FACTORS:
            result = ours(
                corpus, arguments.steps, "data.tokenizer=char", "training.micro_batch_size=12", "sampling.every=0",
                "training.eval_every=0", f"model.n_embd={width}",
                f"optimizer.learning_rate={factor * pico.learning_rate}",
                f"optimizer.muon_learning_rate={factor * pico.muon_learning_rate}",
            )  # fmt: skip
            losses[factor] = round(result.val_loss, 4)
        report("width", n_embd=width, losses=losses, best_factor=min(losses, key=losses.__getitem__))


if __name__ == "__main__":
    main()
