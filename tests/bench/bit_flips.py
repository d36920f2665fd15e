"""Flipped bits in the files of a run: each is refused in one line, or changes nothing.

    python -m tests.bench.bit_flips --flips 2000 --seed 1

One bit at a time is flipped in a random file of a stopped run and of its prepared corpus: checkpoints, manifests, token
shards, config, journals, status, run.json. Then the file is read as the program reads it. What comes out must be a
user's error in one line, or what was there before: weights, optimizer state, progress, tokenizer, config and tokens. A
setting that a resume may change, such as the length of the run, is accepted, and an event says so; counted apart.

In a journal the line with the flipped bit is left out, and `gpt-tui verify` names it: counted as `line skipped`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests import live
from tui_gpt import launch
from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import load_model, load_state
from tui_gpt.config import to_dict
from tui_gpt.corpora.shards.shard_files import open_shards
from tui_gpt.errors import UserError
from tui_gpt.run.folder import RunFolder
from tui_gpt.safe_text import UNSAFE
from tui_gpt.training.optimizers import make_optimizers
from tui_gpt.upkeep.verification import verify_run


def read_checkpoint(path: Path) -> Any:
    """Return all that a resume and the sampler take from a checkpoint."""
    loaded = load_model(path)
    found = [to_dict(loaded.config), loaded.tokenizer.to_json(), loaded.manifest, _plain(loaded.model.state_dict())]
    if loaded.manifest.kind == "full":
        optimizers = make_optimizers(loaded.model, loaded.config.optimizer)
        found += [load_state(path, loaded.model, optimizers), [_plain(one.state_dict()) for one in optimizers]]
    return found


def read_shards(path: Path) -> Any:
    """Return all that training takes from a prepared corpus."""
    shards = open_shards(path)
    arrays = (shards.train, shards.val, shards.train_starts, shards.val_starts)
    return [shards.info, shards.tokenizer.to_json(), [array.tolist() for array in arrays]]


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.dtype, value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def readers(folder: RunFolder, corpus: Path) -> dict[Path, Callable[[], Any]]:
    """Return every file of a run and its corpus that is not empty, with what reads it."""
    found: dict[Path, Callable[[], Any]] = {}

    def read_config() -> Any:
        launch._resume_request(folder, corpus, {}, None)
        return folder.read_config()

    by_name = {
        "config.toml": read_config,
        "run.json": folder.read_info,
        "status.json": folder.read_status,
        "metrics.jsonl": folder.read_metrics,
        "evals.jsonl": folder.read_evals,
        "samples.jsonl": folder.read_samples,
        "events.jsonl": folder.read_events,
        "trainer.log": lambda: None,
    }
    for path in sorted(folder.path.iterdir()):
        if path.is_file() and path.stat().st_size:
            found[path] = by_name[path.name]
    for info in manifest.list_checkpoints(folder.checkpoints):
        for path in sorted(info.path.iterdir()):
            found[path] = lambda checkpoint=info.path: read_checkpoint(checkpoint)
    for shards in sorted(corpus.rglob("train.bin")):
        for path in sorted(shards.parent.iterdir()):
            found[path] = lambda folder=shards.parent: read_shards(folder)
    return found


def lacks_lines(found: list[Any], expected: list[Any]) -> bool:
    """Return whether lines are `expected` without one or two of them: a flipped newline makes one line of two."""
    return found == [line for line in expected if line in found] and 1 <= len(expected) - len(found) <= 2


def flip_bits(workspace: Path, flips: int, seed: int) -> dict[str, Any]:
    """Flip so many bits, one at a time, and return what became of them."""
    folder = live.start(workspace, "training.duration=40", "optimizer.name=adamw", stop_at=20)
    assert live.ended(folder).state == "stopped"
    chance, files = random.Random(seed), readers(folder, workspace / "corpus")
    expected = {path: read() for path, read in files.items()}
    outcomes: Counter[str] = Counter()
    by_file: dict[str, Counter[str]] = {}
    problems = []
    for _ in range(flips):
        path = chance.choice(list(files))
        data = path.read_bytes()
        at, bit = chance.randrange(len(data)), chance.randrange(8)
        damaged = bytearray(data)
        damaged[at] ^= 1 << bit
        path.write_bytes(damaged)
        where = f"bit {bit} of byte {at} of {path.relative_to(workspace)}"
        try:
            found = files[path]()
            outcome = "harmless" if found == expected[path] else "different"
            if outcome == "different" and path.suffix == ".jsonl" and lacks_lines(found, expected[path]):
                verification = verify_run(folder, workspace / "corpus", lambda *_: None)
                outcome = "line skipped" if str(path) in {damage.path for damage in verification.damaged} else "unsaid"
            elif outcome == "different" and path == folder.config:
                outcome = "announced"  # see test_changed_config.py
        except UserError as error:
            outcome, text = "refused", str(error)
            if "\n" in text or UNSAFE.search(text) or len(text) > 1000:
                problems.append(f"{where}: not one plain line: {text!r}")
        except Exception as error:
            outcome = "failed"
            problems.append(f"{where}: {type(error).__name__}: {error}")
        finally:
            path.write_bytes(data)
        if outcome in ("different", "unsaid"):
            problems.append(f"{where}: accepted with another result")
        outcomes[outcome] += 1
        by_file.setdefault(path.name, Counter())[outcome] += 1
    return {"flips": flips, "seed": seed, **outcomes, "by_file": by_file, "problems": problems}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = flip_bits(Path(folder), options.flips, options.seed)
    print(json.dumps(result))
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
