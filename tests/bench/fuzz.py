"""Damaged and hostile input to all that reads a file of others, or a terminal: refused in one line, never a crash.

    python -m tests.bench.fuzz --inputs 20000 --seed 1 [--target NAME]

hypothesis damages a valid input (bytes flipped, cut, repeated and inserted; in JSON also whole values replaced), which
is then read as the program reads it, in this process. An input fails by any exception but a user's error, by an error
or output that a terminal would obey or that is not one line, by taking more than 10 s, or by more than 1 GB of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import io
import json
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
import zstandard
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tui_gpt.checkpoints import import_export, manifest
from tui_gpt.checkpoints.state import Snapshot, TrainingProgress, load_model, write_checkpoint
from tui_gpt.cli import main as gpt_tui
from tui_gpt.config import build, override, read_toml, to_dict, to_toml
from tui_gpt.corpora import load_tokenizer, make_tokenizer, prepare
from tui_gpt.corpora.shards.shard_files import open_shards
from tui_gpt.corpora.sources import corpus_manifest
from tui_gpt.corpora.sources.formats import Layout, check_file, read_pieces
from tui_gpt.corpora.sources.mixtures import parse_mixture
from tui_gpt.corpora.sources.registry import add_corpus, find_corpus
from tui_gpt.errors import UserError
from tui_gpt.model import GPT, huggingface
from tui_gpt.run import command_files
from tui_gpt.run import folder as folders
from tui_gpt.run.messages import Command, CorpusInfo, Eval, Event, Failure, Metrics, RunInfo, Sample, Status
from tui_gpt.safe_text import UNSAFE
from tui_gpt.workbench.state.preferences import load_keymap, load_preferences
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.terminal.driver import MeteredDriver

HANG_SECONDS = 10
MEMORY_BYTES = 1 << 30
TEXT = "Once upon a time there was a fox, and the fox was sly. She met a crow with some cheese.\n" * 20
HOSTILE = [
    b"\x1b]0;x\x07",
    b"\x1b[2J",
    b"\x9b31m",
    "\u202e\u2066".encode(),
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\r",
]
NUMBERS = [b"-1", b"1e999", b"9" * 400, b"NaN", b"18446744073709551616", b"0.0", b"-0"]
SYNTAX = [b"[" * 2000, b'{"a":' * 500, b'"', b"\\u0000", b"\\ud800", b"null", b"{}", b"[]", b"\n", b",", b"=", b'"""']
TOKENS = HOSTILE + NUMBERS + SYNTAX
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    2**31,
    1.5,
    "",
    "\x1b[2J\u202e",
    "x" * 5000,
    [],
    {},
    [[]],
    [None],
    {"": {}},
]


class Hang(BaseException):
    """An input took too long."""


# ── damage ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def damaged(draw: st.DrawFn, valid: list[bytes]) -> bytes:
    """A valid input with a few edits of its bytes."""
    data = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(("flip", "flip", "insert", "insert", "cut", "end", "repeat", "random"))):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "insert":
                data[at:at] = draw(st.sampled_from(TOKENS))
            case "cut":
                del data[at : at + draw(st.integers(1, 64))]
            case "end":
                del data[at:]
            case "repeat":
                data[at:at] = data[at : at + 64] * draw(st.integers(1, 50))
            case "random":
                data[at : at + 8] = draw(st.binary(max_size=16))
    return bytes(data)


@st.composite
def damaged_json(draw: st.DrawFn, valid: list[Any]) -> bytes:
    """Valid JSON of which some values are replaced, removed or added, or with a few edits of its bytes."""
    value = json.loads(json.dumps(draw(st.sampled_from(valid))))
    for _ in range(draw(st.integers(1, 4))):
        node = value
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = node[key]
            if isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)):
                node = inner
                continue
            if draw(st.integers(0, 5)):
                node[key] = json.loads(json.dumps(draw(st.sampled_from(VALUES))))  # a copy: it may be edited next
            elif isinstance(node, dict):
                del node[key]
            break
    data = json.dumps(value).encode()
    return data if draw(st.integers(0, 3)) else draw(damaged([data]))


