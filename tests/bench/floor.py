"""How near a small model comes to the floor of `stories`, and that it never falls below it.

    python -m tests.bench.floor [--seeds 3] [--steps 3000] [SETTING …]

`pico` with a context of 128, which holds a story; validation scores each story from its beginning, alone.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.bench.peers import ours, report
from tui_gpt.config import DataConfig
from tui_gpt.corpora import prepare

ALONE = ("model.context_length=128", "data.mode=packed", "data.attend_across_documents=false", "sampling.every=0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as corpora:
        info = prepare(DataConfig(), Path(corpora), lambda *_: None).info
    assert info.floor_nats is not None
    floor = info.floor_nats / info.val_tokens
    for seed in range(1, arguments.seeds + 1):
        result = ours("stories", arguments.steps, *ALONE, f"training.seed={seed}", *arguments.settings)
        report(
            "floor", steps=arguments.steps, seconds=round(result.seconds, 1), floor=round(floor, 4),
            val_loss=round(result.val_loss, 4), above=f"{result.val_loss / floor - 1:+.1%}",
        )  # fmt: skip


if __name__ == "__main__":
    main()
