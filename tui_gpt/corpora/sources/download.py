"""Download a file completely and verified, or not at all.

Data is written beside the target and continued with a `Range` request after a stall, a broken connection or a kill, as
long as the server confirms that it is still the same file. Length and SHA-256 are checked before the file is renamed
into place. No redirect leaves https, and a file of unknown size may have a gibibyte. `GPT_TUI_MIRROR`, a URL or a
folder that holds files as `host/path`, replaces every server on machines without a network.
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
from urllib.parse import urljoin, urlsplit

import msgspec

from tui_gpt.corpora.sources.catalogue import RemoteFile
from tui_gpt.corpora.sources.source import Progress
from tui_gpt.errors import CorpusError, reason
from tui_gpt.files import write_atomically

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS, STALL_SECONDS = 15.0, 30.0
ATTEMPTS = 5  # in a row without any progress
BACKOFF_SECONDS = 0.5
BUSY = (408, 425, 429, 500, 502, 503, 504)
CHUNK_BYTES = 1 << 16
MIN_FREE_BYTES = 1 << 26  # left on the disk after a download
MAX_UNSIZED_BYTES = 1 << 30  # of a file whose size neither the catalogue nor the server tells
SHA256 = re.compile(r"[0-9a-f]{64}")


class _PartialInfo(msgspec.Struct):
    """Facts about a partly downloaded file. validator: the server's ETag or Last-Modified, to resume the same file."""

    url: str
    validator: str = ""
    size_bytes: int = 0
    sha256: str = ""


class _Retry(Exception):
    """The connection broke or the server is busy. after: seconds to wait, as the server requested."""

    def __init__(self, what: str, after: float = 0.0) -> None:
        super().__init__(what)
        self.what, self.after = what, after


def download(remote: RemoteFile, target: Path, progress: Progress) -> str:
    """Download `remote` to `target` and return its SHA-256. An existing target is left as it is.

    Raises CorpusError with the URL if the file cannot be downloaded or is not the expected one. A partial download is
    kept for the next attempt, unless it is wrong.
    """
    if target.exists():
        return _sha256(target)
    partial = target.with_name(f"{target.name}.partial")
    folder = _mirror_folder()
    if folder is not None:
        _copy(folder / _url_path(remote.url), partial)
        info = _PartialInfo(remote.url)
    else:
        info = _receive(remote, mirror_url(remote.url), partial, progress)
    digest = _verify(remote, info, partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)
    _info_path(partial).unlink(missing_ok=True)
    return digest


def remote_size(remote: RemoteFile) -> int:
    """Return the size of `remote` from the catalogue or the server, 0 if unknown."""
    folder = _mirror_folder()
    if folder is not None:
        path = folder / _url_path(remote.url)
        return path.stat().st_size if path.is_file() else remote.size_bytes
    if remote.size_bytes:
        return remote.size_bytes
    import requests

    try:
        with encrypted_session(retries=2) as session:
            response = session.head(
                mirror_url(remote.url), allow_redirects=True, timeout=CONNECT_SECONDS, headers=_HEADERS
            )
    except (requests.RequestException, CorpusError):
        return 0  # the download itself will report the error
    length = response.headers.get("Content-Length", "")
    return int(length) if response.ok and length.isdigit() else 0


