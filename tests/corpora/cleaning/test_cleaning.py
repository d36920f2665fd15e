"""Cleaning: every step, its counts and its examples."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.corpora import find_corpus, list_corpora
from tui_gpt.corpora.cleaning import pipeline, text_steps
from tui_gpt.corpora.cleaning.pipeline import DEFAULT_STEPS, STEPS, Report, check_steps, clean, report_on
from tui_gpt.corpora.cleaning.text_steps import detect_encoding, fix_mojibake, normalise_line_ends, normalise_unicode
from tui_gpt.corpora.stories.generator import generate_stories
from tui_gpt.errors import CorpusError

STORIES = [story.text for story in generate_stories(0.1, seed=3)]
WORDS = sorted({word for text in STORIES for word in text.split()})


def prose(seed: int, words: int = 300) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def nothing(phase: str, fraction: float | None) -> None: ...


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("GPT_TUI_CACHE", raising=False)
    (tmp_path / "corpus" / "raw").mkdir(parents=True)
    return tmp_path / "corpus"


def write(corpus: Path, name: str, data: str | bytes) -> Path:
    path = corpus / "raw" / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def cleaned(corpus: Path, steps: str = ",".join(DEFAULT_STEPS), name: str = "") -> tuple[list[str], Report]:
    report = clean("raw", corpus, nothing, check_steps(steps), name)
    source = find_corpus(Path(report.written).name, corpus)
    texts = list(source.documents())
    assert source.count() == len(texts) == report.documents_after
    assert sum(map(len, texts)) == report.characters_after
    return texts, report


def step(report: Report, name: str) -> pipeline.StepReport:
    return next(each for each in report.steps if each.step == name)


def error_of(call, *args) -> str:
    with pytest.raises(CorpusError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_cleaning_without_steps_changes_nothing(corpus: Path) -> None:
    texts = [prose(1), prose(1), "short", "â€œ\r\n" + prose(2)]
    for n, text in enumerate(texts):
        write(corpus, f"{n}.txt", text)
    assert cleaned(corpus, "gutenberg")[0] == texts


def test_clean_text_is_unchanged(corpus: Path) -> None:
    texts = [prose(seed) + "\n\tcafé — “so”…\u00a0ﬁn\n" for seed in range(20)]
    for n, text in enumerate(texts):
        write(corpus, f"{n:02}.txt", text)
    found, report = cleaned(corpus)
    assert found == texts and not any(each.changed or each.removed for each in report.steps)


BOOK = "CHAPTER I\n\n" + prose(4) + "\n\nTHE END\n"
NEW_STYLE = (
    "\ufeffThe Project Gutenberg eBook of A Book\n\nThis ebook is for the use of anyone anywhere\n\n"
    "*** START OF THE PROJECT GUTENBERG EBOOK A BOOK\nOF TWO LINES ***\n\n\nProduced by Some Body and the\nTeam\n\n\n"
    f"{BOOK}\n\n*** END OF THE PROJECT GUTENBERG EBOOK A BOOK OF TWO LINES ***\n\nUpdated editions will replace\n"
)
OLD_STYLE = (
    "**Welcome To The World of Free Plain Vanilla Electronic Texts**\n"
    "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n"
    f"{BOOK}\n\nEnd of Project Gutenberg's A Book, by Some Body\n\nmore\n"
)


@pytest.mark.parametrize("text", [NEW_STYLE, OLD_STYLE, NEW_STYLE.replace("\n", "\r\n")])
def test_gutenberg_licence_is_removed_and_the_book_kept(corpus: Path, text: str) -> None:
    write(corpus, "book.txt", text)
    texts, report = cleaned(corpus, "gutenberg,line-ends")
    assert texts == [BOOK]
    assert step(report, "gutenberg").changed == 1 and "CHAPTER I" in step(report, "gutenberg").examples[0].now


def test_text_mentioning_gutenberg_is_unchanged() -> None:
    text = f"I read it in Project Gutenberg.\n{BOOK}\nEnd of the Project Gutenberg story.\n"
    assert text_steps.strip_gutenberg(text) == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("latin-1", "Le café était fermé à l'été, déjà ça. Où êtes-vous, mon frère? "),
        ("cp1252", "He said it was a naïve idea at the café — “truly” so, and walked away from it all. "),
        ("cp1250", "Zażółć gęślą jaźń. Wczoraj w nocy źle spałem, więc dziś jestem zmęczony. "),
        ("koi8-r", "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. "),
        ("shift_jis", "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"),
        ("gb18030", "满纸荒唐言，一把辛酸泪。都云作者痴，谁解其中味。"),
        ("utf-16", "Text with two bytes a character. "),
        ("utf-8", "Le café était fermé. "),
    ],
)
def test_other_encodings_are_detected_and_converted(corpus: Path, encoding: str, text: str) -> None:
    write(corpus, "a.txt", (text * 5).encode(encoding))
    texts, report = cleaned(corpus, "encoding")
    assert texts == [text * 5]
    assert step(report, "encoding").changed == (encoding != "utf-8")


def test_invalid_byte_late_in_a_file_is_converted(corpus: Path) -> None:
    path = write(corpus, "late.txt", b"plain words. " * 50_000 + "Le café était fermé à l'été. ".encode("latin-1") * 9)
    assert detect_encoding(path) == "cp1252"
    assert cleaned(corpus, "encoding")[0][0].endswith("Le café était fermé à l'été. ")


def test_binary_files_are_skipped_with_the_reason(corpus: Path) -> None:
    write(corpus, "a.txt", prose(1))
    write(corpus, "binary.txt", b"\x7fELF\0\0\0")
    write(corpus, "b.jsonl", json.dumps({"text": prose(2)}) + "\n{broken\n" + json.dumps({"text": prose(3)}))
    write(corpus, "picture.png", b"x")
    texts, report = cleaned(corpus)
    assert texts == [prose(1), prose(2), prose(3)]
    assert step(report, "encoding").removed == 2 and report.files_left_out == {"not a text file": 1}
    where = {example.where: example.what for example in step(report, "encoding").examples}
    assert "not a JSON object" in where[str(corpus / "raw" / "b.jsonl:2")]
    assert "binary" in where[str(corpus / "raw" / "binary.txt")]


def test_mojibake_is_fixed_line_by_line() -> None:
    broken = "It’s a café."
    for _ in range(2):
        broken = broken.encode("utf-8").decode("cp1252")
    assert fix_mojibake(f"plain\n{broken}\nété\n") == "plain\nIt’s a café.\nété\n"


@given(st.text())
def test_normalising_is_idempotent(text: str) -> None:
    for mend in (normalise_unicode, normalise_line_ends):
        assert mend(mend(text)) == mend(text)
    assert "\r" not in normalise_line_ends(text) and "\ufeff" not in normalise_unicode(text)


def test_unicode_and_line_ends_are_normalised() -> None:
    assert (
        normalise_unicode("cafe\u0301 so\u00adft \ufeffzero\u200bwidth \x07bell\ttab\n")
        == "café soft zerowidth bell\ttab\n"
    )
    assert normalise_line_ends("a\r\nb\rc\u2028d\ne") == "a\nb\nc\nd\ne"


def test_short_documents_and_non_text_are_dropped(corpus: Path) -> None:
    junk = ["hi", "QUJDREVGR0hJSktM" * 40, "+--+--+\n|##|##|\n" * 30]
    code = "def add(a, b):\n    return a + b\n\n\nfor x in range(10):\n    print(add(x, x))\n"
    for n, text in enumerate([*junk, code, "満紙荒唐言一把辛酸淚" * 10]):
        write(corpus, f"{n}.txt", text)
    texts, report = cleaned(corpus)
    assert texts == [code, "満紙荒唐言一把辛酸淚" * 10] and step(report, "short").removed == 3


def test_report_works_if_cleaning_would_drop_everything(corpus: Path) -> None:
    for number in range(3):
        write(corpus, f"{number}.txt", "short")
    report = report_on("raw", corpus, nothing)
    assert (report.documents_before, report.documents_after, step(report, "short").removed) == (3, 0, 3)


def test_cleaning_again_uses_another_name(corpus: Path) -> None:
    write(corpus, "a.txt", prose(1))
    names = ["raw-clean", "raw-clean-2", "raw-clean-3"]
    assert [Path(cleaned(corpus)[1].written).name for _ in names] == names
    assert [entry.name for entry in list_corpora(corpus) if entry.kind == "cleaned"] == names


def test_first_of_exact_duplicates_is_kept_and_named(corpus: Path) -> None:
    original = prose(1, 500)
    words = original.split()
    for place in (50, 200, 350):
        words[place] = "changed"
    half = original[: len(original) // 2] + prose(2, 250)
    for name, text in {"a": original, "b": prose(3), "c": " ".join(words), "d": original, "e": half}.items():
        write(corpus, f"{name}.txt", text)
    texts, report = cleaned(corpus)
    assert texts == [original, prose(3), half]
    assert step(report, "exact").removed == 1 and step(report, "near").removed == 1
    near = step(report, "near").examples[0]
    assert near.where.endswith("c.txt") and near.now.endswith("a.txt")
    assert cleaned(corpus, "near", "both")[0] == [original, prose(3), half]
    assert len(cleaned(corpus, "exact", "one")[0]) == 4


def test_near_duplicates_are_found_among_many_documents(corpus: Path) -> None:
    rng = random.Random(0)
    with (corpus / "raw" / "many.jsonl").open("w") as file:
        for seed in range(400):
            words = prose(seed).split()
            file.write(json.dumps({"text": " ".join(words)}) + "\n")
            if seed % 4 == 0:  # one word in a hundred changed: alike by 0.9 in runs of five words
                for place in rng.sample(range(len(words)), 3):
                    words[place] = "other"
                file.write(json.dumps({"text": " ".join(words)}) + "\n")
    texts, report = cleaned(corpus)
    assert 95 <= step(report, "near").removed <= 100
    assert set(texts) >= {prose(seed) for seed in range(400)}


def test_overlapping_documents_are_counted_or_dropped_until_none_shares_half(corpus: Path) -> None:
    quoted = prose(1, 200)
    write(corpus, "a.txt", quoted)
    write(corpus, "b.txt", prose(2, 600) + " " + quoted)
    write(corpus, "c.txt", prose(3))
    texts, report = cleaned(corpus)
    assert len(texts) == 3 and step(report, "overlap").found == 1 and step(report, "overlap").removed == 0
    example = step(report, "overlap").examples[0]
    assert example.where.endswith("a.txt") and example.now.startswith("100%")
    texts, report = cleaned(corpus, "overlap", "no-overlap")
    assert len(texts) == 2 and quoted not in texts and step(report, "overlap").removed == 1


def test_long_documents_are_cleaned_in_parts(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "LONG_CHARACTERS", 1000)
    monkeypatch.setattr("tui_gpt.corpora.sources.formats.PIECE_BYTES", 300)
    long = "\r\n".join(prose(seed, 30) for seed in range(50))
    write(corpus, "a.txt", long)
    write(corpus, "b.txt", "x" * 5000)
    write(corpus, "c.txt", "a short one of fifty characters, give or take a few of them")
    texts, report = cleaned(corpus)
    assert sorted(texts, key=len)[1:] == ["x" * 5000, long.replace("\r\n", "\n")] and report.documents_before == 3


def test_report_changes_nothing(corpus: Path) -> None:
    write(corpus, "a.txt", prose(1))
    write(corpus, "b.txt", prose(1))
    before = sorted(corpus.rglob("*"))
    planned = report_on("raw", corpus, nothing)
    assert planned.documents_after == 1 and planned.written == ""
    assert [path for path in sorted(corpus.rglob("*")) if ".cache" not in path.parts] == before
    assert [path.name for path in (corpus / ".cache").iterdir()] == ["report.lock"]
    _, done = cleaned(corpus)
    assert report_on("raw-clean", corpus, nothing) == done and done.steps == planned.steps


def test_invalid_names_steps_and_empty_results_are_one_line_errors(corpus: Path) -> None:
    write(corpus, "a.txt", "short")
    assert "already exists" in error_of(clean, "raw", corpus, nothing, DEFAULT_STEPS, "raw")
    assert "invalid corpus name" in error_of(clean, "raw", corpus, nothing, DEFAULT_STEPS, "../../x")
    assert "unknown step polish" in error_of(check_steps, "exact,polish")
    assert "cleaning drops all of raw" in error_of(clean, "raw", corpus, nothing, DEFAULT_STEPS)
    assert sorted(path.name for path in corpus.iterdir()) == [".cache", "raw"]


def test_killed_cleaning_leaves_no_corpus_and_can_be_repeated(corpus: Path) -> None:
    for n in range(50):
        write(corpus, f"{n:02}.txt", prose(n))
    code = (
        "import sys, time; from pathlib import Path; from tui_gpt.corpora.cleaning import pipeline as c\n"
        "def stop(*_): print('writing', flush=True); time.sleep(60)\n"
        "c.write_manifest = stop\n"
        "c.clean('raw', Path(sys.argv[1]), lambda *_: None, c.DEFAULT_STEPS)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(corpus)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "writing\n"
        child.send_signal(signal.SIGKILL)
    assert (corpus / ".cleaning-raw-clean" / "documents.jsonl").exists()
    assert [
        entry.name for entry in list_corpora(corpus) if entry.path.startswith(str(corpus)) and entry.kind == "folder"
    ] == ["raw"]
    assert len(cleaned(corpus)[0]) == 50 and not (corpus / ".cleaning-raw-clean").exists()


def test_every_step_is_described_and_the_command_prints_json(corpus: Path) -> None:
    write(corpus, "a.txt", prose(1) + "\r\n")
    command = [sys.executable, "-m", "tui_gpt", "corpus", "clean", "raw", "--json", "--workspace", str(corpus.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    answer = json.loads(done.stdout)
    assert answer["documents_after"] == 1 and Path(answer["written"]) == corpus / "raw-clean"
    assert {each["step"] for each in answer["steps"]} == set(STEPS)
    command[4] = "report"
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert json.loads(done.stdout)["written"] == ""
