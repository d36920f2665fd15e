"""Text that can be trained on: files, folders, bundled text and generated stories, all behind one interface."""

from __future__ import annotations

import contextlib
import math
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from importlib import resources
from pathlib import Path

import msgspec
import xxhash

from tui_gpt.corpora.sources.corpus_manifest import Manifest, read_manifest
from tui_gpt.corpora.sources.digests import Digests, seal, unseal
from tui_gpt.corpora.sources.formats import Document, Layout, Piece, documents_of, is_single_document, read_pieces
from tui_gpt.corpora.sources.locks import exclusive_lock
from tui_gpt.corpora.sources.text_files import (
    PACKED_SUFFIXES,
    Skipped,
    decode,
    file_digest,
    leaves_folder,
    list_text_files,
    read_error,
)
from tui_gpt.corpora.stories.generator import MEGABYTES, SEED, Story, generate_stories
from tui_gpt.errors import CorpusError, reason
from tui_gpt.files import read_file, write_atomically

Progress = Callable[[str, float | None], None]
"""Called with what is being done and how much of it is (0 to 1), None where that is unknown. It may raise to cancel."""


class Source(ABC):
    """Text that can be trained on."""

    name: str
    description: str

    def materialize(self, progress: Progress) -> None:  # noqa: B027
        """Write the text to disk if it has to be generated first. Raises CorpusError."""

    @abstractmethod
    def pieces(self) -> Iterator[Piece]:
        """Yield the text of the documents in parts of about 10⁶ characters, always in the same order.

        Raises CorpusError for data that is not text.
        """

    def documents(self) -> Iterator[Document]:
        """Yield the documents, each as a whole with its origin."""
        return documents_of(self.pieces())

    def beginning(self, characters: int) -> list[str]:
        """Return the first documents, the last one truncated, so that they hold `characters` in all, or fewer if there
        are none.
        """
        return _head(self.pieces(), characters)

    def count(self) -> int:
        """Return the number of documents. Files that hold several documents are read through."""
        return sum(piece.begins for piece in self.pieces())

    def count_is_cheap(self) -> bool:
        """Return whether `count` works without reading the text."""
        return False

    @abstractmethod
    def size_bytes(self) -> int:
        """Return the size of the text on disk, compressed or not."""

    @abstractmethod
    def digest(self) -> str:
        """Return a digest of the content, which is the same for the same text under any name."""

    def nats(self) -> Iterator[float] | None:
        """Return -log p of each document if the probability of the text is known exactly, None otherwise."""
        return None


def _head(pieces: Iterable[Piece], characters: int) -> list[str]:
    texts: list[str] = []
    for piece in pieces:
        if piece.begins:
            texts.append("")
        texts[-1] += piece.text[:characters]
        characters -= len(piece.text)
        if characters <= 0:
            break
    return texts


class TextFile(Source):
    """One file: a single document if it is plain text, many if it holds records."""

    def __init__(
        self, path: Path, name: str = "", description: str = "a text file", digests: Digests | None = None
    ) -> None:
        self.path, self.name, self.description = path, name or _stem(path), description
        self._digests = digests or Digests(None)

    def pieces(self) -> Iterator[Piece]:
        return read_pieces(self.path)

    def count(self) -> int:
        return 1 if self.count_is_cheap() else super().count()

    def count_is_cheap(self) -> bool:
        return is_single_document(self.path, Layout())

    def size_bytes(self) -> int:
        return _size(self.path)

    def digest(self) -> str:
        return _format_digest(self.path, self._digests.of([self.path])[0])


