"""What must hold on a GPU, in parts of at most eight minutes, each of which prints JSON lines.

    python -m tests.bench.gpu PART [--nanogpt CHECKOUT] [--small]

`list` prints the parts. Needed are this checkout, its dependencies with a CUDA build of torch, pyte for `workbench`,
and nanoGPT's checkout for `nanogpt`; no network. --small runs a part at a toy size, also on a CPU, to try the script.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.bench.peers import ours, report

GPT_TUI = [sys.executable, "-c", "from tui_gpt.cli import main; main()"]
SHAKESPEARE = (
    "model.n_layer=6", "model.n_head=6", "model.n_embd=384", "model.context_length=256", "model.dropout=0.2",
    "data.tokenizer=char", "training.micro_batch_size=64", "training.eval_every=250", "training.patience=4",
)  # fmt: skip
TINY = ("model.n_layer=1", "model.n_head=2", "model.n_embd=32", "model.context_length=32", "data.tokenizer=byte")
TRIALS = 20


@dataclass
class Setup:
    """device: "cuda", or "cpu" with --small. nanogpt: a checkout with its shakespeare_char prepared, or None."""

    device: str
    is_small: bool
    nanogpt: Path | None

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.device == "cuda" else torch.float32


def gpt_tui(*arguments: str, workspace: Path) -> list[dict]:
    """Run a command with --json and return its lines."""
    command = [*GPT_TUI, arguments[0], "--workspace", str(workspace), *arguments[1:], "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(arguments)}: exit {done.returncode}: {done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("{", "["))]


def milliseconds(setup: Setup, work: Callable[[], object]) -> float:
    """Return the median time of `work`, after two calls that warm up."""
    took = []
    for trial in range(2 + (3 if setup.is_small else TRIALS)):
        if setup.device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        if setup.device == "cuda":
            torch.cuda.synchronize()
        if trial > 1:
            took.append(1000 * (time.perf_counter() - started))
    return statistics.median(took)


def peak_gib(setup: Setup, work: Callable[[], object]) -> float:
    """Return how much memory `work` takes at its peak, besides what is taken already; 0 on a CPU."""
    if setup.device != "cuda":
        return 0.0
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**30


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def singular_values(setup: Setup) -> None:
    """Muon's orthogonalization on the device: largest at most 1.3, smallest at least 0.5."""
    from tests.bench.polar_express import SHAPES, matrices
    from tui_gpt.training.optimizers.muon import orthogonalize

    for shape in SHAPES[:1] if setup.is_small else SHAPES:
        rows, columns = map(int, shape.split("x"))
        for dtype in (torch.float32, torch.bfloat16):
            largest = 0.0
            for matrix in matrices(rows, columns, 4 if setup.is_small else 40):
                x = matrix.to(setup.device)
                x = x if rows <= columns else x.mT
                y = orthogonalize(x[None], dtype)[0].float()
                largest = max(largest, float(torch.linalg.matrix_norm(y, 2)))
            report("singular values", shape=shape, dtype=str(dtype), largest=round(largest, 4), ok=largest <= 1.3)


def compile_parity(setup: Setup) -> None:
    """Loss and gradients of a compiled model against eager's, in fp32 and in the precision of training."""
    from tui_gpt.config import ModelConfig
    from tui_gpt.model import GPT

    size = {"n_layer": 2, "n_head": 4, "n_embd": 64 if setup.is_small else 512, "context_length": 64}
    backend = "aot_eager" if setup.is_small else "inductor"
    for architecture in ("modern", "gpt2"):
        torch.manual_seed(0)
        model = GPT(ModelConfig(architecture=architecture, **size), 512).to(setup.device)
        compiled = torch.compile(model, fullgraph=True, dynamic=False, backend=backend)
        tokens = torch.randint(0, 512, (8, 64), device=setup.device)
        found: list[tuple[float, torch.Tensor]] = []
        started = time.perf_counter()
        for subject in (model, compiled):
            model.zero_grad()
            loss = subject(tokens, tokens)
            loss.backward()
            grads = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
            found.append((float(loss), grads))
        (eager, eager_grads), (other, grads) = found
        report(
            "compile parity", architecture=architecture, backend=backend, eager=eager, compiled=other,
            gradient_error=float((grads - eager_grads).norm() / eager_grads.norm()),
            seconds=round(time.perf_counter() - started, 1), ok=abs(eager - other) < 1e-3 * eager,
        )  # fmt: skip


def steps_of_medium(setup: Setup) -> None:
    """50 steps of the preset `medium`: tokens/s, MFU, memory."""
    size = (*TINY, "training.compile=off") if setup.is_small else ()
    with tempfile.TemporaryDirectory() as place:
        steps = "4" if setup.is_small else "50"
        lines = gpt_tui("bench", "--config", "medium", "--steps", steps, *size, workspace=Path(place))
        report("medium", **lines[-1])