# ── what is read ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Targets:
    """Valid inputs, and what reads them: {name: (strategy, reader)}. A reader returns text that is to be printed."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.run = folders.create(workspace / "runs", "run", override({}, []))
        self.all: dict[str, tuple[st.SearchStrategy[bytes], Callable[[bytes], str]]] = {}
        self._make_config()
        self._make_run()
        self._make_corpora()
        self._make_shards()
        self._make_models()
        self.all["terminal"] = (damaged(KEYS), self._read_terminal)

    # ── config ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _make_config(self) -> None:
        self.config = to_toml(to_dict(build({})))
        lines = [line.replace(" = ", "=").encode() for line in self.config.splitlines() if "=" in line]
        references = [b"0.7 stories + 0.3 tiny", b"2*a.txt + b"]
        self.all["config"] = (damaged([self.config.encode(), *lines]), self._read_config)
        self.all["override"] = (damaged([b"training." + line for line in lines]), self._read_override)
        self.all["mixture"] = (damaged(references), lambda data: str(parse_mixture(data.decode("utf-8", "replace"))))
        self.all["preferences"] = (
            damaged_json([{"theme": "x", "runs": {"sort": "id"}}, {"keys": {"app": {"q": "w"}}}]),
            self._read_preferences,
        )

    def _read_config(self, data: bytes) -> str:
        path = self.workspace / "config.toml"
        path.write_bytes(data)
        build(read_toml(path), str(path))
        return ""

    def _read_override(self, data: bytes) -> str:
        build(override({}, [data.decode("utf-8", "surrogateescape")]))
        return ""

    def _read_preferences(self, data: bytes) -> str:
        path = self.workspace / "preferences.json"
        path.write_bytes(data)
        load_preferences(path)
        load_keymap(path)
        return ""

    # ── a run ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _make_run(self) -> None:
        metrics = [
            Metrics(
                step=step,
                tokens=step * 64,
                loss=4.0 / step,
                learning_rate=1e-3,
                grad_norm=1.0,
                tokens_per_second=1e3,
                elapsed_seconds=float(step),
                grad_norms={"blocks.0": 1.0},
            )
            for step in range(1, 30)
        ]
        evals = [
            Eval(step=step, val_loss=2.0, perplexity=7.4, bits_per_byte=2.1, tokens=5, whole=True) for step in (10, 20)
        ]
        samples = [Sample(step=10, prompt="a", text="b", seed=1, tokens=5, temperature=1.0)]
        events = [
            Event(time=1.0, kind="note", message="m", step=1, data={"a": 1}),
            Event(time=2.0, kind="ack", message=""),
        ]
        failure = Failure(what="a", where="b", do="c", log_tail=("x",))
        status = Status(
            state="failed",
            step=29,
            total_steps=30,
            started=1.0,
            heartbeat=1.0,
            host="h",
            supervisor_pid=1,
            failure=failure,
        )
        corpus = CorpusInfo(
            name="tiny", digest="0", tokenizer="byte", vocab_size=257, documents=1, train_tokens=9, val_tokens=9
        )
        info = RunInfo(created=1.0, corpus=corpus, versions={"a": "b"}, hardware={"cpu": "c"})
        run = self.run
        for path, lines in (
            (run.metrics, metrics),
            (run.evals, evals),
            (run.samples, samples),
            (run.events, events),
        ):
            valid = b"".join(msgspec.json.encode(line) + b"\n" for line in lines) + b'{"rewound_to":5}\n'
            self._add_run_file(path, valid, damaged([valid]))
        for path, value in ((run.status, status), (run.info, info)):
            self._add_run_file(path, msgspec.json.encode(value), damaged_json([msgspec.to_builtins(value)]))
        self._add_run_file(run.config, self.config.encode(), damaged([self.config.encode()]))
        self._add_run_file(run.log, b"log\n" * 20, damaged([b"log\n" * 20]))
        command = msgspec.to_builtins(Command(name="pause", sender="cli"))
        self.all["commands"] = (damaged_json([command]), self._read_command)

    def _add_run_file(self, path: Path, valid: bytes, strategy: st.SearchStrategy[bytes]) -> None:
        path.write_bytes(valid)
        name = f"run/{path.name}"

        def read(data: bytes) -> str:
            path.write_bytes(data)
            try:
                monitor = RunMonitor(self.run)
                monitor.read_all()
                monitor.failure()
                monitor.remedy()
                commands = {"metrics.jsonl": ("plot", "run"), "trainer.log": ("logs", "run")}
                arguments = commands.get(path.name, ("status", "run"))
                return (
                    monitor.problem + self.print(*arguments) + (self.print("runs") if path == self.run.status else "")
                )
            finally:
                path.write_bytes(valid)

        self.all[name] = (strategy, read)

    def print(self, *arguments: str) -> str:
        """Run a command in this process and return what it prints."""
        out, before = io.StringIO(), sys.argv
        sys.argv = ["gpt-tui", "--workspace", str(self.workspace), *arguments]
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                gpt_tui()
        except SystemExit:
            pass
        finally:
            sys.argv = before
        if "internal error" in out.getvalue():
            raise AssertionError(out.getvalue())
        return out.getvalue()

    def _read_command(self, data: bytes) -> str:
        (self.run.commands / "01.json").write_bytes(data)
        found = list(command_files.receive(self.run))
        assert len(found) == 1 and not any(self.run.commands.iterdir())
        return found[0].reason if isinstance(found[0], command_files.Refused) else ""

    # ── corpora and tokenizers ────────────────────────────────────────────────────────────────────────────────────────

    def _make_corpora(self) -> None:
        rows = [{"text": f"{number} {TEXT[:200]}", "other": number} for number in range(20)]
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        table = io.StringIO()
        writer = csv.DictWriter(table, ["text", "other"])
        writer.writeheader()
        writer.writerows(rows)
        plain = {".txt": TEXT.encode(), ".jsonl": lines, ".csv": table.getvalue().encode()}
        with contextlib.suppress(ImportError):
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), self.workspace / "a.parquet")
            self._add_corpus(".parquet", (self.workspace / "a.parquet").read_bytes())
        for suffix, data in plain.items():
            self._add_corpus(suffix, data)
            self._add_corpus(f"{suffix}.gz", gzip.compress(data, mtime=0), gzip.compress)
            self._add_corpus(f"{suffix}.zst", zstandard.compress(data), zstandard.compress)
        (self.workspace / "rows.jsonl").write_bytes(lines)
        added = add_corpus("added", self.workspace / "rows.jsonl", self.workspace / "corpus", column="text")
        manifest_path = added / corpus_manifest.MANIFEST
        valid = json.loads(manifest_path.read_bytes())
        self.all["corpus.json"] = (damaged_json([valid]), partial(self._read_corpus_manifest, manifest_path))
        self.tokenizer = make_tokenizer("bpe:300", iter([TEXT]), lambda *_: None)
        characters = make_tokenizer("char", iter([TEXT]), lambda *_: None)
        files = [json.loads(tokenizer.to_json()) for tokenizer in (self.tokenizer, characters)]
        self.all["tokenizer.json"] = (damaged_json(files), self._read_tokenizer)

    def _add_corpus(self, suffix: str, valid: bytes, compress: Callable[[bytes], bytes] | None = None) -> None:
        path = self.workspace / f"fuzzed{suffix}"
        whole = damaged([valid])
        if compress is not None:  # so that the damage gets through to the text as well
            inner = gzip.decompress(valid) if compress is gzip.compress else zstandard.decompress(valid)
            whole |= damaged([inner]).map(compress)

        def read(data: bytes) -> str:
            path.write_bytes(data)
            with contextlib.suppress(UserError):
                check_file(path)
            for layout in (Layout(), Layout(column="text", separator="\n\n"), Layout(articles=True)):
                with contextlib.suppress(UserError):
                    for piece in read_pieces(path, layout):
                        piece.text.encode()
            for piece in read_pieces(path):
                piece.text.encode()
            return ""

        self.all[f"corpus{suffix}"] = (whole, read)

    def _read_corpus_manifest(self, path: Path, data: bytes) -> str:
        path.write_bytes(data)
        corpora = path.parent.parent
        text = self.print("corpus", "list") + self.print("corpus", "info", "added")
        for document in find_corpus("added", corpora).documents():
            document.encode()
        return text

    def _read_tokenizer(self, data: bytes) -> str:
        path = self.workspace / "tokenizer.json"
        path.write_bytes(data)
        tokenizer = load_tokenizer(path)
        ids = tokenizer.encode(TEXT[:200])
        tokenizer.decode(ids)
        assert len(tokenizer.byte_lengths) == tokenizer.vocab_size
        return ""

    def _make_shards(self) -> None:
        settings_ = build({"data": {"corpus": "tiny", "tokenizer": "byte"}}).data
        shards = prepare(settings_, self.workspace / "corpus", lambda *_: None)
        for path in sorted(shards.path.iterdir()):
            self._add_shards_file(shards.path, path, path.read_bytes())

    def _add_shards_file(self, folder: Path, path: Path, valid: bytes) -> None:
        def read(data: bytes) -> str:
            path.write_bytes(data)
            try:
                shards = open_shards(folder)
                for array in (shards.train, shards.val, shards.train_starts, shards.val_starts):
                    array.sum()
                shards.tokenizer.decode(shards.train[:100].tolist())
            finally:
                path.write_bytes(valid)
            return ""

        strategy = damaged_json([json.loads(valid)]) if path.suffix == ".json" else damaged([valid])
        self.all[f"shards/{path.name}"] = (strategy, read)

    # ── checkpoints, and models to import ─────────────────────────────────────────────────────────────────────────────

    def _make_models(self) -> None:
        shape = {"architecture": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 8, "context_length": 8, "tied": True}
        config = build({"model": shape})
        torch.manual_seed(1)
        model = GPT(config.model, self.tokenizer.vocab_size)
        snapshot = Snapshot(
            kind="light",
            config=config,
            tokenizer_json=self.tokenizer.to_json(),
            vocab_size=self.tokenizer.vocab_size,
            parameters=1,
            progress=TrainingProgress(step=1, tokens=1, elapsed_seconds=0.0),
            model=model.state_dict(),
            optimizer={},
        )
        checkpoint = write_checkpoint(snapshot, self.run.checkpoints, lambda: None)
        path = checkpoint / manifest.MANIFEST
        self._add_model_file("manifest", path, json.loads(path.read_bytes()), lambda: load_model(checkpoint))
        foreign = self.workspace / "foreign"
        foreign.mkdir()
        huggingface.write_model(model, config, self.tokenizer.end_of_text, foreign)
        (foreign / "tokenizer.json").write_bytes(self.tokenizer.to_json())

        def read() -> None:
            read_config, rows = huggingface.read_config(foreign)
            tokenizer = import_export._read_tokenizer(foreign, rows, lambda _: None)
            huggingface.read_model(foreign, read_config.model, rows, tokenizer.vocab_size)

        parts = self.workspace / "parts"  # a model in several files, with a tokenizer in two
        shutil.copytree(foreign, parts)
        (parts / "tokenizer.json").unlink()
        (parts / huggingface.WEIGHTS).rename(parts / "1.safetensors")
        names = [huggingface.hf_name(name, config.model) for name in model.state_dict()]
        (parts / huggingface.INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(names, "1.safetensors")}))
        made = json.loads(self.tokenizer.to_json())["model"]
        (parts / "vocab.json").write_text(json.dumps(made["vocab"]))
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in made["merges"]]
        (parts / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")

        def read_parts() -> None:
            with contextlib.suppress(UserError):
                import_export._read_tokenizer(parts, self.tokenizer.vocab_size, lambda _: None)
            huggingface.read_model(parts, config.model, self.tokenizer.vocab_size, self.tokenizer.vocab_size)

        for name in (huggingface.INDEX, "vocab.json", "merges.txt"):
            valid = json.loads((parts / name).read_bytes()) if name.endswith(".json") else None
            self._add_model_file("import", parts / name, valid, read_parts)
        for path in sorted(foreign.iterdir()):
            valid = json.loads(path.read_bytes()) if path.suffix == ".json" else None
            self._add_model_file("import", path, valid, read)

    def _add_model_file(self, kind: str, path: Path, valid_json: Any, read: Callable[[], Any]) -> None:
        valid = path.read_bytes()

        def read_damaged(data: bytes) -> str:
            path.write_bytes(data)
            try:
                read()
            finally:
                path.write_bytes(valid)
            return ""

        self.all[f"{kind}/{path.name}"] = (damaged_json([valid_json]) if valid_json else damaged([valid]), read_damaged)

    # ── the terminal ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _read_terminal(self, data: bytes) -> str:
        driver = _SilentDriver()
        driver.feed(data)
        for _ in range(2):
            driver.received = 0
            driver.feed(b"x")
            if driver.received:
                return ""
            for data in (b"", b"\x1b", b""):  # what began a sequence times out; a paste without an end ends by escape
                time.sleep(0.12)
                driver.feed(data)
        driver.feed(b"x")
        assert driver.received, "a key is swallowed for ever"
        return ""


KEYS = [b"\x1b[A\x1bOP\x1b[15~abc", b"\x1b[<0;10;10M\x1b[<0;10;10m", b"\x1b[200~pasted\x1b[201~", "日本👩‍🚀".encode()]
KEYS += [b"\x1b[1114112u\x1b[97;5u", b"\x1b[?2026;2$y\x1b[48;40;120;800;1200t", b"\x1b]11;rgb:0000/0000/0000\x1b\\"]


class _SilentDriver(MeteredDriver):
    """The driver's input side, without a terminal: messages are kept."""

    def __init__(self) -> None:
        from textual._xterm_parser import XTermParser

        self._debug, self.received = False, 0
        self._loop: Any = _OpenLoop()
        self._in_band_window_resize = False
        self._parser = XTermParser(False)

    def feed(self, data: bytes) -> None:
        self._parser = self._dispatch(self._parser, self._end_lost_paste(data.decode("utf-8", "replace")))

    def process_message(self, message: Any) -> None:
        self.received += 1


