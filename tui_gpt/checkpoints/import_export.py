"""Import and export of Hugging Face folders, in a process of its own: `gpt-tui import` and `gpt-tui export`.

An imported model becomes a run that stopped before its first step, so it can be listed, sampled, evaluated, renamed,
deleted and used as a start like any other. The run is locked while it is created; when the import is killed, it reads
as crashed and has no checkpoint. An export is written to a temporary folder and renamed.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tui_gpt import hardware
from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.model_card import model_card
from tui_gpt.checkpoints.state import Snapshot, TrainingProgress, load_model, write_checkpoint
from tui_gpt.config import Config, to_dict
from tui_gpt.corpora import Tokenizer, load_tokenizer, make_tokenizer
from tui_gpt.corpora.tokenizers.build import from_vocabulary
from tui_gpt.errors import CheckpointError, reason
from tui_gpt.files import add_checksum, sync, write_atomically
from tui_gpt.model import huggingface
from tui_gpt.run import folder as folders
from tui_gpt.run.child_process import Channel, run_task
from tui_gpt.run.folder import RunFolder, take_lock
from tui_gpt.run.jsonl import JsonlWriter
from tui_gpt.run.messages import ConversionResult, Event, RunInfo, Status

TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
GPT2_VOCABULARY = 50257

Report = Callable[[str], object]


def import_folder(channel: Channel, source: str, runs: str, name: str) -> None:
    """Entry point: make a run of a Hugging Face folder; reply with `ConversionResult` or `RequestFailed`."""
    run_task(channel, lambda report: _import(Path(source), Path(runs), name, report))


def export_folder(channel: Channel, checkpoint: str, target: str) -> None:
    """Entry point: write a checkpoint as a Hugging Face folder; reply with `ConversionResult` or `RequestFailed`."""
    run_task(channel, lambda report: _export(Path(checkpoint), Path(target), report))


# ── import ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _import(source: Path, runs: Path, name: str, report: Report) -> ConversionResult:
    config, rows = huggingface.read_config(source)
    tokenizer = _read_tokenizer(source, rows, report)
    if tokenizer.vocab_size < rows:
        report(f"dropping {rows - tokenizer.vocab_size} rows of the embedding that belong to no token")
    report("reading the weights")
    model = huggingface.read_model(source, config.model, rows, tokenizer.vocab_size)
    parameters = model.num_parameters()
    folder = folders.create(runs, name, to_dict(config))
    lock = take_lock(folder)
    try:
        status = Status(state="starting", phase="importing", started=time.time(), host=socket.gethostname())
        status = msgspec.structs.replace(status, boot_id=hardware.boot_id(), supervisor_pid=os.getpid())
        _write_status(folder, status)
        checkpoint = manifest.step_folder(folder.checkpoints, 0)
        config = _with_checkpoint(config, folder, checkpoint)
        write_atomically(folder.tokenizer, tokenizer.to_json())
        snapshot = Snapshot(
            kind="light",
            config=config,
            tokenizer_json=tokenizer.to_json(),
            vocab_size=tokenizer.vocab_size,
            parameters=parameters,
            progress=TrainingProgress(step=0, tokens=0, elapsed_seconds=0.0),
            model=model.state_dict(),
            optimizer={},
            run=folder.id,
        )
        report("writing the checkpoint")
        write_checkpoint(snapshot, folder.checkpoints, lambda: None)
        folder.write_config(to_dict(config))
        info = RunInfo(created=time.time(), parent=str(source), parameters=parameters)
        write_atomically(folder.info, add_checksum(msgspec.json.format(msgspec.json.encode(info))))
        _finish_import(folder, f"imported from {source}", status)
    except BaseException:
        folder.config.unlink(missing_ok=True)
        shutil.rmtree(folder.path)
        raise
    finally:
        os.close(lock)
    return ConversionResult(
        path=str(folder.path), checkpoint=str(checkpoint), preset=config.preset, parameters=parameters, format="gpt-tui"
    )


def _with_checkpoint(config: Config, folder: RunFolder, checkpoint: Path) -> Config:
    """Return `config` with `checkpoint` as the start, and the run's tokenizer, for when it is resumed or reused."""
    data = msgspec.structs.replace(config.data, tokenizer=str(folder.tokenizer))
    training = msgspec.structs.replace(config.training, init_from=str(checkpoint))
    return msgspec.structs.replace(config, data=data, training=training)