class Folder(Source):
    """Every text file under a folder, or those listed in its `corpus.json`."""

    def __init__(
        self, path: Path, name: str = "", description: str = "a folder of text files", digests: Digests | None = None
    ) -> None:
        self.path, self.name, self.description = path, name or path.name, description
        self._digests = digests or Digests(None)

    @cached_property
    def manifest(self) -> Manifest | None:
        """The folder's manifest, None if it has none. Raises CorpusError if it is damaged."""
        return read_manifest(self.path)

    @property
    def layout(self) -> Layout:
        return self.manifest.layout if self.manifest else Layout()

    def files(self, skipped: Skipped | None = None) -> list[Path]:
        """Return the text files in reading order. Raises CorpusError for a folder without any."""
        if self.manifest:
            return self._listed(self.manifest)
        skipped = Counter() if skipped is None else skipped
        found = list_text_files(self.path, skipped)
        if not found:
            links = skipped["link out of the folder"]
            raise CorpusError(
                "no text files here (.txt, .md, source code, .jsonl, .csv, .parquet; .gz or .zst)",
                where=str(self.path),
                do="Links that leave the folder are not followed; put a copy there" if links else "",
            )
        return found

    def _listed(self, manifest: Manifest) -> list[Path]:
        files, root = [self.path / file for file in manifest.files], os.path.realpath(self.path)
        for file in files:
            if leaves_folder(file, root):
                raise CorpusError("is a link that leaves its folder", where=str(file), do="Put a copy there")
        return files

    def pieces(self) -> Iterator[Piece]:
        return (piece for file in self.files() for piece in read_pieces(file, self.layout))

    def count(self) -> int:
        if self.manifest and self.manifest.documents is not None:
            return self.manifest.documents
        return len(self.files()) if self.count_is_cheap() else super().count()

    def count_is_cheap(self) -> bool:
        if self.manifest and self.manifest.documents is not None:
            return True
        return all(is_single_document(file, self.layout) for file in self.files())

    def size_bytes(self) -> int:
        return sum(map(_size, self.files()))

    def digest(self) -> str:
        files = self.files()
        parts = ["folder", *map(_format_digest, files, self._digests.of(files))]
        if self.layout != Layout():
            parts.append(msgspec.json.encode(self.layout).decode())
        return xxhash.xxh3_128_hexdigest("\n".join(parts).encode())


def _stem(path: Path) -> str:
    """Return the name of a file without the suffixes for format and compression: `texts` for texts.jsonl.gz."""
    return path.stem if path.suffix.lower() not in PACKED_SUFFIXES else Path(path.stem).stem


def _format_digest(file: Path, digest: str) -> str:
    """Return `digest` with the file's format: the same bytes are another corpus as text than as records."""
    return digest if is_single_document(file, Layout()) else f"{digest}{file.suffix.lower()}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise read_error(path, error) from None


class Bundled(Source):
    """A text that is part of the package."""

    def __init__(self, name: str, description: str) -> None:
        self.name, self.description = name, description

    def _bytes(self) -> bytes:
        return (resources.files("tui_gpt.corpora") / "data" / f"{self.name}.txt").read_bytes()

    def size_bytes(self) -> int:
        return len(self._bytes())

    def pieces(self) -> Iterator[Piece]:
        yield Piece(decode(self._bytes(), self.name), True, self.name)

    def count_is_cheap(self) -> bool:
        return True

    def digest(self) -> str:
        return xxhash.xxh3_128_hexdigest(self._bytes())


class PythonTopics(Source):
    """The reference of the installed Python, one document for each topic of its help."""

    def __init__(self, name: str, description: str) -> None:
        self.name, self.description = name, description

    def pieces(self) -> Iterator[Piece]:
        from pydoc_data.topics import topics

        return (Piece(text, True, f"{self.name}:{topic}") for topic, text in sorted(topics.items()))

    def count_is_cheap(self) -> bool:
        return True

    def size_bytes(self) -> int:
        return sum(len(piece.text.encode()) for piece in self.pieces())

    def digest(self) -> str:
        return xxhash.xxh3_128_hexdigest("\0".join(piece.text for piece in self.pieces()).encode())


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """The cross-entropy of a generated text under its own distribution, ends of documents included.

    No model has a lower expected loss.
    """

    megabytes: float
    seed: int
    documents: int
    characters: int
    bytes: int
    nats: float
    digest: str = ""  # of the file of stories

    @property
    def nats_per_character(self) -> float:
        return self.nats / self.characters

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes


def _read_floor(path: Path) -> Floor:
    """Return the floor in a file. Raises OSError or ValueError if it is missing or damaged."""
    return msgspec.json.decode(unseal(read_file(path)), type=Floor)


