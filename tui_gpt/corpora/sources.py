"""A corpus as documents: a text file, a folder of them, the bundled text, the generated stories.

A source is cheap to make; it reads when asked, one document at a time, and says by its digest whether its content is
what it was. A text file is one document, whatever is in it; a folder has one for each text file.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import msgspec
import xxhash

from tui_gpt.corpora.files import decode, file_digest, read_text, text_files
from tui_gpt.corpora.stories import MEGABYTES, SEED, Story, write_stories
from tui_gpt.errors import CorpusError, reason

Progress = Callable[[str, float | None], None]
"""Called with what is being done and how much of it is (0 to 1), None where that is unknown. It may raise to cancel."""


class Source(ABC):
    """Text that can be trained on."""

    name: str
    description: str

    def make(self, progress: Progress) -> None:  # noqa: B027
        """Bring the text onto the disk, for a source that has to. Raises CorpusError."""

    @abstractmethod
    def documents(self) -> Iterator[str]:
        """Each document's text, in an order that does not change. Raises CorpusError for what is not text."""

    @abstractmethod
    def count(self) -> int:
        """How many documents there are."""

    @abstractmethod
    def digest(self) -> str:
        """A digest of the content: the same text, the same digest, whatever it is called."""

    def nats(self) -> Iterator[float] | None:
        """-log p of each document where the text's probability is known exactly, else None."""
        return None


class TextFile(Source):
    """One file, one document."""

    def __init__(self, path: Path, name: str = "", description: str = "a text file") -> None:
        self.path, self.name, self.description = path, name or path.stem, description

    def documents(self) -> Iterator[str]:
        yield read_text(self.path)

    def count(self) -> int:
        return 1

    def digest(self) -> str:
        return file_digest(self.path)


class Folder(Source):
    """Every text file under a folder, each a document."""

    def __init__(self, path: Path, name: str = "", description: str = "a folder of text files") -> None:
        self.path, self.name, self.description = path, name or path.name, description

    def files(self) -> list[Path]:
        """Raises CorpusError for a folder without text."""
        found = text_files(self.path)
        if not found:
            raise CorpusError("holds no text files (.txt, .md)", where=str(self.path))
        return found

    def documents(self) -> Iterator[str]:
        return map(read_text, self.files())

    def count(self) -> int:
        return len(self.files())

    def digest(self) -> str:
        return xxhash.xxh3_128_hexdigest("\n".join(["folder", *map(file_digest, self.files())]).encode())


class Bundled(Source):
    """A text that comes with the package."""

    def __init__(self, name: str, description: str) -> None:
        self.name, self.description = name, description

    def _bytes(self) -> bytes:
        return (resources.files("tui_gpt.corpora") / "data" / f"{self.name}.txt").read_bytes()

    def size_bytes(self) -> int:
        return len(self._bytes())

    def documents(self) -> Iterator[str]:
        yield decode(self._bytes(), self.name)

    def count(self) -> int:
        return 1

    def digest(self) -> str:
        return xxhash.xxh3_128_hexdigest(self._bytes())


class Stories(Source):
    """Generated stories, kept in `cache` as JSON lines of text and nats once made.

    They are a function of the generator's code, the size and the seed, and these are what the digest and the file's
    name are made of: a changed generator writes anew.
    """

    def __init__(
        self, name: str, description: str, cache: Path, megabytes: float = MEGABYTES, seed: int = SEED
    ) -> None:
        self.name, self.description = name, description
        self.megabytes, self.seed = megabytes, seed
        self._file = cache / f"stories-{self.digest()}.jsonl"

    def make(self, progress: Progress) -> None:
        if self._file.exists():
            return
        progress(f"writing {self.name}", 0.0)
        encode = msgspec.json.Encoder().encode
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        total, done, told = self.megabytes * 1e6, 0, 0
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                for story in write_stories(self.megabytes, self.seed):
                    file.write(encode({"text": story.text, "nats": story.nats}) + b"\n")
                    done += len(story.text)
                    if done - told > total / 20:
                        told = done
                        progress(f"writing {self.name}", min(1.0, done / total))
            temporary.replace(self._file)
        except OSError as error:
            raise CorpusError(
                f"cannot be written: {reason(error)}",
                where=str(self._file.parent),
                do="Free some space, or move the cache with GPT_TUI_CACHE",
            ) from None
        finally:
            temporary.unlink(missing_ok=True)

    def _stories(self) -> Iterator[Story]:
        decode_line = msgspec.json.Decoder(dict).decode
        self.make(lambda *_: None)
        try:
            with self._file.open("rb") as file:
                for line in file:
                    yield Story(**decode_line(line))
        except (OSError, msgspec.DecodeError, TypeError):
            raise CorpusError("is damaged", where=str(self._file), do="Delete it; it is made anew") from None

    def documents(self) -> Iterator[str]:
        return (story.text for story in self._stories())

    def nats(self) -> Iterator[float]:
        return (story.nats for story in self._stories())

    def count(self) -> int:
        return sum(1 for _ in self._stories())

    def digest(self) -> str:
        package = resources.files("tui_gpt.corpora")
        code = b"".join((package / file).read_bytes() for file in ("stories.py", "plots.py", "telling.py"))
        return xxhash.xxh3_128_hexdigest(code + f"{self.megabytes} {self.seed}".encode())
