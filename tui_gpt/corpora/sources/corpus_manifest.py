"""`corpus.json`: what a folder that was fetched, cleaned or added says of itself.

It names the files that are its text, so that a report or a licence beside them is none, how documents stand in them,
and where they came from. It is written last, and the folder is renamed into place after it: a folder that has one is
whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from tui_gpt.corpora.sources.formats import Layout
from tui_gpt.errors import CorpusError, reason

MANIFEST = "corpus.json"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`files`: each text file's size in bytes, in the order in which they are read. `documents`: None when unknown."""

    name: str
    made: Literal["fetched", "cleaned", "added"]
    files: dict[str, int]
    description: str = ""
    licence: str = ""
    source: str = ""
    sha256: dict[str, str] = {}
    layout: Layout = Layout()
    documents: int | None = None


def read_manifest(folder: Path) -> Manifest | None:
    """Raises CorpusError for one that is damaged, or that names files outside its folder."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CorpusError(f"cannot be read: {reason(error)}", where=str(path)) from None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorpusError(
            f"does not describe a corpus: {error}", where=str(path), do="Delete it, and every text file counts"
        ) from None
    for file in manifest.files:
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise CorpusError(f"names a file outside its folder: {file}", where=str(path))
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