def encrypted_session(retries: int = 0) -> requests.Session:
    """Return a session in which an https URL is never redirected to an unencrypted one, on no hop.

    Such a redirect raises CorpusError. retries: of a request that a busy server refused.
    """
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter

    class EncryptedSession(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> str | None:
            target = super().get_redirect_target(resp)
            if target is not None and resp.url.startswith("https:"):
                url = urljoin(resp.url, target)
                if not url.startswith("https:"):
                    raise CorpusError("redirects to an unencrypted URL", where=resp.url)
            return target

    session = EncryptedSession()
    if retries:
        busy = urllib3.Retry(
            total=retries,
            connect=0,
            read=False,
            status_forcelist=BUSY,
            backoff_factor=BACKOFF_SECONDS,
            raise_on_status=False,
        )
        session.mount("http://", HTTPAdapter(max_retries=busy))
        session.mount("https://", HTTPAdapter(max_retries=busy))
    return session


def mirror_url(url: str) -> str:
    """Return the URL to request: the mirror's if GPT_TUI_MIRROR is set, else `url`."""
    mirror = os.environ.get("GPT_TUI_MIRROR", "")
    return f"{mirror.rstrip('/')}/{_url_path(url)}" if mirror else url


def _mirror_folder() -> Path | None:
    mirror = os.environ.get("GPT_TUI_MIRROR", "")
    return Path(mirror).expanduser().absolute() if mirror and "://" not in mirror else None


def _url_path(url: str) -> str:
    """Return `host/path` of a URL."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}"


def _copy(path: Path, partial: Path) -> None:
    try:
        shutil.copyfile(path, partial)
    except OSError as error:
        raise CorpusError(
            f"not found on the mirror: {reason(error)}", where=str(path), do="GPT_TUI_MIRROR sets the mirror's folder"
        ) from None


def _info_path(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _receive(remote: RemoteFile, url: str, partial: Path, progress: Progress) -> _PartialInfo:
    """Download into `partial`, with as many requests as it takes."""
    failures = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            return _request(remote, url, partial, progress)
        except _Retry as retry:
            after = partial.stat().st_size if partial.exists() else 0
            failures = 1 if after > before else failures + 1
            if failures >= ATTEMPTS:
                kept = f"; {after:,} bytes are kept for the next attempt" if after else ""
                raise CorpusError(f"{retry.what}, {ATTEMPTS} times{kept}", where=url, do=_NETWORK_HINT) from None
            time.sleep(max(retry.after, BACKOFF_SECONDS * 2**failures))
        except OSError as error:
            raise CorpusError(f"cannot be written: {reason(error)}", where=str(partial)) from None


_NETWORK_HINT = "Check the network, or set GPT_TUI_MIRROR to a URL or folder that has the file"
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "gpt-tui"}


def _request(remote: RemoteFile, url: str, partial: Path, progress: Progress) -> _PartialInfo:
    """Request the missing part of the file. Raises _Retry if the connection breaks."""
    info, offset = _resumable_part(remote, url, partial)
    headers = dict(_HEADERS)
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if info.validator:
            headers["If-Range"] = info.validator
    timeout = CONNECT_SECONDS, STALL_SECONDS
    with (
        _translate_errors(url),
        encrypted_session() as session,
        session.get(url, headers=headers, stream=True, timeout=timeout) as response,
    ):
        _check_response(response, url)
        if response.status_code == 416:
            if response.headers.get("Content-Range", "") == f"bytes */{offset}":
                return info
            partial.unlink()
            raise _Retry("the server does not have the requested range")
        continued = response.status_code == 206
        if continued and not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            partial.unlink()
            raise _Retry("the server sent a different range than requested")
        offset = offset if continued else 0
        info = _response_info(response, url, offset)
        if remote.size_bytes and info.size_bytes and info.size_bytes != remote.size_bytes:
            raise CorpusError(
                f"the file on the server has changed: {info.size_bytes:,} bytes, expected {remote.size_bytes:,}",
                where=url,
            )
        _require_space(partial, info.size_bytes - offset)
        write_atomically(_info_path(partial), msgspec.json.encode(info))
        total = info.size_bytes or remote.size_bytes
        limit = total or MAX_UNSIZED_BYTES
        with partial.open("ab" if continued else "wb") as file:
            while data := response.raw.read1(CHUNK_BYTES):
                file.write(data)
                offset += len(data)
                if offset > limit:
                    _discard(partial)
                    told = f"{total:,} expected" if total else "and the server does not tell its size"
                    raise CorpusError(f"more than {limit:,} bytes, {told}; the download was deleted", where=url)
                progress(f"fetching {remote.name}", min(1.0, offset / total) if total else None)
    if total and offset < total:
        raise _Retry(f"the connection ended after {offset:,} of {total:,} bytes")
    return info


def _resumable_part(remote: RemoteFile, url: str, partial: Path) -> tuple[_PartialInfo, int]:
    """Return what an earlier attempt left and its length in bytes, 0 if it cannot be continued.

    It can be continued if the server's validator or the catalogue's digest will detect a changed file.
    """
    try:
        info = msgspec.json.decode(_info_path(partial).read_bytes(), type=_PartialInfo)
        offset = partial.stat().st_size
    except (OSError, ValueError, RecursionError):
        return _PartialInfo(url), 0
    same = info.url == url and bool(info.validator or remote.sha256)
    return (info, offset) if same else (_PartialInfo(url), 0)


def _check_response(response: requests.Response, url: str) -> None:
    """Raise CorpusError for a permanent error, _Retry for a temporary one."""
    status = response.status_code
    if status in (200, 206, 416):
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise CorpusError("the server compressed the file although it was asked not to", where=url)
        if status != 416 and response.headers.get("Content-Type", "").startswith("text/html"):
            raise CorpusError("got a web page instead of the file; a login or a proxy may be in the way", where=url)
        return
    if status in BUSY or status >= 500:
        raise _Retry(f"the server answered {status} ({response.reason})", _requested_wait(response))
    messages = {401: "login required", 403: "access denied", 404: "not found", 410: "no longer available"}
    message = messages.get(status, "download failed")
    raise CorpusError(f"{message} ({status} {response.reason})", where=url, do=_NETWORK_HINT)


def _requested_wait(response: requests.Response) -> float:
    """Return how many seconds the server asks to wait, at most a minute; 0 if it asks for nothing that can be read."""
    import urllib3

    try:
        return min(60.0, urllib3.Retry().get_retry_after(response.raw) or 0.0)
    except urllib3.exceptions.InvalidHeader:
        return 0.0


def _response_info(response: requests.Response, url: str, offset: int) -> _PartialInfo:
    """Return the server's facts about the file. The hub sends its SHA-256 in a redirect, as X-Linked-ETag."""
    etag = response.headers.get("ETag", "")
    length = response.headers.get("Content-Length", "")
    linked = [step.headers.get("X-Linked-ETag", "").strip('"') for step in (*response.history, response)]
    return _PartialInfo(
        url,
        etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", ""),
        offset + int(length) if length.isdigit() else 0,
        next((digest for digest in linked if SHA256.fullmatch(digest)), ""),
    )


def _require_space(partial: Path, needed: int) -> None:
    free = shutil.disk_usage(partial.parent).free
    if free < needed + MIN_FREE_BYTES:
        raise CorpusError(
            f"not enough disk space: {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free",
            where=str(partial.parent),
            do="Free some space, or move the cache with GPT_TUI_CACHE",
        )


@contextmanager
def _translate_errors(url: str) -> Iterator[None]:
    """Raise CorpusError or _Retry for the exceptions of `requests` and `urllib3`."""
    import requests
    import urllib3

    try:
        yield
    except requests.TooManyRedirects:
        raise CorpusError("too many redirects", where=url) from None
    except requests.exceptions.SSLError as error:
        raise CorpusError(f"untrusted certificate: {error.args[0]}", where=url) from None
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        raise _Retry(f"no data from the server for {STALL_SECONDS:g} seconds") from None
    except (requests.ConnectionError, urllib3.exceptions.HTTPError) as error:
        broken = isinstance(error, urllib3.exceptions.ProtocolError)
        raise _Retry("the connection was lost" if broken else "cannot connect to the server") from None
    except requests.RequestException as error:
        raise CorpusError(f"request failed: {error}", where=url) from None


def _verify(remote: RemoteFile, info: _PartialInfo, partial: Path) -> str:
    """Return the SHA-256 of a finished download. Raises CorpusError and deletes the file if it is not the right one."""
    size, digest = partial.stat().st_size, _sha256(partial)
    expected = remote.sha256 or info.sha256
    problem = ""
    if expected and digest != expected:
        problem = f"wrong SHA-256: {digest[:16]}…, expected {expected[:16]}…"
    elif remote.size_bytes and size != remote.size_bytes:
        problem = f"wrong size: {size:,} bytes, expected {remote.size_bytes:,}"
    elif not size:
        problem = "empty file"
    if problem:
        _discard(partial)
        raise CorpusError(f"{problem}; the download was deleted", where=remote.url, do="Try again, or another source")
    return digest


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _info_path(partial).unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
