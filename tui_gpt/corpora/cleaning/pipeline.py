"""Make a clean copy of a corpus, and report everything that was changed or left out.

Two passes, neither of which holds the corpus in memory: the first cleans each text and records its fingerprints, the
second drops duplicates. The copy and its report appear with one rename; a kill leaves the original untouched and no
partial copy. Each step counts its changes and keeps a few examples.
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
from tui_gpt.corpora.sources.corpus_manifest import Manifest, Provenance, write_manifest
from tui_gpt.corpora.sources.formats import Layout, Piece, is_single_document, is_text_in_some_encoding, read_pieces
from tui_gpt.corpora.sources.locks import exclusive_lock
from tui_gpt.corpora.sources.registry import cleaned_name, find_corpus, new_corpus_path, provenance
from tui_gpt.corpora.sources.source import Folder, Progress, Source, TextFile
from tui_gpt.corpora.sources.text_files import Skipped, cache_dir
from tui_gpt.errors import CorpusError, reason
from tui_gpt.files import write_atomically

STEPS = {
    "encoding": "convert other encodings to UTF-8; drop malformed records and binary files",
    "gutenberg": "remove Project Gutenberg's licence and header",
    "mojibake": "repair characters that were decoded with the wrong encoding",
    "unicode": "normalise to NFC; remove control and invisible characters",
    "line-ends": "convert all line ends to \\n",
    "short": "drop documents that are too short or not text",
    "exact": "drop exact duplicates, keep the first",
    "near": "drop near duplicates, keep the first",
    "overlap": "drop documents that share half of their passages with others",
}
DEFAULT_STEPS = tuple(step for step in STEPS if step != "overlap")
TEXT_STEPS: dict[str, Callable[[str], str]] = {
    "gutenberg": text_steps.strip_gutenberg,
    "mojibake": text_steps.fix_mojibake,
    "unicode": text_steps.normalise_unicode,
    "line-ends": text_steps.normalise_line_ends,
}
LONG_CHARACTERS = 1 << 23  # longer documents are cleaned in parts and not compared with others
EXAMPLES, EXAMPLE_CHARACTERS = 3, 100
REPORT = "report.json"
CLEANED = "cleaned"  # temporary file of the first pass


class Example(msgspec.Struct, frozen=True):
    """An example of a change. where: file, or file and line. what: the text before, or why it was dropped. now: the
    text after.
    """

    where: str
    what: str
    now: str = ""


class StepReport(msgspec.Struct, kw_only=True):
    """What a step did. changed: documents changed; removed: documents dropped; found: documents only counted."""

    step: str
    changed: int = 0
    removed: int = 0
    found: int = 0
    examples: list[Example] = []

    def add_example(self, where: str, what: str, now: str = "") -> None:
        if len(self.examples) < EXAMPLES:
            self.examples.append(Example(where, what, now))


class Report(msgspec.Struct, kw_only=True):
    """The result of cleaning. written: the path of the copy, "" for a report without one."""

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
    """Write a clean copy of `reference` to `corpus_dir` as `name` (default: NAME-clean). Raises CorpusError."""
    source = find_corpus(reference, corpus_dir)
    target = new_corpus_path(name or cleaned_name(source, corpus_dir), corpus_dir)
    partial = corpus_dir / f".cleaning-{target.name}"
    lock = cache_dir(corpus_dir) / f"cleaning-{target.name}.lock"
    try:
        corpus_dir.mkdir(parents=True, exist_ok=True)
        lock.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(lock, lambda: progress("waiting for another process cleaning this corpus", None)):
            new_corpus_path(target.name, corpus_dir)  # the other process may have created it
            shutil.rmtree(partial, ignore_errors=True)  # left by a killed process
            try:
                partial.mkdir()
                origins = provenance(reference, corpus_dir)
                report = _clean(source, origins, target.name, partial, progress, steps)
                if not report.documents_after:
                    raise CorpusError(
                        f"cleaning drops all of {source.name}",
                        where=_reasons(report),
                        do="Choose fewer steps with --steps",
                    )
                report.written = str(target)
                write_atomically(partial / REPORT, msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
                partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise CorpusError(f"cannot be written: {reason(error)}", where=str(error.filename or partial)) from None
    return report


def report_on(reference: str, corpus_dir: Path, progress: Progress) -> Report:
    """Return the report of a cleaned corpus, or what cleaning would do to another. Nothing is changed. Raises
    CorpusError.
    """
    source = find_corpus(reference, corpus_dir)
    if isinstance(source, Folder) and source.manifest and source.manifest.made == "cleaned":
        path = source.path / REPORT
        try:
            return msgspec.json.decode(path.read_bytes(), type=Report)
        except (OSError, ValueError, RecursionError):
            raise CorpusError("missing or damaged report", where=str(path), do="Clean the corpus again") from None
    cache = cache_dir(corpus_dir)
    scratch = cache / "report"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(cache / "report.lock", lambda: progress("waiting for another report", None)):
            shutil.rmtree(scratch, ignore_errors=True)  # left by a killed process
            scratch.mkdir()
            try:
                return _clean(source, [], source.name, scratch, progress, DEFAULT_STEPS)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise CorpusError(f"cannot be written: {reason(error)}", where=str(error.filename or scratch)) from None


def check_steps(steps: str) -> tuple[str, ...]:
    """Return the steps of a comma-separated list, in the order in which they run. Raises CorpusError."""
    names = {step.strip() for step in steps.split(",")} - {""}
    unknown = names - STEPS.keys()
    if unknown or not names:
        raise CorpusError(f"unknown step {', '.join(sorted(unknown)) or repr(steps)}", do=f"Steps: {', '.join(STEPS)}")
    return tuple(step for step in STEPS if step in names)


class _Part(NamedTuple):
    """A document, or part of one that is longer than LONG_CHARACTERS."""

    text: str
    where: str
    begins: bool
    ends: bool


def _clean(
    source: Source,
    origins: list[Provenance],
    name: str,
    folder: Path,
    progress: Progress,
    steps: tuple[str, ...],
) -> Report:
    source.materialize(progress)
    report = Report(name=name, source=source.name, steps=[StepReport(step=step) for step in STEPS if step in steps])
    fingerprints = Fingerprints(folder, source.size_bytes())
    long_documents = _clean_texts(source, report, fingerprints, folder, progress)
    fingerprints.close()
    dropped = _find_duplicates(report, fingerprints, steps, progress)
    _write(report, dropped, folder, progress)
    report.documents_after += long_documents
    for temporary in (CLEANED, "exact", "near", "passages", "passage_documents"):
        (folder / temporary).unlink()
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    manifest = Manifest(
        name=name,
        made="cleaned",
        files=files,
        description=f"{source.name}, cleaned: {', '.join(steps)}",
        licence="; ".join(dict.fromkeys(each.licence for each in origins if each.licence)),
        source="; ".join(each.source or each.name for each in origins),
        layout=Layout(column="text"),
        documents=report.documents_after,
    )
    write_manifest(folder, manifest)
    return report


def _reasons(report: Report) -> str:
    return "; ".join(f"{step.step}: {step.examples[0].what}" for step in report.steps if step.removed and step.examples)


def _clean_texts(source: Source, report: Report, fingerprints: Fingerprints, folder: Path, progress: Progress) -> int:
    """Write the cleaned texts and their fingerprints, and return the number of documents too long to compare.

    Those are written to a file each.
    """
    steps = {step.step: step for step in report.steps}
    encode = msgspec.json.Encoder().encode
    size, reported, long_documents = max(1, source.size_bytes()), 0, 0
    long_file: IO[str] | None = None
    with (folder / CLEANED).open("wb") as cleaned:
        for part in _parts(_pieces(source, report, steps.get("encoding"))):
            report.documents_before += part.begins
            report.characters_before += len(part.text)
            text = part.text
            for step, function in TEXT_STEPS.items():
                if step in steps and (step != "gutenberg" or (part.begins and part.ends)):
                    text = _apply(steps[step], function, text, part)
            if part.begins and part.ends:
                reason = text_steps.rejection_reason(text) if "short" in steps else ""
                if reason:
                    steps["short"].removed += 1
                    steps["short"].add_example(part.where, reason, text.strip()[:EXAMPLE_CHARACTERS])
                else:
                    cleaned.write(encode({"text": text, "from": part.where}) + b"\n")
                    fingerprints.add(text)
            else:
                if part.begins:
                    long_documents += 1
                    long_file = (folder / f"long-{long_documents:05}.txt").open("w", encoding="utf-8", newline="")
                assert long_file is not None  # opened at the document's first part
                long_file.write(text)
                report.characters_after += len(text)
                if part.ends:
                    long_file.close()
            if report.characters_before - reported > 1 << 20:
                reported = report.characters_before
                progress(f"cleaning {source.name}", min(1.0, reported / size))
    return long_documents


def _apply(step: StepReport, function: Callable[[str], str], text: str, part: _Part) -> str:
    new = function(text)
    if new != text:
        step.changed += part.begins
        if len(step.examples) < EXAMPLES:
            at = next((n for n, (a, b) in enumerate(zip(text, new, strict=False)) if a != b), min(len(text), len(new)))
            start = max(0, at - EXAMPLE_CHARACTERS // 4)
            step.add_example(
                part.where, text[start : start + EXAMPLE_CHARACTERS], new[start : start + EXAMPLE_CHARACTERS]
            )
    return new


def _pieces(source: Source, report: Report, step: StepReport | None) -> Iterator[Piece]:
    """Yield the text of the source. The encoding step converts other encodings and skips what cannot be read."""
    if step is None or not isinstance(source, Folder | TextFile):
        yield from source.pieces()
        return
    skipped: Skipped = Counter()
    files = source.files(skipped) if isinstance(source, Folder) else [source.path]
    layout = source.layout if isinstance(source, Folder) else Layout()
    report.files_left_out = {str(reason): count for reason, count in skipped.items()}
    encodings: Counter[str] = Counter()

    def skip(error: CorpusError) -> None:
        step.removed += 1
        step.add_example(error.where, error.what)

    for file in files:
        try:
            encoding = text_steps.detect_encoding(file) if is_text_in_some_encoding(file) else "utf-8"
            encodings[encoding] += 1
            if encoding != "utf-8" and is_single_document(file, layout):
                step.changed += 1
                step.add_example(str(file), encoding, "utf-8")
            yield from read_pieces(file, layout, encoding, skip)
        except CorpusError as error:  # the documents read before the error are kept
            skip(error)
    report.encodings = dict(encodings)


def _parts(pieces: Iterator[Piece]) -> Iterator[_Part]:
    """Yield whole documents; those longer than LONG_CHARACTERS in parts that end with a line."""
    texts: list[str] = []
    where, length, continued = "", 0, False

    def join(ends: bool) -> _Part:
        nonlocal continued, length
        part = _Part("".join(texts), where, not continued, ends)
        texts.clear()
        continued, length = not ends, 0
        return part

    for piece in pieces:
        if piece.begins:
            if texts or continued:
                yield join(True)
            where = piece.origin
        texts.append(piece.text)
        length += len(piece.text)
        if length > LONG_CHARACTERS:
            head, end, tail = "".join(texts).rpartition("\n")
            if not end:  # a single line: split anywhere
                head, tail = tail, ""
            texts[:] = [head + end]
            yield join(False)
            texts[:], length = [tail], len(tail)
    if texts or continued:
        yield join(True)


def _find_duplicates(
    report: Report, fingerprints: Fingerprints, steps: tuple[str, ...], progress: Progress
) -> dict[int, str]:
    """Return the documents to drop, by number, each with the step that drops it."""
    import numpy as np

    kept = np.ones(fingerprints.documents, dtype=bool)
    dropped: dict[int, str] = {}
    by_name = {step.step: step for step in report.steps}
    finders = {"exact": lambda: exact_copies(fingerprints), "near": lambda: near_copies(fingerprints, kept)}
    for name, find in finders.items():
        if name in steps and fingerprints.documents:
            progress("finding duplicates", None)
            firsts = find()
            copies = np.flatnonzero((firsts != np.arange(len(firsts))) & kept)
            kept[copies] = False
            by_name[name].removed = len(copies)
            dropped |= dict.fromkeys(copies.tolist(), name)
            shown = copies[:EXAMPLES]
            origins = _origins(fingerprints.folder, [*shown.tolist(), *firsts[shown].tolist()])
            for copy in shown.tolist():
                original = origins[int(firsts[copy])].where
                by_name[name].add_example(origins[copy].where, origins[copy].what, f"same as {original}")
    progress("finding shared passages", None)
    shared = shared_documents(fingerprints, kept)
    if "overlap" not in by_name:
        by_name["overlap"] = StepReport(step="overlap", found=len(shared))
        report.steps.append(by_name["overlap"])
    else:
        by_name["overlap"].removed = len(shared)
        dropped |= {each.document: "overlap" for each in shared}
    origins = _origins(fingerprints.folder, [each.document for each in shared[:EXAMPLES]])
    for each in shared[:EXAMPLES]:
        origin = origins[each.document]
        by_name["overlap"].add_example(
            origin.where, origin.what, f"{each.share:.0%} of its passages are in other documents"
        )
    return dropped


class _CleanedText(msgspec.Struct):
    text: str
    where: str = msgspec.field(name="from")


def _origins(folder: Path, documents: list[int]) -> dict[int, Example]:
    """Return the origin and the beginning of some of the cleaned documents, by number."""
    wanted = set(documents)
    found: dict[int, Example] = {}
    with (folder / CLEANED).open("rb") as file:
        for number, line in enumerate(file):
            if len(found) == len(wanted):
                break
            if number in wanted:
                document = msgspec.json.decode(line, type=_CleanedText)
                found[number] = Example(document.where, document.text.strip()[:EXAMPLE_CHARACTERS])
    return found


def _write(report: Report, dropped: dict[int, str], folder: Path, progress: Progress) -> None:
    """Write the documents that are kept."""
    decode = msgspec.json.Decoder(_CleanedText).decode
    size = (folder / CLEANED).stat().st_size
    done = reported = 0
    with (folder / CLEANED).open("rb") as cleaned, (folder / "documents.jsonl").open("wb") as file:
        for number, line in enumerate(cleaned):
            if number not in dropped:
                file.write(line)
                report.documents_after += 1
                report.characters_after += len(decode(line).text)
            done += len(line)
            if done - reported > 1 << 22:
                reported = done
                progress(f"writing {report.name}", done / size)
        file.flush()
        os.fsync(file.fileno())
    if not report.documents_after:
        (folder / "documents.jsonl").unlink()
