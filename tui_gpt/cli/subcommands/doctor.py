"""`gpt-tui doctor`: what the machine has, what is missing, and a training run that proves the installation."""

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
from tui_gpt.cli.options import Workspace, command, json_option, print_json
from tui_gpt.errors import UserError
from tui_gpt.run.folder import RunFolder

PROOF_STEPS = 20
MARKS = {"ok": "✓", "note": "·", "warning": "!", "error": "✗"}


@dataclass
class Finding:
    """One line: what was looked at, what was found, what to do about it."""

    level: Literal["ok", "note", "warning", "error"]
    what: str
    found: str
    do: str = ""


@command("doctor")
@json_option
def doctor_command(workspace: Workspace, as_json: bool) -> None:
    """Check this machine, and train 20 steps to prove the installation. Exit 1 when something is broken."""
    findings: list[Finding] = []
    for finding in [*_checks(workspace), *_proof()]:
        findings.append(finding)
        if not as_json:
            click.secho(f"{MARKS[finding.level]} {finding.what:<12} ", nl=False, fg=_colour(finding.level))
            click.echo(finding.found + (f"\n               → {finding.do}" if finding.do else ""))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    raise SystemExit(any(finding.level == "error" for finding in findings))


def _colour(level: str) -> str:
    return {"ok": "green", "note": "blue", "warning": "yellow", "error": "red"}[level]


def _checks(workspace: Workspace) -> Iterator[Finding]:
    host = hardware.host()
    yield Finding("ok", "Python", f"{platform.python_version()} on {host.system}")
    memory = f"{host.memory_free_bytes / 2**30:.0f} of {host.memory_bytes / 2**30:.0f} GiB memory free"
    yield Finding("ok", "CPU", f"{host.cpu}, {host.cores} cores, {memory}")
    yield Finding("ok", "PyTorch", metadata.version("torch"))
    yield from _gpus()
    yield _compiler()
    yield _disk(workspace)
    yield _logout()
    yield _terminal()
    yield _gpt2_tokenizer(workspace)


def _gpus() -> Iterator[Finding]:
    cards = hardware.gpus()
    for card in cards:
        free = f"{card.memory_free_bytes / 2**30:.0f} of {card.memory_total_bytes / 2**30:.0f} GiB free"
        known = "" if hardware.peak_flops(card.name, "bf16") else "; its peak rate is not known here, so no MFU"
        yield Finding("ok", "GPU", f"cuda:{card.index} {card.name}, {free}, {card.uuid}{known}")
    if not cards:
        yield Finding("note", "GPU", "no NVIDIA card or driver: runs compute on the CPU (or Apple's GPU)")
    elif "+cpu" in metadata.version("torch"):
        yield Finding("warning", "PyTorch", "is a build without CUDA", "Install the CUDA build: https://pytorch.org")


def _compiler() -> Finding:
    compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    triton = importlib.util.find_spec("triton") is not None
    if hardware.gpus() and not (compiler and triton):
        missing = "Triton" if compiler else "a C compiler"
        return Finding("warning", "compile", f"{missing} is missing: no torch.compile, slower", f"Install {missing}")
    return Finding("ok", "compile", f"C compiler {compiler or 'absent'}, Triton {'present' if triton else 'absent'}")


def _disk(workspace: Workspace) -> Finding:
    place = next(path for path in (workspace.runs, *workspace.runs.parents) if path.exists())
    if not os.access(place, os.W_OK):
        return Finding("error", "disk", f"{place} cannot be written", "Choose another place with --workspace")
    free = shutil.disk_usage(place).free / 2**30
    level: Literal["ok", "warning"] = "warning" if free < 2 else "ok"
    return Finding(level, "disk", f"{free:.0f} GiB free in {place}", "Full checkpoints need room" if free < 2 else "")


def _logout() -> Finding:
    match hardware.logout_kills_processes():
        case "no":
            return Finding("ok", "logout", "a detached run outlives the login session")
        case "yes":
            return Finding(
                "warning",
                "logout",
                "systemd ends your processes, a detached run too, when you log out (KillUserProcesses=yes)",
                "loginctl enable-linger",
            )
    return Finding(
        "note",
        "logout",
        "could not ask systemd whether it ends your processes when you log out",
        "loginctl enable-linger makes sure that it does not",
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

    kept = (cache_dir(workspace.corpus) / "tokenizers" / "gpt2.json").exists()
    if kept or os.environ.get("TIKTOKEN_CACHE_DIR"):
        return Finding("ok", "gpt2", "the gpt2 tokenizer is at hand")
    return Finding(
        "note", "gpt2", "the gpt2 tokenizer is downloaded once, on first use; char, byte and bpe:N need none"
    )


def _proof() -> Iterator[Finding]:
    """Train `pico` on `tiny` for 20 steps, through supervisor and trainer, in a folder that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="gpt-tui-doctor-") as place:
        asked = {
            "data": {"corpus": "tiny", "tokenizer": "byte"},
            "schedule": {"warmup_steps": 5},
            "training": {"duration": PROOF_STEPS, "micro_batch_size": 2},
            "sampling": {"every": 0},
        }
        try:
            folder = launch.start(Path(place, "runs"), Path(place, "corpus"), asked)
            yield _verdict(folder)
        except UserError as error:
            yield Finding("error", "training", str(error))


def _verdict(folder: RunFolder) -> Finding:
    import time

    while folder.is_locked():
        time.sleep(0.1)
    status, metrics = folder.read_status(), folder.read_metrics()
    if status is None or status.state != "finished" or len(metrics) < PROOF_STEPS:
        log = folder.log.read_text("utf-8", "replace").strip().splitlines()
        why = status.message if status and status.message else log[-1] if log else "no word from the trainer"
        return Finding("error", "training", f"{PROOF_STEPS} steps did not finish: {why}")
    first, last = metrics[0].loss, metrics[-1].loss
    if first is None or last is None or last >= first:
        return Finding("error", "training", f"the loss did not fall in {PROOF_STEPS} steps: {first} to {last}")
    return Finding("ok", "training", f"{PROOF_STEPS} steps, loss {first:.2f} to {last:.2f}: the installation works")
