"""The child process that carries out one task on a corpus for the workbench: it may load numpy and tokenizers.

    python -m tui_gpt.workbench.jobs.task_process <the TaskRequest as JSON>

It writes lines of JSON to its standard output, a `TaskUpdate` each: its progress, and at last its result or why it has
none. SIGTERM ends it at the next instruction, so that it can remove what is unfinished.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Literal

import msgspec

from tui_gpt.errors import CorpusError, UserError, reason

UPDATE_SECONDS = 0.2
TOKEN_CHARACTERS = 16_000
PREVIEW_CHARACTERS = 4_000


class TaskRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task on the corpus `reference` of `corpus_dir`."""

    task: Literal["check", "plan", "fetch", "clean", "report", "prepare", "tokens", "preview"]
    reference: str
    corpus_dir: str
    megabytes: float | None = None  # plan, fetch
    steps: tuple[str, ...] = ()  # clean
    name: str = ""  # clean
    tokenizer: str = ""  # prepare, tokens
    val_fraction: float = 0.1  # prepare


class TaskUpdate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line from the child: progress (`fraction` None where unknown), or the end with `result` or `problem`."""

    phase: str = ""
    fraction: float | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    problem: str = ""

    @property
    def is_last(self) -> bool:
        return bool(self.problem or bytes(self.result))


class FetchOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What a fetch would bring. `in_parts`: a part of it can be fetched."""

    licence: str
    source: str
    size_bytes: int
    in_parts: bool


class TokenizedText(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of a text as tokens. `pieces`: each one's text, bytes that are no character written `\\xe2`."""

    tokenizer: str
    vocab_size: int
    end_of_text: int
    ids: list[int]
    pieces: list[str]
    lengths: list[int]  # in bytes
    characters: int
    documents: int
    whole: bool  # whether the text ends here


def main(argv: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.stdout = sys.stderr  # what a library prints is no update
    request = msgspec.json.decode(argv[1], type=TaskRequest)
    try:
        result = _carry_out(request)
    except UserError as error:
        _send(TaskUpdate(problem=str(error)))
        return 1
    except OSError as error:
        _send(TaskUpdate(problem=f"{error.filename or request.reference}: cannot be read or written: {reason(error)}"))
        return 1
    _send(TaskUpdate(result=msgspec.Raw(msgspec.json.encode(result))))
    return 0


def _carry_out(request: TaskRequest) -> object:
    corpus_dir = Path(request.corpus_dir)
    match request.task:
        case "check":
            from tui_gpt.corpora import check_corpus

            return check_corpus(request.reference, corpus_dir)
        case "plan":
            return _plan_fetch(request)
        case "fetch":
            from tui_gpt.corpora.sources.fetching import fetch, plan_fetch

            return str(fetch(plan_fetch(request.reference, request.megabytes), corpus_dir, _Progress()))
        case "clean":
            from tui_gpt.corpora.cleaning.pipeline import clean

            return clean(request.reference, corpus_dir, _Progress(), request.steps, request.name)
        case "report":
            from tui_gpt.corpora.cleaning.pipeline import report_on

            return report_on(request.reference, corpus_dir, _Progress())
        case "prepare":
            from tui_gpt.config.schema import DataConfig
            from tui_gpt.corpora import prepare

            data = DataConfig(corpus=request.reference, tokenizer=request.tokenizer, val_fraction=request.val_fraction)
            return prepare(data, corpus_dir, _Progress()).info
        case "tokens":
            return _tokens(request, corpus_dir)
        case "preview":
            from tui_gpt.corpora import find_corpus

            return "\n\n".join(find_corpus(request.reference, corpus_dir).beginning(PREVIEW_CHARACTERS))


def _plan_fetch(request: TaskRequest) -> FetchOffer:
    from tui_gpt.corpora.sources.catalogue import catalogue_entry
    from tui_gpt.corpora.sources.fetching import plan_fetch

    plan = plan_fetch(request.reference, request.megabytes)
    entry = catalogue_entry(request.reference)
    return FetchOffer(
        licence=plan.licence,
        source=plan.source,
        size_bytes=plan.size_bytes,
        in_parts=entry is not None and len(entry.remotes) != entry.first,
    )


def _tokens(request: TaskRequest, corpus_dir: Path) -> TokenizedText:
    from tui_gpt.corpora import cache_dir, check_tokenizer, find_corpus
    from tui_gpt.corpora.tokenizers.tokenizer_cache import cached_tokenizer

    progress = _Progress()
    source = find_corpus(request.reference, corpus_dir)
    spec = check_tokenizer(request.tokenizer)
    source.materialize(progress)
    try:
        tokenizer = cached_tokenizer(spec, source, source.digest(), cache_dir(corpus_dir), progress)
    except OSError as error:
        raise CorpusError(f"cannot be written: {reason(error)}", where=str(error.filename or corpus_dir)) from None
    texts = source.beginning(TOKEN_CHARACTERS)
    if not texts:
        raise CorpusError(f"{source.name} holds no text")
    whole = sum(map(len, texts)) < TOKEN_CHARACTERS
    ids = tokenizer.encode_joined(texts, whole).tolist()
    raw = [tokenizer.token_bytes[id] for id in ids]
    return TokenizedText(
        tokenizer=spec,
        vocab_size=tokenizer.vocab_size,
        end_of_text=tokenizer.end_of_text,
        ids=ids,
        pieces=[each.decode("utf-8", "backslashreplace") for each in raw],
        lengths=list(map(len, raw)),
        characters=sum(map(len, texts)),
        documents=len(texts),
        whole=whole,
    )


class _Progress:
    """Sends a phase when it begins, and its fraction a few times a second."""

    def __init__(self) -> None:
        self._phase, self._sent_at = "", 0.0

    def __call__(self, phase: str, fraction: float | None) -> None:
        now = time.monotonic()
        if phase != self._phase or now - self._sent_at >= UPDATE_SECONDS:
            self._phase, self._sent_at = phase, now
            _send(TaskUpdate(phase=phase, fraction=fraction))


def _send(update: TaskUpdate) -> None:
    os.write(1, msgspec.json.encode(update) + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