def head_variants(setup: Setup) -> None:
    """Head and loss of 124M at 12 × 1,024 tokens: by the size of a chunk, and with all logits in memory."""
    from tui_gpt.model import cross_entropy

    rows, width, vocabulary = (64, 32, 512) if setup.is_small else (12 * 1024, 768, 50_304)
    hidden = torch.randn(rows, width, device=setup.device, dtype=setup.dtype, requires_grad=True)
    weight = torch.randn(vocabulary, width, device=setup.device, dtype=setup.dtype, requires_grad=True)
    targets = torch.randint(0, vocabulary, (rows,), device=setup.device)

    def whole() -> None:
        F.cross_entropy(F.linear(hidden, weight).float(), targets, reduction="sum").backward()

    report("head", variant="all logits", ms=milliseconds(setup, whole), gib=peak_gib(setup, whole))
    name = "CHUNK_LOGITS" if setup.device == "cuda" else "CHUNK_LOGITS_CPU"
    before = getattr(cross_entropy, name)
    for chunk_rows in (16, 32) if setup.is_small else (1024, 2048, 4096, 6144, 12_288):
        setattr(cross_entropy, name, chunk_rows * vocabulary)

        def fused() -> None:
            cross_entropy.linear_cross_entropy(hidden, weight, targets, vocabulary, 0.0).backward()

        report("head", variant=f"{chunk_rows} rows", ms=milliseconds(setup, fused), gib=peak_gib(setup, fused))
    setattr(cross_entropy, name, before)


def attention_variants(setup: Setup) -> None:
    """Causal attention forward and backward by kernel, with and without a mask of documents."""
    batch, heads, length, size = (1, 2, 32, 16) if setup.is_small else (12, 12, 1024, 64)
    q, k, v = (
        torch.randn(batch, heads, length, size, device=setup.device, dtype=setup.dtype, requires_grad=True)
        for _ in range(3)
    )
    documents = torch.arange(length, device=setup.device) // 256
    mask = (documents[:, None] == documents) & torch.ones(length, length, device=setup.device, dtype=torch.bool).tril()
    for backend in (
        SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH,
    ):  # fmt: skip
        for is_masked in (False, True):

            def attend(backend: SDPBackend = backend, is_masked: bool = is_masked) -> None:
                with sdpa_kernel(backend):
                    options = {"attn_mask": mask} if is_masked else {"is_causal": True}
                    F.scaled_dot_product_attention(q, k, v, **options).sum().backward()

            try:
                attend()
            except RuntimeError as error:
                report("attention", kernel=backend.name, masked=is_masked, error=str(error).splitlines()[0][:100])
                continue
            took, memory = milliseconds(setup, attend), peak_gib(setup, attend)
            report("attention", kernel=backend.name, masked=is_masked, ms=took, gib=memory)


def resume(setup: Setup) -> None:
    """A run stopped half way and resumed, against one that was not: the same losses, to the bit where possible."""
    size = (*TINY, "training.micro_batch_size=2") if setup.is_small else ("training.micro_batch_size=16",)
    settings = ["--steps", "40", "training.eval_every=0", "sampling.every=0", *size]
    if setup.is_small:
        settings.append("training.compile=off")
    with tempfile.TemporaryDirectory() as place:
        workspace, curves = Path(place), []
        for stops in (False, True):
            name = f"stops-{stops}".lower()
            lines = gpt_tui(
                "train", "--config", "nano", "--corpus", "stories", "--name", name, *settings,
                *(["--stop-at", "20"] if stops else []), workspace=workspace,
            )  # fmt: skip
            if stops:
                lines += gpt_tui("train", "--resume", name, workspace=workspace)
            curves.append({line["step"]: line["loss"] for line in lines if line.get("type") == "metrics"})
        whole, cut = curves
        differences = [abs(whole[step] - cut[step]) for step in whole if step in cut]
        report("resume", steps=len(cut), largest_difference=max(differences), ok=len(cut) == 40)


