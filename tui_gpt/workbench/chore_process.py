"""The child process that does one piece of work on a corpus for the workbench: it may load numpy and tokenizers.

    python -m tui_gpt.workbench.chore_process <the Work as JSON>

What it has to say is lines of JSON on its standard output, a `Said` each: how far it is, and at last what it made or
why it could not. SIGTERM ends it at the next instruction, so that what it holds is left tidy.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Literal

import msgspec

from tui_gpt.errors import CorpusError, UserError

SAY_SECONDS = 0.2
TOKEN_CHARACTERS = 16_000
PREVIEW_CHARACTERS = 4_000


class Work(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be done with the corpus `reference` of `corpus_dir`."""

    task: Literal["check", "plan", "fetch", "clean", "report", "prepare", "tokens", "preview"]
    reference: str
    corpus_dir: str
    megabytes: float | None = None  # plan, fetch
    steps: tuple[str, ...] = ()  # clean
    name: str = ""  # clean
    tokenizer: str = ""  # prepare, tokens
    val_fraction: float = 0.1  # prepare


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line from the child: progress (`fraction` None where it is not known), or the end, `made` or `problem`."""

    phase: str = ""
    fraction: float | None = None
    made: msgspec.Raw = msgspec.Raw(b"")
    problem: str = ""


class Fetchable(msgspec.Struct, frozen=True, kw_only=True):
    """What a fetch would bring. `in_parts`: less of it can be asked for."""

    name: str
    licence: str
    source: str
    size_bytes: int
    in_parts: bool
    megabytes: float | None = None


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
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
    work = msgspec.json.decode(argv[1], type=Work)
    try:
        made = _do(work)
    except UserError as error:
        _say(Said(problem=str(error)))
        return 1
    _say(Said(made=msgspec.Raw(msgspec.json.encode(made))))
    return 0


def _do(work: Work) -> object:
    corpus_dir = Path(work.corpus_dir)
    match work.task:
        case "check":
            from tui_gpt.corpora import check_corpus

            return check_corpus(work.reference, corpus_dir)
        case "plan":
            return _fetchable(work)
        case "fetch":
            from tui_gpt.corpora.sources.fetching import fetch, plan_fetch

            return str(fetch(plan_fetch(work.reference, work.megabytes), corpus_dir, _Narrator()))
        case "clean":
            from tui_gpt.corpora.cleaning.pipeline import clean

            return clean(work.reference, corpus_dir, _Narrator(), work.steps, work.name)
        case "report":
            from tui_gpt.corpora.cleaning.pipeline import report_on

            return report_on(work.reference, corpus_dir, _Narrator())
        case "prepare":
            from tui_gpt.config.schema import DataConfig
            from tui_gpt.corpora import prepare

            data = DataConfig(corpus=work.reference, tokenizer=work.tokenizer, val_fraction=work.val_fraction)
            return prepare(data, corpus_dir, _Narrator()).info
        case "tokens":
            return _tokens(work, corpus_dir)
        case "preview":
            from tui_gpt.corpora import find_corpus

            return "\n\n".join(find_corpus(work.reference, corpus_dir).beginning(PREVIEW_CHARACTERS))


def _fetchable(work: Work) -> Fetchable:
    from tui_gpt.corpora.sources.catalogue import catalogue_entry
    from tui_gpt.corpora.sources.fetching import plan_fetch

    plan = plan_fetch(work.reference, work.megabytes)
    about = catalogue_entry(work.reference)
    return Fetchable(
        name=plan.name,
        licence=plan.licence,
        source=plan.source,
        size_bytes=plan.size_bytes,
        in_parts=about is not None and len(about.remotes) != about.first,
        megabytes=work.megabytes,
    )


def _tokens(work: Work, corpus_dir: Path) -> Tokens:
    from tui_gpt.corpora import cache_dir, check_tokenizer, find_corpus
    from tui_gpt.corpora.tokenizers.tokenizer_cache import cached_tokenizer

    narrator = _Narrator()
    source = find_corpus(work.reference, corpus_dir)
    spec = check_tokenizer(work.tokenizer)
    source.materialize(narrator)
    try:
        tokenizer = cached_tokenizer(spec, source, source.digest(), cache_dir(corpus_dir), narrator)
    except OSError as error:
        raise CorpusError(f"cannot be written: {error.strerror}", where=str(error.filename or corpus_dir)) from None
    texts = source.beginning(TOKEN_CHARACTERS)
    if not texts:
        raise CorpusError(f"{source.name} holds no text")
    whole = sum(map(len, texts)) < TOKEN_CHARACTERS
    ids = tokenizer.encode_joined(texts, whole).tolist()
    raw = [tokenizer.token_bytes[id] for id in ids]
    return Tokens(
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


class _Narrator:
    """Says a phase when it begins, and its fraction a few times a second."""

    def __init__(self) -> None:
        self._phase, self._said = "", 0.0

    def __call__(self, phase: str, fraction: float | None) -> None:
        now = time.monotonic()
        if phase != self._phase or now - self._said >= SAY_SECONDS:
            self._phase, self._said = phase, now
            _say(Said(phase=phase, fraction=fraction))


def _say(said: Said) -> None:
    os.write(1, msgspec.json.encode(said) + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
