"""`gpt-tui doctor`: show the machine's hardware and software, what is missing, and test the installation with a run."""

from __future__ import annotations

import importlib.util
import locale
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import click

from tui_gpt import hardware, launch
from tui_gpt.cli.options import Workspace, command, json_option
from tui_gpt.cli.output import echo, print_json
from tui_gpt.errors import UserError
from tui_gpt.run.folder import RunFolder

TEST_STEPS = 20
MARKS = {"ok": "✓", "note": "·", "warning": "!", "error": "✗"}


@dataclass
class Finding:
    """A line of the report: what was checked, the result, and what to do about it."""

    level: Literal["ok", "note", "warning", "error"]
    what: str
    found: str
    do: str = ""


@command("doctor")
@json_option
def doctor_command(workspace: Workspace, as_json: bool) -> None:
    """Check this machine and train 20 steps to test the installation. Exit 1 if something is broken."""
    findings: list[Finding] = []
    for finding in [*_checks(workspace), *_test_run()]:
        findings.append(finding)
        if not as_json:
            click.secho(f"{MARKS[finding.level]} {finding.what:<12} ", nl=False, fg=_colour(finding.level))
            echo(finding.found + (f"\n               → {finding.do}" if finding.do else ""))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    raise SystemExit(any(finding.level == "error" for finding in findings))


def _colour(level: str) -> str:
    return {"ok": "green", "note": "blue", "warning": "yellow", "error": "red"}[level]


def _checks(workspace: Workspace) -> Iterator[Finding]:
    host = hardware.host()
    yield Finding("ok", "Python", f"{platform.python_version()} on {host.system}")
    memory = f"{host.memory_free_bytes / 2**30:.0f} of {host.memory_bytes / 2**30:.0f} GiB of memory free"
    yield Finding("ok", "CPU", f"{host.cpu}, {host.cores} cores, {memory}")
    yield Finding("ok", "PyTorch", metadata.version("torch"))
    yield from _gpus()
    yield _compiler()
    yield _disk(workspace)
    yield _logout()
    yield _terminal()
    yield _gpt2_tokenizer(workspace)


def _gpus() -> Iterator[Finding]:
    gpus = hardware.gpus()
    for gpu in gpus:
        free = f"{gpu.memory_free_bytes / 2**30:.0f} of {gpu.memory_total_bytes / 2**30:.0f} GiB free"
        note = "" if hardware.peak_flops(gpu.name, "bf16") else "; unknown peak FLOP/s, so no MFU"
        yield Finding("ok", "GPU", f"cuda:{gpu.index} {gpu.name}, {free}, {gpu.uuid}{note}")
    if not gpus:
        yield Finding("note", "GPU", "no NVIDIA GPU or driver; runs use the CPU (or Apple's GPU)")
    elif "+cpu" in metadata.version("torch"):
        yield Finding("warning", "PyTorch", "built without CUDA", "Install the CUDA build: https://pytorch.org")


def _compiler() -> Finding:
    compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    triton = importlib.util.find_spec("triton") is not None
    if hardware.gpus() and not (compiler and triton):
        missing = "Triton" if compiler else "a C compiler"
        hint = f"Install {missing}"
        return Finding("warning", "compile", f"{missing} is missing, so torch.compile is off and training slower", hint)
    return Finding("ok", "compile", f"C compiler: {compiler or 'none'}, Triton: {'yes' if triton else 'no'}")


def _disk(workspace: Workspace) -> Finding:
    folder = next(path for path in (workspace.runs, *workspace.runs.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        return Finding("error", "disk", f"no write access to {folder}", "Choose another folder with --workspace")
    free = shutil.disk_usage(folder).free / 2**30
    level: Literal["ok", "warning"] = "warning" if free < 2 else "ok"
    return Finding(level, "disk", f"{free:.0f} GiB free in {folder}", "Free some space" if free < 2 else "")


def _logout() -> Finding:
    match hardware.logout_kills_processes():
        case "no":
            return Finding("ok", "logout", "detached runs survive the end of the login session")
        case "yes":
            return Finding(
                "warning",
                "logout",
                "systemd kills your processes when you log out, detached runs too (KillUserProcesses=yes)",
                "Run loginctl enable-linger",
            )
    return Finding(
        "note",
        "logout",
        "cannot tell whether systemd kills your processes when you log out",
        "Run loginctl enable-linger to prevent it",
    )


def _terminal() -> Finding:
    encoding = locale.getpreferredencoding(False)
    size = shutil.get_terminal_size()
    found = f"{os.environ.get('TERM') or 'no TERM'}, {size.columns}×{size.lines}, {encoding}"
    if "utf" not in encoding.lower():
        return Finding("warning", "terminal", found, "Set LC_ALL=C.UTF-8, or open the workbench with --ascii")
    return Finding("ok", "terminal", found)


def _gpt2_tokenizer(workspace: Workspace) -> Finding:
    from tui_gpt.corpora import cache_dir

    cached = (cache_dir(workspace.corpus) / "tokenizers" / "gpt2.json").exists()
    if cached or os.environ.get("TIKTOKEN_CACHE_DIR"):
        return Finding("ok", "gpt2", "the gpt2 tokenizer is cached")
    return Finding(
        "note", "gpt2", "the gpt2 tokenizer is downloaded on first use; char, byte and bpe:N need no download"
    )


def _test_run() -> Iterator[Finding]:
    """Train `pico` on `tiny` for 20 steps, with supervisor and trainer, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="gpt-tui-doctor-") as temporary:
        settings = {
            "data": {"corpus": "tiny", "tokenizer": "byte"},
            "schedule": {"warmup_steps": 5},
            "training": {"duration": TEST_STEPS, "micro_batch_size": 2},
            "sampling": {"every": 0},
        }
        try:
            folder = launch.start(Path(temporary, "runs"), Path(temporary, "corpus"), settings)
            yield _test_result(folder)
        except UserError as error:
            yield Finding("error", "training", str(error))


def _test_result(folder: RunFolder) -> Finding:
    import time

    while folder.is_locked():
        time.sleep(0.1)
    status, metrics = folder.read_status(), folder.read_metrics()
    if status is None or status.state != "finished" or len(metrics) < TEST_STEPS:
        log = folder.log.read_text("utf-8", "replace").strip().splitlines()
        cause = status.message if status and status.message else log[-1] if log else "no output from the trainer"
        return Finding("error", "training", f"{TEST_STEPS} steps did not finish: {cause}")
    first, last = metrics[0].loss, metrics[-1].loss
    if first is None or last is None or last >= first:
        return Finding("error", "training", f"the loss did not decrease in {TEST_STEPS} steps: {first} to {last}")
    return Finding("ok", "training", f"{TEST_STEPS} steps, loss {first:.2f} to {last:.2f}; the installation works")
