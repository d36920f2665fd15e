"""`corpus.json`: the manifest of a folder that was fetched, cleaned or added.

It lists the text files, so that a report or a licence beside them is not read as text, how documents are laid out in
them, and where they came from. It is written last and the folder is then renamed into place, so a folder with a
manifest is complete.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from tui_gpt.corpora.sources.formats import Layout
from tui_gpt.errors import CorpusError, reason
from tui_gpt.files import write_atomically

MANIFEST = "corpus.json"


class Provenance(msgspec.Struct, frozen=True):
    """A text, its licence and where it came from, as far as these are known."""

    name: str
    licence: str = ""
    source: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """files: the size in bytes of each text file, in reading order. documents: None if unknown."""

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
    """Return the manifest of a folder, None if it has none.

    Raises CorpusError if it is damaged or names files outside its folder.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CorpusError(f"cannot be read: {reason(error)}", where=str(path)) from None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (ValueError, RecursionError) as error:
        raise CorpusError(
            f"invalid manifest: {error}", where=str(path), do="Delete it to read every text file in the folder"
        ) from None
    for file in manifest.files:
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise CorpusError(f"lists a file outside its folder: {file}", where=str(path))
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder."""
    write_atomically(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
