"""Fetching corpora by name: planning, resuming, and finding them again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tui_gpt.corpora import find_corpus, list_corpora, provenance
from tui_gpt.corpora.sources import fetching
from tui_gpt.corpora.sources.catalogue import CATALOGUE, PATTERNS, catalogue_entry
from tui_gpt.corpora.sources.fetching import fetch, plan_fetch
from tui_gpt.corpora.sources.registry import fetched_folder
from tui_gpt.errors import CorpusError

BOOKS = {"1342": "It is a truth universally acknowledged", "84": "You will rejoice to hear"}


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus folder, with a mirror that has two books."""
    for id, text in BOOKS.items():
        book = tmp_path / "mirror" / "www.gutenberg.org" / "cache" / "epub" / id / f"pg{id}.txt"
        book.parent.mkdir(parents=True)
        book.write_text(text)
    monkeypatch.setenv("GPT_TUI_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.delenv("GPT_TUI_CACHE", raising=False)
    return tmp_path / "corpus"


def nothing(phase: str, fraction: float | None) -> None: ...


def error_of(call, *args) -> str:
    with pytest.raises(CorpusError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_gutenberg_books_are_fetched_listed_and_found(corpus: Path) -> None:
    name = "gutenberg:1342,84"
    assert "gpt-tui corpus fetch gutenberg:1342,84" in error_of(find_corpus, name, corpus)
    plan = plan_fetch(name)
    assert plan.size_bytes == sum(map(len, BOOKS.values())) and "Gutenberg" in plan.licence
    fetch(plan, corpus, nothing)
    source = find_corpus(name, corpus)
    assert list(source.documents()) == list(BOOKS.values()) and source.name == name
    entry = next(entry for entry in list_corpora(corpus) if entry.name == name)
    assert entry.kind == "fetched" and entry.size_bytes == plan.size_bytes and entry.source.endswith("/1342")
    assert {path.name for path in (corpus / ".cache" / "fetched").iterdir()} == {
        "gutenberg-1342-84",
        "gutenberg-1342-84.lock",
    }


def test_fetched_corpus_is_reused_unless_damaged(corpus: Path, tmp_path: Path) -> None:
    folder = fetch(plan_fetch("gutenberg:84"), corpus, nothing)
    (tmp_path / "mirror").rename(tmp_path / "gone")
    assert fetch(plan_fetch("gutenberg:84"), corpus, nothing) == folder
    (folder / "pg84.txt").write_text("cut")
    assert "not found on the mirror" in error_of(fetch, plan_fetch("gutenberg:84"), corpus, nothing)
    (tmp_path / "gone").rename(tmp_path / "mirror")
    fetch(plan_fetch("gutenberg:84"), corpus, nothing)
    assert (folder / "pg84.txt").read_text() == BOOKS["84"]


def test_failed_fetch_leaves_no_corpus(corpus: Path) -> None:
    error_of(fetch, plan_fetch("gutenberg:84,99999"), corpus, nothing)
    assert "not been fetched yet" in error_of(find_corpus, "gutenberg:84,99999", corpus)
    assert all(entry.kind != "fetched" for entry in list_corpora(corpus))


def test_killed_fetch_is_resumed(corpus: Path, tmp_path: Path) -> None:
    """kill -9 when the first of two files is there."""
    code = (
        "import sys, time; from pathlib import Path; from tui_gpt.corpora.sources import fetching as f;"
        "real = f.download\n"
        "def slow(remote, target, progress):\n"
        "    found = real(remote, target, progress); print('one', flush=True); time.sleep(60)\n"
        "    return found\n"
        "f.download = slow; f.fetch(f.plan_fetch('gutenberg:1342,84'), Path(sys.argv[1]), lambda *_: None)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(corpus)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "one\n"
        child.send_signal(signal.SIGKILL)
    assert "not been fetched yet" in error_of(find_corpus, "gutenberg:1342,84", corpus)
    partial = fetched_folder("gutenberg:1342,84", corpus).with_name("gutenberg-1342-84.partial")
    first = (partial / "pg1342.txt").stat()
    (tmp_path / "mirror" / "www.gutenberg.org" / "cache" / "epub" / "1342" / "pg1342.txt").unlink()
    folder = fetch(plan_fetch("gutenberg:1342,84"), corpus, nothing)
    assert (folder / "pg1342.txt").stat().st_ino == first.st_ino and not partial.exists()


def test_concurrent_fetches_of_one_corpus_wait_for_each_other(corpus: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tui_gpt.corpora.sources import fetching as f;"
        "real = f._fetch\n"
        "def slow(*args):\n"
        "    print('in', flush=True); sys.stdin.readline(); real(*args)\n"
        "f._fetch = slow; f.fetch(f.plan_fetch('gutenberg:84'), Path(sys.argv[1]), lambda *_: None)"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, str(corpus)], stdin=pipe, stdout=pipe, text=True) as child:
        assert child.stdin is not None and child.stdout is not None and child.stdout.readline() == "in\n"
        messages: list[str] = []

        def tell(phase: str, fraction: float | None) -> None:
            if not messages:
                child.stdin.write("\n")  # type: ignore[union-attr]
                child.stdin.flush()  # type: ignore[union-attr]
            messages.append(phase)

        folder = fetch(plan_fetch("gutenberg:84"), corpus, tell)
    assert messages[0] == "waiting for another process fetching this corpus"
    assert (folder / "pg84.txt").read_text() == BOOKS["84"]


def test_fetching_more_megabytes_keeps_the_files_already_fetched(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [("a.txt", "a" * 1000, ""), ("b.txt", "b" * 1000, ""), ("c.txt", "c" * 1000, "")]
    (tmp_path / "mirror" / "example.org").mkdir()
    for name, text, _ in files:
        (tmp_path / "mirror" / "example.org" / name).write_text(text)
    remotes = tuple(fetching.RemoteFile(f"https://example.org/{name}", name) for name, *_ in files)
    about = fetching.CatalogueEntry(description="", good_for="", licence="", source="", remotes=remotes)
    monkeypatch.setitem(CATALOGUE, "letters", about)
    assert [remote.name for remote in plan_fetch("letters").remotes] == ["a.txt"]
    fetch(plan_fetch("letters"), corpus, nothing)
    (tmp_path / "mirror" / "example.org" / "a.txt").write_text("A" * 1000)
    assert find_corpus("letters", corpus).count() == 1
    fetch(plan_fetch("letters", 0.002), corpus, nothing)
    assert [document[0] for document in find_corpus("letters", corpus).documents()] == ["a", "b"]


class FakeDatasets(types.ModuleType):
    """Stands in for the datasets library, which no test may ask for a network."""

    def __init__(self, rows: list[dict]) -> None:
        super().__init__("datasets")
        self.rows = rows

    def load_dataset(self, repository: str, config: str | None, **options: object) -> list[dict]:
        self.asked, self.options = (repository, config), options
        if repository == "no/such":
            raise ConnectionError("Couldn't reach 'no/such' on the Hub\nmore")
        return self.rows


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Stands in for huggingface_hub: every dataset is at one commit, with an open licence."""

    class HfApi:
        def dataset_info(self, repository: str, timeout: float) -> types.SimpleNamespace:
            return types.SimpleNamespace(sha=f"{7:040}", card_data=types.SimpleNamespace(license=["cc0-1.0", "mit"]))

    module = types.ModuleType("huggingface_hub")
    module.HfApi = HfApi
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return module


def test_a_hub_dataset_is_pinned_to_a_commit_and_runs_no_code(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, hub: types.ModuleType
) -> None:
    datasets = FakeDatasets([{"text": "some text " * 100}] * 3)
    monkeypatch.setitem(sys.modules, "datasets", datasets)
    plan = plan_fetch("hf:owner/name")
    assert plan.revision == f"{7:040}" and plan.licence == "cc0-1.0, mit"
    fetch(plan, corpus, nothing)
    expected = {"split": "train", "streaming": True, "revision": plan.revision, "trust_remote_code": False}
    assert datasets.options == expected
    (origin,) = provenance("hf:owner/name", corpus)
    assert origin.licence == "cc0-1.0, mit" and origin.source.endswith(f"/owner/name/tree/{plan.revision}")


def test_a_hub_that_cannot_be_reached_is_an_error_in_one_line(hub: types.ModuleType) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("404 Client Error.\nRepository not found")

    hub.HfApi.dataset_info = refuse
    assert "cannot read from the hub: 404 Client Error." in error_of(plan_fetch, "hf:owner/name")


def test_hub_dataset_is_streamed_up_to_the_requested_size(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, hub: types.ModuleType
) -> None:
    datasets = FakeDatasets([{"id": n, "content": f"text {n} " * 100} for n in range(1000)] + [{"content": None}])
    monkeypatch.setitem(sys.modules, "datasets", datasets)
    fetch(plan_fetch("hf:owner/name:some-config", 0.01), corpus, nothing)
    assert datasets.asked == ("owner/name", "some-config")
    source = find_corpus("hf:owner/name:some-config", corpus)
    assert 10 < source.count() < 20 and next(iter(source.documents())).startswith("text 0 ")
    fetch(plan_fetch("hf:owner/name::content"), corpus, nothing)
    assert datasets.asked[1] is None and find_corpus("hf:owner/name::content", corpus).count() == 1000
    message = error_of(fetch, plan_fetch("hf:owner/name::title"), corpus, nothing)
    assert "no column 'title'. Columns: id, content" in message and "owner/name" in message
    assert "Couldn't reach" in error_of(fetch, plan_fetch("hf:no/such"), corpus, nothing)


def test_missing_datasets_library_is_reported_with_install_command(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, hub: types.ModuleType
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "pip install 'gpt-tui[hub]'" in error_of(fetch, plan_fetch("hf:owner/name"), corpus, nothing)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install 'gpt-tui[hub]'" in error_of(plan_fetch, "hf:owner/name")


def test_missing_pyarrow_is_reported_before_fetching_parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'gpt-tui[parquet]'" in error_of(plan_fetch, "fineweb-edu")


@pytest.mark.parametrize(
    "name", ["stories", "stories:4", "tiny", "nothing", "../../x", "", "gutenberg:", "gutenberg:x"]
)
def test_unfetchable_name_is_a_one_line_error(name: str) -> None:
    error_of(plan_fetch, name)


@pytest.mark.parametrize("name", ["hf:../../x", "hf:a", "hf:a/b/c", "gutenberg:1,../2", "hf:a/b:c:d:e", "hf:a/.."])
def test_malformed_name_is_rejected_with_the_pattern(name: str) -> None:
    assert any(pattern in error_of(catalogue_entry, name) for pattern in PATTERNS)


def test_every_catalogue_entry_is_described_and_its_files_pinned_or_verified() -> None:
    for name, about in CATALOGUE.items():
        assert about.description and about.good_for and about.licence and about.source, name
        for remote in about.remotes:
            assert remote.url.startswith("https://")
            assert remote.sha256 or ("/resolve/" in remote.url and "/main/" not in remote.url), remote.url
        assert len({remote.name for remote in about.remotes}) == len(about.remotes)
        assert (about.kind == "bundled") == (not about.remotes)


def test_command_prints_licence_and_size_before_fetching(corpus: Path) -> None:
    command = [sys.executable, "-m", "tui_gpt", "corpus", "fetch", "gutenberg:84", "--json"]
    done = subprocess.run(
        [*command, "--workspace", str(corpus.parent)], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    answer = json.loads(done.stdout)
    assert answer["bytes"] == len(BOOKS["84"]) and Path(answer["path"]).is_dir()
    assert "24 B, licence: public domain in the USA" in done.stderr.splitlines()[0]
