"""How long preparing a text takes, beside tiktoken and `tokenizers` alone on the same text in the same run.

    python tests/bench/prepare_speed.py FILE [times] [tokenizer …]

The file is written `times` over (200 makes 223 MB of tinyshakespeare). For `gpt2` the peer is tiktoken encoding the
text in pieces of 10⁶ characters on one core, halved for two; for `bpe:N` the `tokenizers` library training on it.
Without a quiet machine compare processor seconds, which are printed beside those of the clock.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tui_gpt.config import DataConfig
from tui_gpt.corpora import cache_dir, prepare
from tui_gpt.corpora.tokenizers.build import make_tokenizer

PIECE = 1 << 20


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of all processors."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def encode_alone(text: str, name: str) -> None:
    import tiktoken

    encoding = tiktoken.get_encoding(name)
    for start in range(0, len(text), PIECE):
        encoding.encode_ordinary(text[start : start + PIECE])


def train_alone(text: str, size: int) -> None:
    import tokenizers

    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)


def main(file: str, times: str = "200", *tokenizers: str) -> None:
    cores = len(os.sched_getaffinity(0))
    text = Path(file).read_text("utf-8") * int(times)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GPT_TUI_CACHE"] = str(Path(folder, "cache"))
        book = Path(folder, "book.txt")
        book.write_text(text, "utf-8")
        time.sleep(2.1)  # a digest is kept of what is at rest
        print(f"{len(text) / 1e6:.0f} MB, {cores} cores, load {os.getloadavg()[0]:.1f}; seconds by clock (processors)")
        for name in tokenizers or ("gpt2", "bpe:8192"):
            if name.startswith("bpe:"):
                size = int(name.removeprefix("bpe:"))
                peer = timed(lambda size=size: train_alone(text, size))
                learned = timed(lambda name=name: learn(name, book.parent))
                print(f"{name:>9} tokenizers alone {said(peer)}, learned here {said(learned)}: {ratio(learned, peer)}")
            else:
                make_tokenizer(name, [], lambda *_: None)  # its vocabulary is on this machine then
                peer = timed(lambda name=name: encode_alone(text, name))
                print(f"{name:>9} tiktoken alone on one core {said(peer)}, on {cores} at best {peer[0] / cores:.1f}")
            data = DataConfig(corpus="book", tokenizer=name)
            ours = timed(lambda data=data: prepare(data, book.parent, lambda *_: None))
            again = timed(lambda data=data: prepare(data, book.parent, lambda *_: None))
            print(f"{'':>9} prepared {said(ours)}, found again {again[0] * 1000:.0f} ms", end="")
            print("" if name.startswith("bpe:") else f": {ratio(ours, (peer[0] / cores, peer[1]))}", flush=True)


def learn(name: str, folder: Path) -> None:
    from tui_gpt.corpora import find_corpus
    from tui_gpt.corpora.tokenizers.tokenizer_cache import cached_tokenizer

    source = find_corpus("book", folder)
    cached_tokenizer(name, source, source.digest(), cache_dir(folder), lambda *_: None)


def said(seconds: tuple[float, float]) -> str:
    return f"{seconds[0]:.1f} ({seconds[1]:.1f})"


def ratio(ours: tuple[float, float], peer: tuple[float, float]) -> str:
    return f"× {ours[0] / peer[0]:.2f} by clock, × {ours[1] / peer[1]:.2f} in processor time"


if __name__ == "__main__":
    main(*sys.argv[1:])
