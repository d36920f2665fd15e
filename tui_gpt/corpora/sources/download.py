"""A file from the network to the disk: whole, checked, or not there at all.

What arrived is kept beside its place and continued by `Range` after a stall, a cut or a kill, as long as the server
vouches that it is still the same file; its length and SHA-256 are checked before it is renamed into place. `requests`
does HTTP. `GPT_TUI_MIRROR`, an address or a folder under which `host/path` lies, stands in for every server on
machines without a network.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from tui_gpt.corpora.sources.catalogue import RemoteFile
from tui_gpt.corpora.sources.source import Progress
from tui_gpt.errors import CorpusError, reason

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS, STALL_SECONDS = 15.0, 30.0
ATTEMPTS = 5  # without a byte of progress
BACKOFF_SECONDS = 0.5
CHUNK_BYTES = 1 << 16
SPARE_BYTES = 1 << 26
SHA256 = re.compile(r"[0-9a-f]{64}")


class _Begun(msgspec.Struct):
    """What is known of a file that has partly arrived. `validator`: the server's, by which it knows the same file."""

    url: str
    validator: str = ""
    size_bytes: int = 0
    sha256: str = ""


class _Again(Exception):
    """The connection broke or the server is busy: worth another try. `after`: seconds that the server asks for."""

    def __init__(self, what: str, after: float = 0.0) -> None:
        super().__init__(what)
        self.what, self.after = what, after


def download(remote: RemoteFile, target: Path, progress: Progress) -> str:
    """Bring `remote` to `target` and return its SHA-256. What is there already is taken as it is.

    Raises CorpusError naming the address for what cannot be had or is not what it should be; what arrived until then
    is kept for the next try, unless it is wrong.
    """
    if target.exists():
        return _sha256(target)
    partial = target.with_name(f"{target.name}.partial")
    folder = _mirror_folder()
    if folder is not None:
        _copy(folder / _below(remote.url), partial)
        begun = _Begun(remote.url)
    else:
        begun = _receive(remote, mirrored(remote.url), partial, progress)
    found = _check(remote, begun, partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)
    _notes(partial).unlink(missing_ok=True)
    return found


def remote_size(remote: RemoteFile) -> int:
    """How large `remote` is, by the registry or by asking; 0 when nobody says."""
    folder = _mirror_folder()
    if folder is not None:
        path = folder / _below(remote.url)
        return path.stat().st_size if path.is_file() else remote.size_bytes
    if remote.size_bytes:
        return remote.size_bytes
    import requests

    try:
        answer = requests.head(mirrored(remote.url), allow_redirects=True, timeout=CONNECT_SECONDS, headers=_HEADERS)
    except requests.RequestException:
        return 0  # the download itself will say why
    return int(answer.headers.get("Content-Length") or 0) if answer.ok else 0


def mirrored(url: str) -> str:
    """The address to ask: the mirror's, where one is set."""
    mirror = os.environ.get("GPT_TUI_MIRROR", "")
    return f"{mirror.rstrip('/')}/{_below(url)}" if mirror else url


def _mirror_folder() -> Path | None:
    mirror = os.environ.get("GPT_TUI_MIRROR", "")
    return Path(mirror).expanduser().absolute() if mirror and "://" not in mirror else None


def _below(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}"


def _copy(path: Path, partial: Path) -> None:
    try:
        shutil.copyfile(path, partial)
    except OSError as error:
        raise CorpusError(
            f"the mirror does not have it: {reason(error)}", where=str(path), do="GPT_TUI_MIRROR says where it looks"
        ) from None


def _notes(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _receive(remote: RemoteFile, url: str, partial: Path, progress: Progress) -> _Begun:
    """Get all of it into `partial`, in as many requests as it takes."""
    failures = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            return _request(remote, url, partial, progress)
        except _Again as again:
            after = partial.stat().st_size if partial.exists() else 0
            failures = 1 if after > before else failures + 1
            if failures >= ATTEMPTS:
                kept = f"; {after:,} bytes are kept for the next try" if after else ""
                raise CorpusError(f"{again.what}, {ATTEMPTS} times{kept}", where=url, do=_ELSEWHERE) from None
            time.sleep(max(again.after, BACKOFF_SECONDS * 2**failures))
        except OSError as error:
            raise CorpusError(f"cannot be written: {reason(error)}", where=str(partial)) from None


_ELSEWHERE = "Check the network, or set GPT_TUI_MIRROR to an address or folder that has it"
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "gpt-tui"}


