"""Our Muon against torch's on the matrices of a preset: milliseconds a step, and how far each is from orthogonal.

python -m tests.bench.muon [--preset pico] [--device cpu] [--repeat 50]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from tests.bench.peers import report
from tui_gpt.config import build
from tui_gpt.model import GPT, role_of
from tui_gpt.training.optimizers.muon import Muon


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="pico")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeat", type=int, default=50)
    arguments = parser.parse_args()
    model = GPT(build({"preset": arguments.preset}).model, 1024).to(arguments.device)
    matrices = [p for name, p in model.named_parameters() if role_of(name).group == "matrix"]
    for parameter in matrices:
        parameter.grad = torch.randn_like(parameter)
    rows = {id(parameter): rows for parameter, rows in model.stacked_matrices()}
    ours = Muon(matrices, 0.95, 0.0, rows)
    theirs = torch.optim.Muon(matrices, lr=0.0, weight_decay=0.0)
    times: dict[str, list[float]] = {"ours": [], "torch": []}
    for _ in range(arguments.repeat):
        for name, step in (("ours", ours.step), ("torch", theirs.step)):
            times[name].append(timed(step, arguments.device))
    medians = {name: statistics.median(values) for name, values in times.items()}
    report(
        "muon", preset=arguments.preset, device=arguments.device, matrices=len(matrices),
        ours_ms=round(1e3 * medians["ours"], 2), torch_ms=round(1e3 * medians["torch"], 2),
        ratio=round(medians["torch"] / medians["ours"], 2),
    )  # fmt: skip


def timed(step: Callable[[], object], device: str) -> float:
    """Seconds of one step."""
    if device != "cpu":
        torch.cuda.synchronize()
    started = time.perf_counter()
    step()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