def nanogpt(setup: Setup) -> None:
    """nanoGPT's bench.py as it is (124M, bf16, T = 1,024, batch 12, compiled) beside `gpt2` here."""
    if setup.nanogpt is None:
        sys.exit("the part `nanogpt` needs --nanogpt CHECKOUT")
    command = [sys.executable, "bench.py", "--real_data=False"]
    theirs = subprocess.run(command, cwd=setup.nanogpt, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"time per iteration: ([\d.]+)ms, MFU: ([\d.]+)%", theirs)
    took, mfu = (float(value) for value in found[-1])
    report("nanogpt bench.py", tokens_per_second=round(12 * 1024e3 / took), mfu=mfu)
    corpus = (setup.nanogpt / "data/shakespeare_char/input.txt").resolve()
    for settings in (["training.micro_batch_size=12", "training.accumulation_steps=1"], []):
        with tempfile.TemporaryDirectory() as place:
            options = ["--config", "gpt2", "--corpus", str(corpus), "--steps", "30", *settings]
            report("ours", settings=settings, **gpt_tui("bench", *options, workspace=Path(place))[-1])


def shakespeare(setup: Setup) -> None:
    """nanoGPT's GPU recipe of shakespeare_char with a model of its size: validation loss below its 1.4697."""
    if setup.nanogpt is None:
        sys.exit("the part `shakespeare` needs --nanogpt CHECKOUT")
    corpus = (setup.nanogpt / "data/shakespeare_char/input.txt").resolve()
    result = ours(corpus, 20 if setup.is_small else 5000, *SHAKESPEARE)
    report("shakespeare_char", val_loss=result.val_loss, seconds=result.seconds, ok=result.val_loss <= 1.4697)


def nvml(setup: Setup) -> None:
    """What is read of the cards, and what `doctor` finds."""
    from tui_gpt import hardware

    for gpu in hardware.gpus():
        report("nvml", gpu=repr(gpu))
    with tempfile.TemporaryDirectory() as place:
        (findings,) = gpt_tui("doctor", workspace=Path(place))
        levels = [finding["level"] for finding in findings]
        report("doctor", errors=levels.count("error"), warnings=levels.count("warning"), findings=findings)


def workbench(setup: Setup) -> None:
    """A run of `nano` with the workbench attached and then without: bytes sent, tokens/s, samples."""
    from tests.workbench.terminal.pseudo_terminal import PseudoTerminal
    from tui_gpt import launch
    from tui_gpt.config import override
    from tui_gpt.run import command_files
    from tui_gpt.run.messages import Command

    seconds = 10 if setup.is_small else 180
    settings = ["preset=pico" if setup.is_small else "preset=nano", "training.duration=1000000"]
    if setup.is_small:
        settings.append("training.compile=off")
    with tempfile.TemporaryDirectory() as place:
        workspace = Path(place)
        folder = launch.start(workspace / "runs", workspace / "corpus", override({}, settings))

        def step() -> int:
            status = folder.read_status()
            if status is None or not folder.is_locked():
                sys.exit(f"the run ended: {status}")
            return status.step

        while not step():
            time.sleep(0.5)
        rates, sent = {}, 0
        for is_attached in (True, False):
            before, started = step(), time.monotonic()
            if is_attached:
                environment = {"XDG_STATE_HOME": place, "XDG_CONFIG_HOME": place}
                arguments = ("-m", "tui_gpt", "--workspace", place)
                with PseudoTerminal(arguments, size=(120, 40), environment=environment) as terminal:
                    while time.monotonic() - started < seconds:
                        terminal.read(0.5)
                    sent = len(terminal.received)
                    print(terminal.text, file=sys.stderr)
            else:
                time.sleep(seconds)
            rates[is_attached] = (step() - before) / (time.monotonic() - started)
        command_files.send(folder, Command(name="stop", now=True))
        while folder.is_locked():
            time.sleep(0.2)
        report(
            "workbench", bytes_per_second=round(sent / seconds), steps_per_second=rates[True],
            steps_per_second_alone=rates[False], sample=folder.read_samples()[-1].text[:300],
        )  # fmt: skip


PARTS: dict[str, Callable[[Setup], None]] = {
    "singular-values": singular_values,
    "compile-parity": compile_parity,
    "medium": steps_of_medium,
    "head": head_variants,
    "attention": attention_variants,
    "resume": resume,
    "nanogpt": nanogpt,
    "shakespeare": shakespeare,
    "nvml": nvml,
    "workbench": workbench,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["list", *PARTS])
    parser.add_argument("--nanogpt", type=Path)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    if arguments.part == "list":
        for name, part in PARTS.items():
            print(f"{name:<16} {(part.__doc__ or '').splitlines()[0]}")
        return
    has_gpu = torch.cuda.is_available()
    if not has_gpu and not arguments.small:
        sys.exit("no CUDA device; --small tries the script on a CPU")
    os.environ.setdefault("TERM", "xterm-256color")
    setup = Setup("cuda" if has_gpu else "cpu", arguments.small, arguments.nanogpt)
    report("machine", card=torch.cuda.get_device_name() if has_gpu else "cpu", torch=torch.__version__)
    PARTS[arguments.part](setup)


if __name__ == "__main__":
    main()
