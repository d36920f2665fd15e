"""A corpus made anew from one that is not clean, with a report of all that was done to it.

Two passes, neither of which holds the corpus: the first mends each text and takes its fingerprints, the second leaves
out the copies. The new corpus and its report appear by one rename; a kill leaves the old one untouched and nothing
that could be taken for the new. Every step counts what it did and keeps a few examples of it.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from tui_gpt.corpora.cleaning import text_steps
from tui_gpt.corpora.cleaning.dedup import Fingerprints, exact_copies, near_copies, shared_documents
from tui_gpt.corpora.sources.corpus_manifest import Manifest, write_manifest
from tui_gpt.corpora.sources.formats import Layout, Piece, is_single_document, is_text_in_some_encoding, read_pieces
from tui_gpt.corpora.sources.locks import exclusive_lock
from tui_gpt.corpora.sources.registry import cleaned_name, find_corpus, free_name
from tui_gpt.corpora.sources.source import Folder, Progress, Source, TextFile
from tui_gpt.corpora.sources.text_files import Skipped, cache_dir
from tui_gpt.errors import CorpusError, reason

STEPS = {
    "encoding": "text in another encoding than UTF-8 is converted, broken records and binary files are left out",
    "gutenberg": "Project Gutenberg's licence and header are taken off",
    "mojibake": "characters that were decoded with the wrong table are mended",
    "unicode": "characters in two spellings get one (NFC); controls and invisible marks go",
    "line-ends": "line ends of other systems become those of this one",
    "short": "documents too short, or not text, are left out",
    "exact": "of documents with the same text the first is kept",
    "near": "of documents that are nearly the same the first is kept",
    "overlap": "documents half of whose passages stand in others, which held out would test memory, are left out",
}
DEFAULT_STEPS = tuple(step for step in STEPS if step != "overlap")
TEXT_STEPS: dict[str, Callable[[str], str]] = {
    "gutenberg": text_steps.strip_gutenberg,
    "mojibake": text_steps.fix_mojibake,
    "unicode": text_steps.normalise_unicode,
    "line-ends": text_steps.normalise_line_ends,
}
LONG_CHARACTERS = 1 << 23  # beyond, a document is mended in parts and is nobody's copy
EXAMPLES, EXAMPLE_CHARACTERS = 3, 100
REPORT = "report.json"


class Example(msgspec.Struct, frozen=True):
    """`where`: file, or file and line. `what`: what was there, or why it went; `now`: what is there instead."""

    where: str
    what: str
    now: str = ""


class StepReport(msgspec.Struct, kw_only=True):
    """changed: documents that it changed; removed: documents that it left out; found: those that it only counted."""

    step: str
    changed: int = 0
    removed: int = 0
    found: int = 0
    examples: list[Example] = []

    def keep(self, where: str, what: str, now: str = "") -> None:
        if len(self.examples) < EXAMPLES:
            self.examples.append(Example(where, what, now))


class Report(msgspec.Struct, kw_only=True):
    """What cleaning found and did. `written`: where the new corpus is, "" where it was only looked at."""

    name: str
    source: str
    written: str = ""
    documents_before: int = 0
    documents_after: int = 0
    characters_before: int = 0
    characters_after: int = 0
    files_left_out: dict[str, int] = {}
    encodings: dict[str, int] = {}
    steps: list[StepReport] = []


def clean(reference: str, corpus_dir: Path, progress: Progress, steps: tuple[str, ...], name: str = "") -> Report:
    """Make the corpus `name` in `corpus_dir`, called after `reference` unless told. Raises CorpusError."""
    source = find_corpus(reference, corpus_dir)
    target = free_name(name or cleaned_name(source, corpus_dir), corpus_dir)
    partial = corpus_dir / f".cleaning-{target.name}"
    lock = cache_dir(corpus_dir) / f"cleaning-{target.name}.lock"
    try:
        corpus_dir.mkdir(parents=True, exist_ok=True)
        lock.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(lock, lambda: progress("waiting for another process that cleans this corpus", None)):
            free_name(target.name, corpus_dir)  # another may have made it meanwhile
            shutil.rmtree(partial, ignore_errors=True)  # of a kill
            try:
                partial.mkdir()
                report = _clean(source, target.name, partial, progress, steps)
                if not report.documents_after:
                    why = _why(report)
                    raise CorpusError(f"nothing of {source.name} is left", where=why, do="Leave out a step: --steps")
                report.written = str(target)
                (partial / REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
                partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise CorpusError(f"cannot be written: {reason(error)}", where=str(error.filename or partial)) from None
    return report


def report_on(reference: str, corpus_dir: Path, progress: Progress) -> Report:
    """What was done to a cleaned corpus, or what cleaning would do to another; nothing is changed."""
    source = find_corpus(reference, corpus_dir)
    if isinstance(source, Folder) and source.manifest and source.manifest.made == "cleaned":
        path = source.path / REPORT
        try:
            return msgspec.json.decode(path.read_bytes(), type=Report)
        except (OSError, msgspec.DecodeError):
            raise CorpusError("is missing or damaged", where=str(path), do="Clean the corpus again") from None
    cache = cache_dir(corpus_dir)
    scratch = cache / "report"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(cache / "report.lock", lambda: progress("waiting for another report", None)):
            shutil.rmtree(scratch, ignore_errors=True)  # of a kill
            scratch.mkdir()
            try:
                return _clean(source, source.name, scratch, progress, DEFAULT_STEPS)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise CorpusError(f"cannot be written: {reason(error)}", where=str(error.filename or scratch)) from None


def check_steps(steps: str) -> tuple[str, ...]:
    """The steps of a list with commas, in the order in which they are taken. Raises CorpusError."""
    asked = {step.strip() for step in steps.split(",")} - {""}
    unknown = asked - STEPS.keys()
    if unknown or not asked:
        raise CorpusError(
            f"no step is called {', '.join(sorted(unknown)) or repr(steps)}", do=f"Steps: {', '.join(STEPS)}"
        )
    return tuple(step for step in STEPS if step in asked)


class _Part(NamedTuple):
    """A document, or where it is longer than LONG_CHARACTERS a part of one."""

    text: str
    where: str
    begins: bool
    ends: bool


def _clean(source: Source, name: str, folder: Path, progress: Progress, steps: tuple[str, ...]) -> Report:
    source.materialize(progress)
    report = Report(name=name, source=source.name, steps=[StepReport(step=step) for step in STEPS if step in steps])
    prints = Fingerprints(folder, source.size_bytes())
    long_documents = _mend(source, report, prints, folder, progress)
    prints.close()
    gone = _copies(report, prints, steps, progress)
    _write(report, gone, folder, progress)
    report.documents_after += long_documents
    for left_over in ("mended", "exact", "near", "passages", "passage_documents"):
        (folder / left_over).unlink()
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    manifest = Manifest(
        name=name,
        made="cleaned",
        files=files,
        description=f"{source.name}, cleaned: {', '.join(steps)}",
        source=source.name,
        layout=Layout(column="text"),
        documents=report.documents_after,
    )
    write_manifest(folder, manifest)
    return report


def _why(report: Report) -> str:
    return "; ".join(f"{step.step}: {step.examples[0].what}" for step in report.steps if step.removed and step.examples)


def _mend(source: Source, report: Report, prints: Fingerprints, folder: Path, progress: Progress) -> int:
    """Write each text mended to `mended`, with its fingerprints; how many are too long and have files of their own."""
    steps = {step.step: step for step in report.steps}
    encode = msgspec.json.Encoder().encode
    size, told, long_documents = max(1, source.size_bytes()), 0, 0
    long_file: IO[str] | None = None
    with (folder / "mended").open("wb") as mended:
        for part in _parts(_pieces(source, report, steps.get("encoding"))):
            report.documents_before += part.begins
            report.characters_before += len(part.text)
            text = part.text
            for step, mend in TEXT_STEPS.items():
                if step in steps and (step != "gutenberg" or (part.begins and part.ends)):
                    text = _apply(steps[step], mend, text, part)
            if part.begins and part.ends:
                why = text_steps.rejection_reason(text) if "short" in steps else ""
                if why:
                    steps["short"].removed += 1
                    steps["short"].keep(part.where, why, text.strip()[:EXAMPLE_CHARACTERS])
                else:
                    mended.write(encode({"text": text, "from": part.where}) + b"\n")
                    prints.add(text)
            else:
                if part.begins:
                    long_documents += 1
                    long_file = (folder / f"long-{long_documents:05}.txt").open("w", encoding="utf-8", newline="")
                assert long_file is not None  # a part that does not begin follows one that does
                long_file.write(text)
                report.characters_after += len(text)
                if part.ends:
                    long_file.close()
            if report.characters_before - told > 1 << 20:
                told = report.characters_before
                progress(f"cleaning {source.name}", min(1.0, told / size))
    return long_documents


def _apply(step: StepReport, mend: Callable[[str], str], text: str, part: _Part) -> str:
    new = mend(text)
    if new != text:
        step.changed += part.begins
        if len(step.examples) < EXAMPLES:
            at = next((n for n, (a, b) in enumerate(zip(text, new, strict=False)) if a != b), min(len(text), len(new)))
            start = max(0, at - EXAMPLE_CHARACTERS // 4)
            step.keep(part.where, text[start : start + EXAMPLE_CHARACTERS], new[start : start + EXAMPLE_CHARACTERS])
    return new


def _pieces(source: Source, report: Report, step: StepReport | None) -> Iterator[Piece]:
    """The source's text; with the step, files in other encodings are converted and what is no text is left out."""
    if step is None or not isinstance(source, Folder | TextFile):
        yield from source.pieces()
        return
    left_out: Skipped = Counter()
    files = source.files(left_out) if isinstance(source, Folder) else [source.path]
    layout = source.layout if isinstance(source, Folder) else Layout()
    report.files_left_out = {str(why): count for why, count in left_out.items()}
    encodings: Counter[str] = Counter()

    def pass_over(error: CorpusError) -> None:
        step.removed += 1
        step.keep(error.where, error.what)

    for file in files:
        try:
            plain = is_text_in_some_encoding(file)
            encoding = text_steps.detect_encoding(file) if plain else "utf-8"
            encodings[encoding] += 1
            if encoding != "utf-8" and is_single_document(file, layout):
                step.changed += 1
                step.keep(str(file), encoding, "utf-8")
            yield from read_pieces(file, layout, encoding, pass_over)
        except CorpusError as error:  # what was read of it until then stays
            pass_over(error)
    report.encodings = dict(encodings)