class Stories(Source):
    """Generated stories, stored in `cache` as JSON lines of text and nats, with their Floor beside them.

    They are a function of the generator's code, the size and the seed. The digest and the file name are made of these,
    so a changed generator writes new stories.
    """

    def __init__(
        self, name: str, description: str, cache: Path, megabytes: float = MEGABYTES, seed: int = SEED
    ) -> None:
        self.name, self.description = name, description
        self.megabytes, self.seed = megabytes, seed
        self.path = cache / f"stories-{self.digest()}.jsonl"
        self._floor_file = self.path.with_suffix(".json")
        self._is_checked = False

    @classmethod
    def find_generated(cls, cache: Path) -> Iterator[Stories]:
        """Yield the stories in `cache` that this version of the generator wrote."""
        for path in sorted(cache.glob("stories-*.json")):
            with contextlib.suppress(OSError, ValueError, RecursionError):
                floor = _read_floor(path)
                stories = cls("stories", "", cache, floor.megabytes, floor.seed)
                if stories._floor_file == path:
                    yield stories

    def materialize(self, progress: Progress) -> None:
        if self._is_complete():
            self._is_checked = True
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            message = f"waiting for another process generating {self.name}"
            with exclusive_lock(self.path.with_suffix(".lock"), lambda: progress(message, None)):
                if not self._is_complete():
                    if self.path.exists():
                        progress(f"the stored {self.name} are damaged or incomplete: generating them again", None)
                    self._write(progress)
                self._is_checked = True
        except OSError as error:
            raise CorpusError(
                f"cannot be written: {reason(error)}",
                where=str(self.path.parent),
                do="Free some space, or move the cache with GPT_TUI_CACHE",
            ) from None

    def _is_complete(self) -> bool:
        """Whether the stories are there, and as they were written."""
        try:
            return self._is_checked or _read_floor(self._floor_file).digest == file_digest(self.path)
        except (OSError, ValueError, RecursionError, CorpusError):
            return False

    def _write(self, progress: Progress) -> None:
        encode = msgspec.json.Encoder().encode
        partial = self.path.with_suffix(".partial")  # overwrites what a killed process left
        total, characters, documents, reported, nats = self.megabytes * 1e6, 0, 0, 0, 0.0
        progress(f"generating {self.name}", 0.0)
        with partial.open("wb") as file:
            for story in generate_stories(self.megabytes, self.seed):
                file.write(encode({"text": story.text, "nats": story.nats}) + b"\n")
                characters += len(story.text)
                documents += 1
                nats += story.nats
                if characters - reported > min(total / 20, 1e7):
                    reported = characters
                    progress(f"generating {self.name}", min(1.0, characters / total))
        partial.replace(self.path)
        floor = Floor(
            digest=file_digest(self.path),
            megabytes=self.megabytes,
            seed=self.seed,
            documents=documents,
            characters=characters,
            bytes=characters,  # the stories are ASCII
            nats=nats,
        )
        write_atomically(self._floor_file, seal(msgspec.json.encode(floor)))

    def floor(self) -> Floor:
        """Return the floor, generating the stories first if needed."""
        self.materialize(lambda *_: None)
        try:
            return _read_floor(self._floor_file)
        except (OSError, ValueError, RecursionError):
            raise self._damaged(self._floor_file) from None

    def _damaged(self, file: Path) -> CorpusError:
        return CorpusError("damaged file", where=str(file), do="Delete it; it will be generated again")

    def _stories(self) -> Iterator[Story]:
        decode_line = msgspec.json.Decoder(_Line).decode
        self.materialize(lambda *_: None)
        try:
            with self.path.open("rb") as file:
                for line in file:
                    story = decode_line(line)
                    yield Story(story.text, story.nats)
        except (OSError, ValueError, RecursionError):
            raise self._damaged(self.path) from None

    def pieces(self) -> Iterator[Piece]:
        return (Piece(story.text, True, f"{self.name}:{n}") for n, story in enumerate(self._stories(), 1))

    def beginning(self, characters: int) -> list[str]:
        """Return the first stories, generated in memory rather than read, so that the corpus need not exist."""
        return _head((Piece(story.text, True, "") for story in generate_stories(self.megabytes, self.seed)), characters)

    def size_bytes(self) -> int:
        return int(self.megabytes * 1e6)

    def nats(self) -> Iterator[float]:
        return (story.nats for story in self._stories())

    def count(self) -> int:
        return self.floor().documents

    def digest(self) -> str:
        package = resources.files("tui_gpt.corpora.stories")
        code = b"".join((package / file).read_bytes() for file in ("generator.py", "plots.py", "grammar.py"))
        return xxhash.xxh3_128_hexdigest(code + f"{self.megabytes} {self.seed}".encode())


class _Line(msgspec.Struct):
    text: str
    nats: float
