"""Milliseconds a token at GPT-2 124M's shape with 900 tokens of context, on the CPU.

    python -m tests.bench.generation [--tokens 40] [--threads 0] [NANOGPT_CHECKOUT]

Interleaved: weights in fp32 and in bf16, one completion and four of one prompt in a batch, and what reading all weights
once takes (a floor for fp32). With a checkout also nanoGPT, which has no cache: a token is a pass over the context.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.bench.peers import report
from tui_gpt.config import build
from tui_gpt.model import GPT
from tui_gpt.sampling import SamplingOptions, generate_batch

CONTEXT = 900

_NANOGPT = f"""
import time, torch
from model import GPT, GPTConfig
torch.set_num_threads({{threads}})
model = GPT(GPTConfig(block_size=1024, vocab_size=50257, bias=True, dropout=0.0)).eval()
tokens = torch.randint(0, 50257, (1, {CONTEXT}))
started = time.perf_counter()
with torch.no_grad():
    model.generate(tokens, 5, temperature=0.8)
print("seconds", (time.perf_counter() - started) / 5)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nanogpt", type=Path, nargs="?")
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = GPT(build({"preset": "gpt2"}).model, 50257).eval()
    half = copy.deepcopy(model)
    for parameter in half.parameters():
        parameter.data = parameter.data.bfloat16()
    prompt = torch.randint(0, 50257, (CONTEXT,)).tolist()
    options = SamplingOptions(tokens=arguments.tokens + 1, temperature=0.0)
    writers: dict[str, Iterator] = {}
    for name, network, count in (
        ("fp32", model, 1),
        ("bf16", half, 1),
        ("fp32_four", model, 4),
        ("bf16_four", half, 4),
    ):
        writers[name] = generate_batch(network, prompt, options, count)
        next(writers[name])  # the prompt
    times: dict[str, list[float]] = {name: [] for name in (*writers, "read")}
    for _ in range(arguments.tokens):
        for name, writer in writers.items():
            started = time.perf_counter()
            next(writer)
            times[name].append(time.perf_counter() - started)
        started = time.perf_counter()
        for parameter in model.parameters():
            parameter.detach().sum()
        times["read"].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in times.items()}
    report(
        "generation", threads=torch.get_num_threads(), context=CONTEXT, tokens=arguments.tokens,
        milliseconds={name: round(1e3 * value, 1) for name, value in medians.items()},
        best={name: round(1e3 * min(values), 1) for name, values in times.items()},
        bf16_share=round(medians["bf16"] / medians["fp32"], 2),
        four_share={name: round(medians[f"{name}_four"] / medians[name], 2) for name in ("fp32", "bf16")},
    )  # fmt: skip
    if arguments.nanogpt:
        script = _NANOGPT.format(threads=torch.get_num_threads())
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=arguments.nanogpt, capture_output=True, text=True, check=True
        )
        report("nanogpt", milliseconds=round(1e3 * float(done.stdout.split("seconds ")[1]), 1))


if __name__ == "__main__":
    main()