def _parts(pieces: Iterator[Piece]) -> Iterator[_Part]:
    """Whole documents as long as they are not too long; those in parts that end with a line."""
    texts: list[str] = []
    where, length, begun = "", 0, False

    def joined(ends: bool) -> _Part:
        nonlocal begun, length
        part = _Part("".join(texts), where, not begun, ends)
        texts.clear()
        begun, length = not ends, 0
        return part

    for piece in pieces:
        if piece.begins:
            if texts or begun:
                yield joined(True)
            where = piece.origin
        texts.append(piece.text)
        length += len(piece.text)
        if length > LONG_CHARACTERS:
            head, end, tail = "".join(texts).rpartition("\n")
            if not end:  # one line of that length: cut anywhere
                head, tail = tail, ""
            texts[:] = [head + end]
            yield joined(False)
            texts[:], length = [tail], len(tail)
    if texts or begun:
        yield joined(True)


def _copies(report: Report, prints: Fingerprints, steps: tuple[str, ...], progress: Progress) -> dict[int, str]:
    """Which documents go, each under the step that it falls to."""
    import numpy as np

    kept = np.ones(prints.documents, dtype=bool)
    gone: dict[int, str] = {}
    by_name = {step.step: step for step in report.steps}
    for name, find in (("exact", lambda: exact_copies(prints)), ("near", lambda: near_copies(prints, kept))):
        if name in steps and prints.documents:
            progress("looking for copies", None)
            firsts = find()
            copies = np.flatnonzero((firsts != np.arange(len(firsts))) & kept)
            kept[copies] = False
            by_name[name].removed = len(copies)
            gone |= dict.fromkeys(copies.tolist(), name)
            places = _places(prints.folder, [*copies[:EXAMPLES].tolist(), *firsts[copies[:EXAMPLES]].tolist()])
            for copy in copies[:EXAMPLES].tolist():
                by_name[name].keep(places[copy].where, places[copy].what, f"as {places[int(firsts[copy])].where}")
    progress("looking for shared passages", None)
    shared = shared_documents(prints, kept)
    if "overlap" not in by_name:
        by_name["overlap"] = StepReport(step="overlap", found=len(shared))
        report.steps.append(by_name["overlap"])
    else:
        by_name["overlap"].removed = len(shared)
        gone |= {each.document: "overlap" for each in shared}
    places = _places(prints.folder, [each.document for each in shared[:EXAMPLES]])
    for each in shared[:EXAMPLES]:
        place = places[each.document]
        by_name["overlap"].keep(place.where, place.what, f"{each.share:.0%} of its passages stand in others")
    return gone