def _write_status(folder: RunFolder, status: Status) -> None:
    write_atomically(folder.status, add_checksum(msgspec.json.format(msgspec.json.encode(status))))


def _finish_import(folder: RunFolder, message: str, status: Status) -> None:
    writer = JsonlWriter(folder.events)
    writer.append(Event(time=time.time(), kind="imported", message=message, step=0))
    writer.close()
    _write_status(
        folder, msgspec.structs.replace(status, state="stopped", phase="", message=message, heartbeat=time.time())
    )


def _read_tokenizer(source: Path, rows: int, report: Report) -> Tokenizer:
    """Return the tokenizer of the folder, or GPT-2's if it has none and GPT-2's vocabulary. Raise UserError."""
    vocab, merges = source / "vocab.json", source / "merges.txt"
    if (source / TOKENIZER).is_file():
        tokenizer = load_tokenizer(source / TOKENIZER)
    elif vocab.is_file() and merges.is_file():
        tokenizer = from_vocabulary(vocab, merges)
    elif rows == GPT2_VOCABULARY:
        report(f"{source} has no tokenizer; using GPT-2's, which has the same vocabulary size of {rows:,}")
        tokenizer = make_tokenizer("gpt2", (), lambda phase, fraction: None)
    else:
        raise CheckpointError(
            f"has no tokenizer, and its vocabulary size is {rows:,}, not GPT-2's {GPT2_VOCABULARY:,}",
            where=str(source),
            do=f"Add {TOKENIZER}, or vocab.json and merges.txt, to the folder",
        )
    if tokenizer.vocab_size > rows:
        raise CheckpointError(
            f"has a tokenizer of {tokenizer.vocab_size:,} tokens but an embedding of {rows:,}", where=str(source)
        )
    return tokenizer


# ── export ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _export(checkpoint: Path, target: Path, report: Report) -> ConversionResult:
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise CheckpointError("already exists and is not empty", where=str(target), do="Choose another folder")
    report("reading the checkpoint")
    loaded = load_model(checkpoint)
    parameters, end = loaded.model.num_parameters(), loaded.tokenizer.end_of_text
    partial = target.with_name(f".partial-{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    report("writing the folder")
    try:
        partial.mkdir(parents=True)
        huggingface.write_model(loaded.model, loaded.config, end, partial)
        write_atomically(partial / TOKENIZER, loaded.tokenizer.to_json())
        context = loaded.config.model.context_length
        write_atomically(partial / TOKENIZER_CONFIG, _tokenizer_config(loaded.tokenizer, context))
        is_gpt2 = huggingface.is_gpt2(loaded.config)
        card = model_card(loaded.path, loaded.manifest, loaded.config, is_gpt2=is_gpt2)
        write_atomically(partial / "README.md", card.encode())
        for path in (*partial.iterdir(), partial):
            sync(path)
        partial.rename(target)
        sync(target.parent)
    except OSError as error:
        raise CheckpointError(f"cannot be written: {reason(error)}", where=str(target)) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if not is_gpt2:
        report("transformers does not support this architecture: only `gpt-tui import` can read this folder")
    return ConversionResult(
        path=str(target),
        checkpoint=str(checkpoint),
        preset=loaded.config.preset,
        parameters=parameters,
        format="gpt2" if is_gpt2 else "gpt-tui",
    )


def _tokenizer_config(tokenizer: Tokenizer, context: int) -> bytes:
    """Return tokenizer_config.json: the settings that transformers does not find in tokenizer.json."""
    added = msgspec.json.decode(tokenizer.to_json())["added_tokens"]
    end = next(token["content"] for token in added if token["id"] == tokenizer.end_of_text)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": end,
        "eos_token": end,
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
    }
    return msgspec.json.format(msgspec.json.encode(settings)) + b"\n"
