"""124M on one card against nanoGPT's bench.py on the same card: tokens/s, memory, MFU; shakespeare_char's best loss.

    python -m tests.bench.gpu NANOGPT_CHECKOUT [--steps 30]

nanoGPT's bench.py is run as it is (124M, bf16, T = 1024, batch 12, compiled), then our `gpt2` preset at its batch and
at the preset's own; then nanoGPT's GPU recipe of shakespeare_char with our `nano`-sized model, which should fall below
1.4697.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from tests.bench.peers import ours, report

GPT_TUI = [sys.executable, "-c", "from tui_gpt.cli import main; main()"]
SHAKESPEARE = (
    "model.n_layer=6", "model.n_head=6", "model.n_embd=384", "model.context_length=256", "model.dropout=0.2",
    "data.tokenizer=char", "training.micro_batch_size=64", "training.eval_every=250", "training.patience=4",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nanogpt", type=Path)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no CUDA device: not measured")
    theirs = subprocess.run(
        [sys.executable, "bench.py", "--real_data=False"],
        cwd=arguments.nanogpt,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.findall(r"time per iteration: ([\d.]+)ms, MFU: ([\d.]+)%", theirs)
    milliseconds, mfu = (float(value) for value in found[-1])
    report(
        "nanogpt bench.py",
        card=torch.cuda.get_device_name(),
        tokens_per_second=round(12 * 1024e3 / milliseconds),
        mfu=mfu,
    )
    corpus = (arguments.nanogpt / "data/shakespeare_char/input.txt").resolve()
    for settings in (["training.micro_batch_size=12", "training.accumulation_steps=1"], []):
        with tempfile.TemporaryDirectory() as place:
            command = [*GPT_TUI, "bench", "--workspace", place, "--config", "gpt2", "--corpus", str(corpus), "--json",
                       "--steps", str(arguments.steps), *settings]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            report("ours", settings=settings, **json.loads(done.stdout.splitlines()[-1]))
    result = ours(corpus, 5000, *SHAKESPEARE)
    report("shakespeare_char", val_loss=result.val_loss, seconds=round(result.seconds, 1), to_beat=1.4697)


if __name__ == "__main__":
    main()