class _Mended(msgspec.Struct):
    text: str
    where: str = msgspec.field(name="from")


def _places(folder: Path, documents: list[int]) -> dict[int, Example]:
    """Where some of the mended documents came from, and how they begin."""
    wanted = set(documents)
    found: dict[int, Example] = {}
    with (folder / "mended").open("rb") as file:
        for number, line in enumerate(file):
            if len(found) == len(wanted):
                break
            if number in wanted:
                document = msgspec.json.decode(line, type=_Mended)
                found[number] = Example(document.where, document.text.strip()[:EXAMPLE_CHARACTERS])
    return found


def _write(report: Report, gone: dict[int, str], folder: Path, progress: Progress) -> None:
    decode = msgspec.json.Decoder(_Mended).decode
    size = (folder / "mended").stat().st_size
    done = told = 0
    with (folder / "mended").open("rb") as mended, (folder / "documents.jsonl").open("wb") as file:
        for number, line in enumerate(mended):
            if number not in gone:
                file.write(line)
                report.documents_after += 1
                report.characters_after += len(decode(line).text)
            done += len(line)
            if done - told > 1 << 22:
                told = done
                progress(f"writing {report.name}", done / size)
        file.flush()
        os.fsync(file.fileno())
    if not report.documents_after:
        (folder / "documents.jsonl").unlink()
