"""What run.json records: who started the run with what, on which machine, and on whose text.

Of the environment only an allow-list is recorded, the variables that change how a run computes: others hold passwords
and tokens.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gpt import hardware
from tui_gpt.corpora import provenance
from tui_gpt.errors import UserError
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import CorpusInfo, RunInfo, TextOrigin
from tui_gpt.run.supervisor import StartRequest
from tui_gpt.training.run_setup import PreparedRun

if TYPE_CHECKING:
    from tui_gpt.training.compute import Compute
    from tui_gpt.training.loop.trainer import Trainer

ENVIRONMENT = (
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING", "CUBLAS_WORKSPACE_CONFIG"),
    *("NVIDIA_TF32_OVERRIDE", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "TORCH_COMPILE_DISABLE"),
    *("TORCHDYNAMO_DISABLE", "TORCHINDUCTOR_CACHE_DIR", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "GOMP_SPINCOUNT"),
    *("GOMP_CPU_AFFINITY", "KMP_AFFINITY", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NCCL_P2P_DISABLE", "NCCL_IB_DISABLE"),
    *("NCCL_SOCKET_IFNAME", "SLURM_JOB_ID", "SLURM_NNODES", "SLURM_NTASKS", "LANG", "LC_ALL"),
)
ALSO_RELEVANT = ("triton", "transformers", "nvidia-cudnn-cu12", "nvidia-nccl-cu12")  # packages, where installed


def describe_run(
    folder: RunFolder, request: StartRequest, prepared: PreparedRun, compute: Compute, trainer: Trainer
) -> RunInfo:
    """Return what run.json records of a run that is about to train."""
    host, shards, training = hardware.host(), prepared.shards.info, prepared.config.training
    parent = training.init_from or training.fork_from
    return RunInfo(
        created=time.time(),
        command=request.command,
        parent=parent,
        parent_origins=origins_of(Path(parent)) if parent else (),
        parameters=trainer.state.model.num_parameters(),
        corpus=CorpusInfo(
            name=shards.name,
            digest=shards.digest,
            tokenizer=Path(shards.tokenizer).name,  # of a file, which may have been prepared from elsewhere
            vocab_size=shards.vocab_size,
            documents=shards.documents,
            train_tokens=shards.train_tokens,
            val_tokens=shards.val_tokens,
            floor_loss=shards.floor_loss,
            floor_note=floor_note(prepared),
            origins=_origins(prepared.config.data.corpus, Path(request.corpus_dir)),
        ),
        device=compute.name,
        precision=compute.precision,
        compiled=trainer.state.train_step.compiled is not None,
        threads=compute.threads,
        steps_per_epoch=trainer.state.batches.steps_per_epoch,
        versions=package_versions(),
        hardware={
            "host": host.name,
            "system": host.system,
            "cpu": host.cpu,
            "memory_bytes": host.memory_bytes,
            "driver": hardware.driver_version(),
        },
        environment=relevant_environment(os.environ),
        git=_git_commit(folder.path),
    )


def relevant_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that change how a run computes."""
    return {name: environment[name][:200] for name in ENVIRONMENT if name in environment}


def package_versions() -> dict[str, str]:
    """Return the versions of Python, gpt-tui and the packages it depends on."""
    required = (re.match(r"[\w.-]+", line) for line in metadata.requires("gpt-tui") or () if "extra ==" not in line)
    versions = {"python": platform.python_version()}
    for name in ("gpt-tui", *(match.group() for match in required if match), *ALSO_RELEVANT):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _origins(corpus: str, corpus_dir: Path) -> tuple[TextOrigin, ...]:
    return tuple(TextOrigin(each.name, each.licence, each.source) for each in provenance(corpus, corpus_dir))


def origins_of(checkpoint: Path) -> tuple[TextOrigin, ...]:
    """Return the texts that a checkpoint was trained on, as far as its run records them."""
    try:
        info = RunFolder(checkpoint.parent.parent).read_info()
    except UserError:
        return ()
    if info is None:
        return ()
    return tuple(dict.fromkeys((*info.parent_origins, *(info.corpus.origins if info.corpus else ()))))


def floor_note(prepared: PreparedRun) -> str:
    """Return why the validation loss cannot reach the floor, which holds for documents read from their beginning."""
    shards = prepared.shards
    if shards.info.floor_nats is None:
        return ""
    starts = shards.val_starts
    longest = max(int((starts[1:] - starts[:-1]).max(initial=0)), shards.info.val_tokens - int(starts[-1]))
    if prepared.config.model.context_length < longest:
        return "a context is shorter than the longest story"
    return "" if prepared.config.data.mode == "packed" else "windows begin within stories"


def _git_commit(folder: Path) -> str:
    """Return the commit of the workspace, or an empty string where it is not a git checkout.

    Nothing that the repository configures is run: a file-system monitor would be, and with `--dirty` its filters.
    """
    try:
        command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", "describe", "--always"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