class _OpenLoop:
    def is_closed(self) -> bool:
        return False


# ── running ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise Hang in this thread after a while."""

    def raise_hang(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, raise_hang)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _taking_data(check: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return `check` as a plain function of one argument, as hypothesis wants it."""

    def judge(data: bytes) -> None:
        check(data)

    return judge


def fuzz(workspace: Path, inputs: int, number: int, only: str = "", report: Callable[[str], object] = print) -> dict:
    """Read so many damaged inputs, spread over all targets, and return what was found."""
    targets = {name: one for name, one in Targets(workspace).all.items() if only in name}
    each = -(-inputs // len(targets))
    counts: Counter[str] = Counter()
    problems: dict[str, str] = {}
    outcomes: Counter[str] = Counter()

    def check(data: bytes, name: str, read: Callable[[bytes], str]) -> None:
        counts[name] += 1
        kind, text = "read", ""
        try:
            with alarm(HANG_SECONDS):
                text = read(data)
        except UserError as error:
            kind, text = "refused", str(error)
            if "\n" in text:
                problems.setdefault(f"{name}: several lines", repr(text)[:500])
        except (Exception, Hang) as error:
            kind = "failed"
            frames = traceback.extract_tb(error.__traceback__)
            frame = next((f for f in reversed(frames) if "tui_gpt" in f.filename), frames[-1])
            where = f"{name}: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
            problems.setdefault(where, f"{error}"[:300] + f" for {data[:2000]!r}")
        if UNSAFE.search(text):
            problems.setdefault(f"{name}: unsafe output", f"{text[:500]!r} for {data[:500]!r}")
        outcomes[kind] += 1

    at_start = _peak_bytes()
    for name, (strategy, read) in targets.items():
        began = time.monotonic()
        checks = settings(
            max_examples=each,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        seed(number)(checks(given(strategy)(_taking_data(partial(check, name=name, read=read)))))()
        peak = _peak_bytes()
        if peak - at_start > MEMORY_BYTES:  # of a process that runs other tests, too
            problems.setdefault(f"{name}: memory", f"{peak >> 20} MiB")
        report(f"{name}: {counts[name]} inputs, {time.monotonic() - began:.1f} s, peak {peak >> 20} MiB")
    return {"inputs": sum(counts.values()), "seed": number, **outcomes, "peak_mib": peak >> 20, "problems": problems}


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (0 if sys.platform == "darwin" else 10)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", default="", help="only targets whose name contains this")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = fuzz(
            Path(folder),
            options.inputs,
            options.seed,
            options.target,
            lambda text: print(text, file=sys.stderr, flush=True),
        )
    print(json.dumps(result | {"seconds": round(time.monotonic() - began)}, indent=1))
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