def _request(remote: RemoteFile, url: str, partial: Path, progress: Progress) -> _Begun:
    """One request for what is missing. Raises _Again when it broke off."""
    import requests

    begun, offset = _left_over(remote, url, partial)
    headers = dict(_HEADERS)
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if begun.validator:
            headers["If-Range"] = begun.validator
    patience = CONNECT_SECONDS, STALL_SECONDS
    with _translated(url), requests.get(url, headers=headers, stream=True, timeout=patience) as answer:
        _refuse(answer, url)
        if answer.status_code == 416:
            if answer.headers.get("Content-Range", "") == f"bytes */{offset}":
                return begun
            partial.unlink()
            raise _Again("the server has no such part of it")
        continued = answer.status_code == 206
        if continued and not answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            partial.unlink()
            raise _Again("the server sent another part than was asked for")
        offset = offset if continued else 0
        begun = _about(answer, url, offset)
        if remote.size_bytes and begun.size_bytes and begun.size_bytes != remote.size_bytes:
            raise CorpusError(
                f"is {begun.size_bytes:,} bytes at the server, not {remote.size_bytes:,}: it is another file",
                where=url,
            )
        _require_space(partial, begun.size_bytes - offset)
        _notes(partial).write_bytes(msgspec.json.encode(begun))
        total = begun.size_bytes or remote.size_bytes
        with partial.open("ab" if continued else "wb") as file:
            while data := answer.raw.read1(CHUNK_BYTES):
                file.write(data)
                offset += len(data)
                progress(f"fetching {remote.name}", min(1.0, offset / total) if total else None)
    if total and offset < total:
        raise _Again(f"the connection ended after {offset:,} of {total:,} bytes")
    return begun


def _left_over(remote: RemoteFile, url: str, partial: Path) -> tuple[_Begun, int]:
    """What an earlier try left, if it can be gone on with: the server, or the registry, must know it is the same."""
    try:
        begun = msgspec.json.decode(_notes(partial).read_bytes(), type=_Begun)
        offset = partial.stat().st_size
    except (OSError, msgspec.DecodeError):
        return _Begun(url), 0
    same = begun.url == url and bool(begun.validator or remote.sha256)
    return (begun, offset) if same else (_Begun(url), 0)


def _refuse(answer: requests.Response, url: str) -> None:
    """Raises CorpusError for an answer that is not the file and never will be, _Again for one that may be later."""
    status = answer.status_code
    if status in (200, 206, 416):
        if url.startswith("https:") and not answer.url.startswith("https:"):
            raise CorpusError("leads to an address that is not encrypted", where=url)
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise CorpusError("is sent packed although it was asked for as it is", where=url)
        if status != 416 and answer.headers.get("Content-Type", "").startswith("text/html"):
            raise CorpusError("is a web page, not the file: a login or a proxy may be in between", where=url)
        return
    if status in (408, 425, 429) or status >= 500:
        wait = answer.headers.get("Retry-After", "")
        raise _Again(f"the server answered {status} ({answer.reason})", min(60.0, float(wait)) if wait.isdigit() else 0)
    known = {401: "needs a login", 403: "is not given out", 404: "is not there", 410: "is no longer there"}
    raise CorpusError(f"{known.get(status, 'cannot be had')} ({status} {answer.reason})", where=url, do=_ELSEWHERE)


def _about(answer: requests.Response, url: str, offset: int) -> _Begun:
    """What the server says of the file; the hub tells its SHA-256 on the way to where it is stored."""
    etag = answer.headers.get("ETag", "")
    length = answer.headers.get("Content-Length", "")
    linked = [step.headers.get("X-Linked-ETag", "").strip('"') for step in (*answer.history, answer)]
    return _Begun(
        url,
        etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", ""),
        offset + int(length) if length.isdigit() else 0,
        next((digest for digest in linked if SHA256.fullmatch(digest)), ""),
    )


def _require_space(partial: Path, needed: int) -> None:
    free = shutil.disk_usage(partial.parent).free
    if free < needed + SPARE_BYTES:
        raise CorpusError(
            f"{needed / 1e9:.1f} GB are still to come and {free / 1e9:.1f} GB are free",
            where=str(partial.parent),
            do="Free some space, or move the cache with GPT_TUI_CACHE",
        )


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """What `requests` and `urllib3` raise, as what it means here."""
    import requests
    import urllib3

    try:
        yield
    except requests.TooManyRedirects:
        raise CorpusError("leads in a circle", where=url) from None
    except requests.exceptions.SSLError as error:
        raise CorpusError(f"its certificate is not trusted: {error.args[0]}", where=url) from None
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        raise _Again(f"the server said nothing for {STALL_SECONDS:g} seconds") from None
    except (requests.ConnectionError, urllib3.exceptions.HTTPError) as error:
        cut = isinstance(error, urllib3.exceptions.ProtocolError)
        raise _Again("the connection broke off" if cut else "the server cannot be reached") from None
    except requests.RequestException as error:
        raise CorpusError(f"cannot be asked for: {error}", where=url) from None


def _check(remote: RemoteFile, begun: _Begun, partial: Path) -> str:
    """The SHA-256 of what arrived. Raises CorpusError, and removes it, where it is not the file that was meant."""
    size, found = partial.stat().st_size, _sha256(partial)
    wanted = remote.sha256 or begun.sha256
    problem = ""
    if wanted and found != wanted:
        problem = f"arrived with the SHA-256 {found[:16]}…, not {wanted[:16]}…"
    elif remote.size_bytes and size != remote.size_bytes:
        problem = f"arrived with {size:,} bytes, not {remote.size_bytes:,}"
    elif not size:
        problem = "is empty"
    if problem:
        partial.unlink()
        _notes(partial).unlink(missing_ok=True)
        raise CorpusError(f"{problem}: it was thrown away", where=remote.url, do="Try again, or another source")
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
