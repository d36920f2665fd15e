"""The cleaning steps that work on a single text, and the detection of encodings.

Nothing changes the author's style: quotes, dashes and spaces stay. Only artefacts are changed: licences around the
books of Project Gutenberg, text decoded with the wrong encoding, characters in more than one Unicode form, line ends of
other systems, control characters.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from pathlib import Path

from tui_gpt.corpora.sources.formats import open_decompressed
from tui_gpt.errors import CorpusError

SAMPLE_BYTES = 1 << 18
SAMPLE_CHARACTERS = 2_000
MIN_CHARACTERS = 50
MIN_PLAIN_SHARE = 0.6  # letters, digits and blanks: 0.95 of prose, 0.75 of dense code, 0.3 of an ASCII-art table
MIN_BLANK_SHARE = 0.02  # of ASCII text; base64 and minified files have less

# Bounded, and blanks within one line only, so that no text takes longer than its length.
_GUTENBERG_START = re.compile(
    r"\*\*\*\s?START OF TH(?:E|IS) PROJECT GUTENBERG EBOOK.{0,300}?\*\*\*[^\n]{0,300}\n"
    r"|\*END\*? ?THE SMALL PRINT![^\n]{0,300}?\*END\*[^\n]{0,300}\n",
    re.DOTALL | re.IGNORECASE,
)
_GUTENBERG_END = re.compile(
    r"^[^\S\n]*(?:\*\*\*\s?END OF TH(?:E|IS) PROJECT GUTENBERG EBOOK|End of (?:the )?Project Gutenberg'?s? )",
    re.MULTILINE | re.IGNORECASE,
)
_GUTENBERG_CREDITS = re.compile(
    r"\s*(?:Produced|E-text prepared|This eBook was produced) by .{1,600}?\n[^\S\n]*\n", re.DOTALL
)
GUTENBERG_HEAD = 100_000

_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff\ufffe\uffff]")
_NOT_PLAIN = re.compile(r"[^\w\s]|_")
_MAYBE_MOJIBAKE = re.compile(r"[^\x00-\x7f]{2}|Ã ")  # a multi-byte character decoded byte by byte
_BLANK = re.compile(r"\s")


def strip_gutenberg(text: str) -> str:
    """Remove Project Gutenberg's licence and header, if the text has their markers."""
    head = text[:GUTENBERG_HEAD].upper()
    start = _GUTENBERG_START.search(text, 0, GUTENBERG_HEAD) if "GUTENBERG" in head or "SMALL PRINT" in head else None
    if start is None:
        return text
    end = _GUTENBERG_END.search(text, start.end())
    book = text[start.end() : end.start() if end else len(text)]
    credits = _GUTENBERG_CREDITS.match(book)
    return book[credits.end() if credits else 0 :].strip("\r\n ") + "\n"


def fix_mojibake(text: str) -> str:
    """Repair text decoded with the wrong encoding (`â€œ` for a quote), line by line."""
    if not _MAYBE_MOJIBAKE.search(text):
        return text
    from ftfy import fix_encoding

    return "\n".join(fix_encoding(line) if _MAYBE_MOJIBAKE.search(line) else line for line in text.split("\n"))


def normalise_unicode(text: str) -> str:
    """Compose characters (NFC) and remove invisible ones: controls, soft hyphens, zero-width and byte order marks."""
    text = _INVISIBLE.sub("", text)
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def normalise_line_ends(text: str) -> str:
    r"""Convert all line ends, vertical tabs and form feeds to "\n"."""
    return _LINE_ENDS.sub("\n", text)


def rejection_reason(text: str) -> str:
    """Return why a document is too short or not text, "" if it is fine."""
    sample = text[:SAMPLE_CHARACTERS]
    length = len(sample.strip())
    if length < MIN_CHARACTERS:
        return f"{length} characters"
    plain = 1 - len(_NOT_PLAIN.findall(sample)) / len(sample)
    if plain < MIN_PLAIN_SHARE:
        return f"{plain:.0%} letters, digits and blanks"
    if sample.isascii() and len(_BLANK.findall(sample)) / len(sample) < MIN_BLANK_SHARE:
        return "almost no blanks"
    return ""


def detect_encoding(path: Path) -> str:
    """Return the encoding of a plain or .csv file: `utf-8` if all of it is, else the likeliest for its beginning.

    Raises CorpusError if the file is binary or the encoding cannot be determined.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_decompressed(path) as file:
        head = file.read(SAMPLE_BYTES)
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            return "utf-16"
        if b"\0" in head:
            raise CorpusError("binary file", where=str(path))
        data = head
        try:
            while data:
                decoder.decode(data)
                data = file.read(SAMPLE_BYTES)
            decoder.decode(b"", final=True)
            return "utf-8"
        except UnicodeDecodeError:
            pass
    from charset_normalizer import from_bytes

    try:
        head.decode("utf-8")
        sample = data  # the first invalid byte is after the beginning
    except UnicodeDecodeError:
        sample = head
    # one-byte encodings differ in few letters: prefer the most common one if it yields words
    western = from_bytes(sample, cp_isolation=["cp1252"], threshold=1.0).best()
    best = western or from_bytes(sample).best()
    if best is None:
        raise CorpusError("cannot determine the encoding", where=str(path))
    return best.encoding
