"""Memory and time of preparing generated text of growing size, of drawing batches from it, and of training on it.

    python tests/bench/prepare_memory.py [tokenizer] [megabytes …]

By default 40, 400 and 4,000 MB with `gpt2`, which takes some minutes. Each size is prepared in a process of its own,
whose resident memory (its children's with it) is read 20 times a second; then an epoch's worth of batches, at most a
minute of them, is drawn in another; then `pico` trains on it for 60 steps, with checkpoints. The text is sentences of
random words, in JSON lines of some 2 kB and, of the same size again, in one file that is one document.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import psutil

PREPARE = """
import sys, time
from pathlib import Path
from tui_gpt.config import DataConfig
from tui_gpt.corpora import prepare
began = time.perf_counter()
shards = prepare(DataConfig(corpus=sys.argv[1], tokenizer=sys.argv[2]), Path(sys.argv[3], "corpus"), lambda *_: None)
print(time.perf_counter() - began, shards.info.tokens)
"""
DRAW = """
import sys, time
from pathlib import Path
from tui_gpt.config import Config, DataConfig, ModelConfig, TrainingConfig
from tui_gpt.corpora import prepare
from tui_gpt.training.data.batches import BatchLoader
data = DataConfig(corpus=sys.argv[1], tokenizer=sys.argv[2])
config = Config(data=data, model=ModelConfig(context_length=1024), training=TrainingConfig(micro_batch_size=32))
batches = BatchLoader.for_training(prepare(data, Path(sys.argv[3], "corpus"), lambda *_: None), config)
began = time.perf_counter()
for step in range(1, 1 + int(batches.steps_per_epoch)):
    batches.batch(step)
    if time.perf_counter() - began > 60:
        break
print(time.perf_counter() - began, step * 32 * 1024)
"""

TRAIN = """
import subprocess, sys, time
began = time.perf_counter()
command = [sys.executable, "-c", "from tui_gpt.cli import main; main()", "train", "--workspace", sys.argv[3], "--json"]
command += ["--corpus", sys.argv[1], "data.tokenizer=" + sys.argv[2], "--steps", "60", "checkpoints.every=20"]
subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
print(time.perf_counter() - began, 60 * 1024)
"""


def write(folder: Path, megabytes: int) -> None:
    random = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgkqjxz"))
    lengths = random.integers(2, 10, 40_000)
    words = ["".join(random.choice(letters, length)) for length in lengths]
    with (folder / "lines.jsonl").open("wb") as lines, (folder / "book.txt").open("wb") as book:
        written = 0
        while written < megabytes * 10**6:
            chosen = (random.pareto(1.0, 100_000) * 40).astype(int) % len(words)
            text = " ".join([words[index] for index in chosen])
            for start in range(0, len(text), 2000):
                lines.write(msgspec.json.encode({"text": text[start : start + 2000]}) + b"\n")
            book.write(text.encode() + b".\n")
            written += len(text)


def watched(code: str, *arguments: str) -> tuple[float, int, float]:
    """What the process says of seconds and tokens, and the most that it and its children held, in MiB."""
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
    parent, most = psutil.Process(process.pid), 0
    while process.poll() is None:
        try:
            family = [parent, *parent.children(recursive=True)]
            most = max(most, sum(each.memory_info().rss for each in family))
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.05)
    said = process.communicate()[0].split()
    return float(said[0]), int(said[1]), most / 2**20


def main(tokenizer: str = "gpt2", *sizes: str) -> None:
    for megabytes in map(int, sizes or ("40", "400", "4000")):
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
            corpora = Path(folder, "corpus")
            corpora.mkdir()
            write(corpora, megabytes)
            for name in ("lines", "book"):
                seconds, tokens, most = watched(PREPARE, name, tokenizer, folder)
                again, _, _ = watched(PREPARE, name, tokenizer, folder)
                drawing, drawn, held = watched(DRAW, name, tokenizer, folder)
                _, _, trained = watched(TRAIN, name, tokenizer, folder)
                print(
                    f"{megabytes:>6} MB {name:>6}: {tokens / 1e6:,.0f}M tokens in {seconds:.1f} s,"
                    f" {seconds / megabytes * 1000:.1f} ms/MB, at most {most:,.0f} MiB; again {again * 1000:.0f} ms;"
                    f" batches {drawn / drawing / 1e6:.0f}M tokens/s, at most {held:,.0f} MiB;"
                    f" training at most {trained:,.0f} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    main(*sys.argv[1:])
