"""Downloads from a local server that fails in every way a network does."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import urllib3

from tui_gpt.corpora.sources import download as module
from tui_gpt.corpora.sources.catalogue import RemoteFile
from tui_gpt.corpora.sources.download import download, remote_size
from tui_gpt.errors import CorpusError

TEXT = b"".join(b"line %d of what is fetched\n" % n for n in range(20_000))
SHA256 = hashlib.sha256(TEXT).hexdigest()
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers request n by the server's n-th behaviour, the last one from then on."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append({**self.headers, "path": self.path})
        answers = self.server.answers
        answers[min(len(self.server.asked), len(answers)) - 1](self)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass

    @property
    def offset(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))

    def head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def part(self, end: int | None = None, **headers: str) -> None:
        """The rest from where it was asked for, up to `end`, and then the end of the connection."""
        offset = self.offset
        status = 206 if "Range" in self.headers else 200
        if status == 206:
            headers["Content_Range"] = f"bytes {offset}-{len(TEXT) - 1}/{len(TEXT)}"
        self.head(status, len(TEXT) - offset, **{"ETag": '"one"'} | headers)
        self.wfile.write(TEXT[offset:end])
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, str]] = []
        self.answers: list[Answer] = [Handler.part]
        self.url = f"http://127.0.0.1:{self.server_port}/text.txt"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("GPT_TUI_MIRROR", raising=False)
    monkeypatch.setattr(module, "BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr(module, "STALL_SECONDS", 0.3)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def get(server: Server, folder: Path, *, size: int = len(TEXT), sha256: str = SHA256) -> Path:
    target = folder / "text.txt"
    download(RemoteFile(server.url, "text.txt", size, sha256), target, lambda *_: None)
    return target


def error_of(server: Server, folder: Path, **expected: object) -> str:
    with pytest.raises(CorpusError) as caught:
        get(server, folder, **expected)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value) and not (folder / "text.txt").exists()
    return str(caught.value)


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_file_is_downloaded_with_progress_and_no_leftovers(server: Server, tmp_path: Path) -> None:
    seen: list[float | None] = []
    remote = RemoteFile(server.url, "text.txt", len(TEXT), SHA256)
    assert download(remote, tmp_path / "text.txt", lambda _, fraction: seen.append(fraction)) == SHA256
    assert (tmp_path / "text.txt").read_bytes() == TEXT and left(tmp_path) == {"text.txt"}
    assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) > 5


def test_existing_file_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(TEXT)
    get(server, tmp_path)
    assert server.asked == []


def test_broken_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.answers = [lambda it: it.part(200_000), lambda it: it.part(400_000), Handler.part]
    assert get(server, tmp_path).read_bytes() == TEXT
    first, second, third = (asked.get("Range") for asked in server.asked)
    assert first is None and second == "bytes=200000-" and third == "bytes=400000-"
    assert server.asked[1]["If-Range"] == '"one"'


def test_stalled_connection_times_out_and_is_resumed(server: Server, tmp_path: Path) -> None:
    def stall(it: Handler) -> None:
        it.part(150_000)
        it.wfile.flush()
        time.sleep(0.6)

    server.answers = [stall, Handler.part]
    assert get(server, tmp_path).read_bytes() == TEXT
    assert server.asked[1]["Range"] == "bytes=150000-"


def test_unresponsive_server_is_named_and_the_partial_file_kept(server: Server, tmp_path: Path) -> None:
    server.answers = [lambda it: it.part(100_000), lambda it: time.sleep(0.6)]
    message = error_of(server, tmp_path)
    assert (
        "no data from the server for 0.3 seconds" in message
        and "100,000 bytes are kept" in message
        and server.url in message
    )
    server.answers = [Handler.part]
    assert get(server, tmp_path).read_bytes() == TEXT
    assert server.asked[-1]["Range"] == "bytes=100000-"


def test_cancelled_download_is_resumed(server: Server, tmp_path: Path) -> None:
    def cancel(phase: str, fraction: float | None) -> None:
        if fraction and fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(RemoteFile(server.url, "text.txt", len(TEXT), SHA256), tmp_path / "text.txt", cancel)
    assert not (tmp_path / "text.txt").exists()
    assert get(server, tmp_path).read_bytes() == TEXT
    assert int(server.asked[-1]["Range"].removeprefix("bytes=").rstrip("-")) > len(TEXT) / 3


def test_server_without_range_support_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    def whole(it: Handler) -> None:
        it.head(200, len(TEXT))
        it.wfile.write(TEXT)

    server.answers = [lambda it: it.part(200_000), whole]
    assert get(server, tmp_path).read_bytes() == TEXT


def test_changed_file_is_not_mixed_with_the_old_one(server: Server, tmp_path: Path) -> None:
    other = TEXT.upper()

    def changed(it: Handler) -> None:  # a server that honours If-Range
        assert it.headers.get("If-Range") == '"one"'
        it.head(200, len(other), ETag='"two"')
        it.wfile.write(other)

    server.answers = [lambda it: it.part(200_000), changed]
    assert get(server, tmp_path, sha256="").read_bytes() == other


def test_download_without_validator_or_digest_is_not_resumed(server: Server, tmp_path: Path) -> None:
    server.answers = [lambda it: it.part(200_000, ETag='W/"weak"'), Handler.part]
    assert get(server, tmp_path, sha256="").read_bytes() == TEXT
    assert all("Range" not in asked for asked in server.asked)


def test_wrong_range_is_discarded(server: Server, tmp_path: Path) -> None:
    def wrong(it: Handler) -> None:
        it.head(206, 10, Content_Range=f"bytes 0-9/{len(TEXT)}")
        it.wfile.write(TEXT[:10])

    server.answers = [lambda it: it.part(200_000), wrong, Handler.part]
    assert get(server, tmp_path).read_bytes() == TEXT


def test_range_beyond_the_end_is_complete_or_restarted(server: Server, tmp_path: Path) -> None:
    def beyond(it: Handler) -> None:
        it.head(416, 0, Content_Range=f"bytes */{len(TEXT)}")

    server.answers = [Handler.part]
    get(server, tmp_path).rename(tmp_path / "text.txt.partial")
    (tmp_path / "text.txt.partial.json").write_text(f'{{"url": "{server.url}", "validator": "\\"one\\""}}')
    server.answers = [beyond]
    assert get(server, tmp_path).read_bytes() == TEXT and server.asked[-1]["Range"] == f"bytes={len(TEXT)}-"

    (tmp_path / "text.txt").rename(tmp_path / "text.txt.partial")
    with (tmp_path / "text.txt.partial").open("ab") as file:
        file.write(b"too much")
    (tmp_path / "text.txt.partial.json").write_text(f'{{"url": "{server.url}", "validator": "\\"one\\""}}')
    server.asked.clear()
    server.answers = [beyond, Handler.part]
    assert get(server, tmp_path).read_bytes() == TEXT


def test_wrong_length_is_detected(server: Server, tmp_path: Path) -> None:
    def too_long(it: Handler) -> None:
        it.head(200, len(TEXT) + 1000)
        it.wfile.write(TEXT)
        it.close_connection = True

    def too_short(it: Handler) -> None:
        it.head(200, 1000)
        it.wfile.write(TEXT)
        it.close_connection = True

    server.answers = [too_long]
    assert "the file on the server has changed" in error_of(server, tmp_path)
    assert "connection" in error_of(server, tmp_path, size=0, sha256="")
    server.answers = [too_short]
    assert "1,000 bytes, expected 588,890" in error_of(server, tmp_path)
    assert "SHA-256" in error_of(server, tmp_path, size=0)


def test_wrong_checksum_is_rejected_and_deleted(server: Server, tmp_path: Path) -> None:
    message = error_of(server, tmp_path, sha256="0" * 64)
    assert f"SHA-256: {SHA256[:16]}…, expected 0000000000000000…" in message and left(tmp_path) == set()


def test_checksum_sent_by_the_hub_is_verified(server: Server, tmp_path: Path) -> None:
    def lead(it: Handler) -> None:
        it.head(302, 0, Location="/stored", X_Linked_ETag=f'"{"0" * 64}"')

    server.answers = [lead, Handler.part]
    assert "expected 0000000000000000…" in error_of(server, tmp_path, sha256="")


def test_redirect_is_followed_but_not_a_loop(server: Server, tmp_path: Path) -> None:
    def circle(it: Handler) -> None:
        it.head(302, 0, Location="/text.txt")

    server.answers = [circle]
    assert "too many redirects" in error_of(server, tmp_path)
    server.asked.clear()
    server.answers = [lambda it: it.head(301, 0, Location="/elsewhere"), Handler.part]
    assert get(server, tmp_path).read_bytes() == TEXT and server.asked[-1]["path"] == "/elsewhere"


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://a.org/x", "http://b.org/y", None),
        ("https://a.org/x", "HTTP://b.org/y", None),
        ("https://a.org/x", "ftp://b.org/y", None),
        ("https://a.org/x", "/y", "/y"),
        ("https://a.org/x", "//b.org/y", "//b.org/y"),
        ("https://a.org/x", "https://b.org/y", "https://b.org/y"),
        ("http://localhost/x", "http://localhost/y", "http://localhost/y"),
    ],
)
def test_no_hop_leaves_https(url: str, location: str, target: str | None) -> None:
    """Only the last address was looked at, so a hop in between could be unencrypted."""
    response = requests.Response()
    response.status_code, response.url = 302, url
    response.headers["Location"] = location
    session = module.encrypted_session()
    if target is not None:
        assert session.get_redirect_target(response) == target
        return
    with pytest.raises(CorpusError, match="unencrypted"):
        session.get_redirect_target(response)


def test_a_file_of_unknown_size_is_not_received_without_end(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(it: Handler) -> None:
        it.send_response(200)
        it.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(10_000):
                it.wfile.write(TEXT)
        it.close_connection = True

    monkeypatch.setattr(module, "MAX_UNSIZED_BYTES", 1 << 20)
    server.answers = [endless]
    assert "more than 1,048,576 bytes, and the server does not tell its size" in error_of(
        server, tmp_path, size=0, sha256=""
    )
    assert "more than 1,000 bytes, 1,000 expected" in error_of(server, tmp_path, size=1000, sha256="")
    assert not list(tmp_path.iterdir()) and len(server.asked) == 2


@pytest.mark.parametrize(("status", "message"), [(404, "not found (404"), (401, "login"), (403, "access denied")])
def test_permanent_errors_are_not_retried(server: Server, tmp_path: Path, status: int, message: str) -> None:
    server.answers = [lambda it: it.head(status, 0)]
    assert message in error_of(server, tmp_path) and len(server.asked) == 1


def test_busy_server_is_retried_then_reported(server: Server, tmp_path: Path) -> None:
    server.answers = [lambda it: it.head(503, 0), lambda it: it.head(500, 0), Handler.part]
    assert get(server, tmp_path).read_bytes() == TEXT
    (tmp_path / "text.txt").unlink()
    server.asked.clear()
    server.answers = [lambda it: it.head(500, 0)]
    assert "answered 500" in error_of(server, tmp_path) and len(server.asked) == module.ATTEMPTS


def test_login_page_is_not_accepted_as_the_file(server: Server, tmp_path: Path) -> None:
    def page(it: Handler) -> None:
        it.head(200, 5, Content_Type="text/html; charset=utf-8")
        it.wfile.write(b"login")

    server.answers = [page]
    assert "got a web page" in error_of(server, tmp_path, size=0, sha256="")


def test_full_disk_is_reported_before_writing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_FREE_BYTES", 1 << 62)
    assert "GB free" in error_of(server, tmp_path) and left(tmp_path) == set()


def test_unknown_size_is_requested_from_the_server(server: Server) -> None:
    server.answers = [lambda it: it.head(200, 12_345)]
    assert remote_size(RemoteFile(server.url, "x")) == 12_345
    server.answers = [lambda it: it.head(404, 0)]
    assert remote_size(RemoteFile(server.url, "x")) == 0
    assert remote_size(RemoteFile(server.url, "x", 7)) == 7 and len(server.asked) == 2


def test_mirror_replaces_every_server(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = RemoteFile("https://example.org/a/text.txt", "text.txt", len(TEXT), SHA256)
    monkeypatch.setenv("GPT_TUI_MIRROR", server.url.replace("/text.txt", "/mirror/"))
    download(remote, tmp_path / "one.txt", lambda *_: None)
    assert server.asked[0]["path"] == "/mirror/example.org/a/text.txt"

    folder = tmp_path / "stick"
    (folder / "example.org" / "a").mkdir(parents=True)
    (folder / "example.org" / "a" / "text.txt").write_bytes(TEXT)
    monkeypatch.setenv("GPT_TUI_MIRROR", str(folder))
    assert remote_size(remote) == len(TEXT)
    download(remote, tmp_path / "two.txt", lambda *_: None)
    assert (tmp_path / "two.txt").read_bytes() == TEXT
    (folder / "example.org" / "a" / "text.txt").write_bytes(TEXT[:-1])
    with pytest.raises(CorpusError, match="SHA-256"):
        download(remote, tmp_path / "three.txt", lambda *_: None)
    with pytest.raises(CorpusError, match="not found on the mirror"):
        download(RemoteFile("https://example.org/b", "b"), tmp_path / "b", lambda *_: None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("9999", 60.0), ("soon", 0.0), ("", 0.0), ("Wed, 21 Oct 2099 07:28:00 GMT", 60.0)],
)
def test_the_wait_that_a_server_asks_for_is_bounded(header: str, seconds: float) -> None:
    response = requests.Response()
    response.raw = urllib3.HTTPResponse(headers={"Retry-After": header} if header else {})
    assert module._requested_wait(response) == seconds


def test_a_busy_server_is_asked_again_for_the_size(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", 0.0)
    server.answers = [lambda it: it.head(503, 0), lambda it: it.head(200, 123)]
    assert remote_size(RemoteFile(server.url, "text.txt", 0, "")) == 123
    server.asked.clear()
    server.answers = [lambda it: it.head(503, 0)]
    assert remote_size(RemoteFile(server.url, "text.txt", 0, "")) == 0 and len(server.asked) == 3
