"""Rows and columns of the list of runs: reading, names, layout, sorting, filtering, marks, export."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from tests.workbench.fake_run import FakeRun, finished, running
from tui_gpt.errors import RunError
from tui_gpt.workbench.state.metric_series import MetricSeries, MetricsReader
from tui_gpt.workbench.state.runs import run_scan
from tui_gpt.workbench.state.runs.last_loss import last_loss
from tui_gpt.workbench.state.runs.run_export import export, export_path
from tui_gpt.workbench.state.runs.run_scan import RunRow, RunScanner, parse_tags
from tui_gpt.workbench.state.runs.run_table import RunTable, View, differing_settings, format_setting, run_name


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def sweep(runs: Path) -> None:
    """Make three finished runs that differ in width and learning rate."""
    for index, (width, rate) in enumerate([(64, 1e-2), (96, 1e-3), (128, 1e-3)], 1):
        asked = {"preset": "pico", "model": {"n_embd": width}, "optimizer": {"learning_rate": rate}}
        run = FakeRun(runs, f"2026110{index}-100000-sweep", asked=asked, total=100 * index)
        run.write_info()
        run.train(10 * index)
        run.evaluate(3.0 - index / 2)
        run.set_status("finished", tokens=run.step * 1024, elapsed_seconds=float(run.step), tokens_per_second=99.0)
        run.close()


def scanned(runs: Path) -> list[RunRow]:
    scanner = RunScanner(runs)
    while scanner.scan(10.0):
        pass
    return scanner.rows


def cells(view: View, key: str) -> list[str]:
    column = next(column for column in view.columns if column.key == key)
    return [column.text_of(row) for row in view.rows]


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_sums_up_a_run(runs: Path) -> None:
    run = finished(runs, steps=500)
    run.checkpoint()
    run.folder.note.write_text("looks good\n")
    run.folder.tags.write_text("base\nkeep\n")
    (row,) = scanned(runs)
    assert (row.state, row.status.step, row.parameters) == ("finished", 500, 1_048_576)
    assert row.note == "looks good" and row.tags == ("base", "keep")
    assert row.best_val == pytest.approx(min(item.val_loss for item in run.folder.read_evals()))
    assert row.settings["model.n_layer"] == 4
    assert row.size_bytes == sum(file.stat().st_size for file in run.folder.path.rglob("*") if file.is_file())
    assert row.tokens_per_second == pytest.approx(row.status.tokens / row.status.elapsed_seconds)
    assert (row.own_name, row.started) == ("pico-tiny", "11-19 10:15")


def test_best_val_is_the_lowest_not_the_last(runs: Path) -> None:
    run = FakeRun(runs)
    for value in (3.0, 2.0, 2.5):
        run.train(1)
        run.evaluate(value)
    run.set_status("stopped", val_loss=2.5)
    assert scanned(runs)[0].best_val == 2.0


@pytest.mark.parametrize("steps", [1, 3, 40, 700, 5000])
def test_loss_is_the_number_at_the_end_of_the_chart(runs: Path, steps: int) -> None:
    run = FakeRun(runs)
    run.train(steps)
    series = MetricSeries()
    reader = MetricsReader(run.folder.metrics)
    series.extend(reader.poll())
    loss, non_finite = last_loss(run.folder.metrics)
    assert loss == pytest.approx(series.smoothed_last(), abs=2e-3) and non_finite is None


def test_a_loss_that_is_no_number_is_said(runs: Path) -> None:
    run = FakeRun(runs)
    run.train(5)
    run.train(1, loss=float("nan"))
    run.set_status("failed")
    table = RunTable()
    assert cells(table.view(scanned(runs)), "loss") == ["nan"]


def test_rewound_losses_do_not_count(runs: Path) -> None:
    run = FakeRun(runs)
    run.train(1, loss=2.0)
    run.train(3, loss=9.0)
    with run.folder.metrics.open("a") as file:
        file.write('{"rewound_to":1}\n{"step": 2, "lo')
    assert last_loss(run.folder.metrics) == (2.0, None)


def test_only_what_changed_is_read_again(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(runs, "20261101-100000-one")
    other = finished(runs, "20261102-100000-two")
    scanner = RunScanner(runs)
    while scanner.scan(10.0):
        pass
    before = scanner.rows
    read: list[str] = []
    real = run_scan.last_loss
    monkeypatch.setattr(run_scan, "last_loss", lambda path: read.append(path.parent.name) or real(path))
    assert not scanner.scan()
    assert scanner.rows == before and all(one is two for one, two in zip(scanner.rows, before, strict=True))
    other.set_status("finished", message="again")
    while scanner.scan(10.0):
        pass
    assert read == [other.folder.id] and scanner.rows[0].status.message == "again"


def test_a_run_that_dies_is_seen_without_a_changed_file(runs: Path) -> None:
    run = running(runs, steps=10)
    scanner = RunScanner(runs)
    scanner.scan(10.0)
    assert scanner.rows[0].state == "running" and scanner.rows[0].is_live
    run.unlock()
    scanner.scan(10.0)
    assert scanner.rows[0].state == "crashed" and not scanner.rows[0].is_live


def test_reading_many_runs_stops_when_its_time_is_up_and_goes_on_with_the_next(runs: Path) -> None:
    sweep(runs)
    scanner = RunScanner(runs)
    assert scanner.scan(0.0) and [row.started for row in scanner.rows] == ["11-03 10:00"]
    assert scanner.scan(0.0) and len(scanner.rows) == 2
    assert not scanner.scan(10.0) and len(scanner.rows) == 3


def damage_status(run: FakeRun) -> None:
    run.folder.status.write_text('{"state": ')


def damage_config(run: FakeRun) -> None:
    run.folder.config.write_text("[model\n")


def make_metrics_a_folder(run: FakeRun) -> None:
    run.folder.metrics.unlink()
    run.folder.metrics.mkdir()


def make_evals_a_folder(run: FakeRun) -> None:
    run.folder.evals.unlink(missing_ok=True)
    run.folder.evals.mkdir()


def make_it_newer(run: FakeRun) -> None:
    run.folder.info.write_text('{"schema_version": 999}')


def nest_deeply(run: FakeRun) -> None:
    run.folder.status.write_text("[" * 100_000)


def invade_config(run: FakeRun) -> None:
    run.folder.config.write_bytes(b"preset = '\xff\xfe'")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (damage_status, "damaged"),
        (damage_config, "config.toml"),
        (make_metrics_a_folder, "metrics.jsonl"),
        (make_evals_a_folder, "evals.jsonl"),
        (make_it_newer, "newer gpt-tui"),
        (nest_deeply, ""),
        (invade_config, "config.toml"),
    ],
)
def test_a_damaged_run_is_a_row_that_says_so(runs: Path, harm, says: str) -> None:  # type: ignore[no-untyped-def]
    finished(runs, "20261101-100000-good")
    bad = finished(runs, "20261102-100000-bad")
    bad.close()
    harm(bad)
    row, good = scanned(runs)
    assert good.state == "finished" and not good.problem
    assert row.state == "unreadable" and says in row.problem and says in row.cause
    view = RunTable().view([row, good])
    assert [found.id for found in view.rows] == [row.id, good.id]


def test_metrics_with_torn_and_foreign_lines_are_read(runs: Path) -> None:
    run = finished(runs, steps=20)
    run.close()
    with run.folder.metrics.open("ab") as file:
        file.write(b'\xff\xfe\n{"step": "x"}\n[1, 2]\n{"step": 21, "los')
    (row,) = scanned(runs)
    assert row.loss is not None and not row.problem


def test_an_unreadable_runs_folder_is_a_problem(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    scanner = RunScanner(runs)
    assert not scanner.scan()
    assert scanner.rows == [] and scanner.problem == f"{runs}: cannot be read: permission denied"


def test_no_runs_folder_is_no_problem(tmp_path: Path) -> None:
    scanner = RunScanner(tmp_path / "none")
    assert not scanner.scan()
    assert scanner.rows == [] and not scanner.problem and scanner.is_read


def test_a_run_that_cannot_be_looked_into_is_a_row(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(runs)
    real = os.stat

    def refuse(path: object, **options: object) -> os.stat_result:
        if str(path).startswith(str(runs) + "/"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", refuse)
    assert len(scanned(runs)) == 1


def test_a_run_on_another_host_counts_as_live(runs: Path) -> None:
    run = FakeRun(runs)
    run.set_status("running", host="elsewhere")
    (row,) = scanned(runs)
    assert row.state == "elsewhere" and row.is_live and "on host elsewhere" in row.cause


def test_tags_are_words() -> None:
    assert parse_tags(" base, keep\nbase  lr-sweep,") == ("base", "keep", "lr-sweep")
    assert parse_tags(" , \n") == ()


# ── names and columns ───────────────────────────────────────────────────────────────────────────────────────────────


def test_settings_that_differ_make_columns_and_names(runs: Path) -> None:
    sweep(runs)
    rows = scanned(runs)
    assert differing_settings(rows) == ["model.n_embd", "optimizer.learning_rate"]
    view = RunTable().view(rows)
    assert cells(view, "name") == ["w128·lr1e-3", "w96·lr1e-3", "w64·lr1e-2"]
    assert cells(view, "optimizer.learning_rate") == ["1e-3", "1e-3", "1e-2"]


def test_one_run_is_called_by_preset_and_corpus(runs: Path) -> None:
    finished(runs)
    assert run_name(scanned(runs)[0], []) == "pico·stories"


def test_a_name_is_cut_between_settings(runs: Path) -> None:
    sweep(runs)
    row = scanned(runs)[0]
    assert run_name(row, ["model.n_embd", "optimizer.learning_rate"], 8) == "w128"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01, "1e-2"), (0.0015, "1.5e-3"), (0.1, "0.1"), (1.0, "1"), (0.0, "0"), (123456, "123456"), (True, "yes"),
        ("bpe:1024", "bpe:1024"), ("/home/x/corpus/", "corpus"), ("0.7 a/b + 0.3 c", "0.7 a/b + 0.3 c"),
        ((), "none"), (("a", "b"), "2: a, b"), (1e-8, "1e-8"),
    ],
)  # fmt: skip
def test_settings_are_short_and_whole(value: object, text: str) -> None:
    assert format_setting(value) == text


def test_the_columns_that_say_most_come_first(runs: Path) -> None:
    sweep(runs)
    keys = [column.key for column in RunTable().view(scanned(runs)).columns]
    assert keys[:6] == ["state", "name", "best_val", "loss", "step", "rate"]
    assert keys.index("model.n_embd") < keys.index("optimizer.learning_rate") < keys.index("run")


def test_columns_without_values_are_left_out(runs: Path) -> None:
    sweep(runs)
    assert not {"tags", "note"} & {column.key for column in RunTable().view(scanned(runs)).columns}


# ── order and filter ────────────────────────────────────────────────────────────────────────────────────────────────


def test_live_runs_stand_on_top_then_the_newest(runs: Path) -> None:
    sweep(runs)
    running(runs, name="20260101-000000-live", steps=5)
    ids = [row.id for row in RunTable().view(scanned(runs)).rows]
    assert ids == ["20260101-000000-live", "20261103-100000-sweep", "20261102-100000-sweep", "20261101-100000-sweep"]


def test_rows_sort_both_ways_and_unknown_values_stay_last(runs: Path) -> None:
    sweep(runs)
    FakeRun(runs, "20261105-100000-empty")
    rows, table = scanned(runs), RunTable()
    table.sort_by("best_val")
    view = table.view(rows)
    assert cells(view, "best_val") == ["1.500", "2.000", "2.500", ""]
    assert [table.title(column) for column in view.columns if column.key == "best_val"] == ["val ▲"]
    table.sort_by("best_val")
    view = table.view(rows)
    assert cells(view, "best_val") == ["2.500", "2.000", "1.500", ""]
    assert [table.title(column) for column in view.columns if column.key == "best_val"] == ["val ▼"]


def test_rows_sort_by_a_setting(runs: Path) -> None:
    sweep(runs)
    table = RunTable()
    table.sort_by("model.n_embd")
    assert cells(table.view(scanned(runs)), "model.n_embd") == ["64", "96", "128"]


def test_a_sort_column_that_is_gone_changes_nothing(runs: Path) -> None:
    sweep(runs)
    table = RunTable()
    table.sort_key = "bananas"
    assert len(table.view(scanned(runs)).rows) == 3


def test_sorting_by_the_next_column_comes_round(runs: Path) -> None:
    sweep(runs)
    rows, table = scanned(runs), RunTable()
    columns = table.view(rows).columns
    seen = []
    for _ in range(len(columns) + 1):
        table.next_sort(columns)
        seen.append(table.sort_key)
    assert seen == [column.key for column in columns] + [""]


def test_names_sort_as_people_count(runs: Path) -> None:
    for number in (10, 2, 1):
        finished(runs, f"2026110{number % 9}-100000-L{number}", steps=5)
    table = RunTable(sort_key="run")
    assert cells(table.view(scanned(runs)), "run") == ["L1", "L2", "L10"]


@pytest.mark.parametrize(
    ("text", "widths"),
    [
        ("", [128, 96, 64]), ("lr1e-3", [128, 96]), ("1e-3 96", [96]), ("w128", [128]),
        ("FINISHED sweep", [128, 96, 64]),
        ("keep", [96]), ("“big”", [64]), ("20261102", [96]), ("failed", []), ("lr", [128, 96, 64]), ("nonsense=1", []),
    ],
)  # fmt: skip
def test_words_filter_names_states_tags_notes_and_settings(runs: Path, text: str, widths: list[int]) -> None:
    sweep(runs)
    (runs / "20261102-100000-sweep" / "tags.txt").write_text("keep")
    (runs / "20261101-100000-sweep" / "note.txt").write_text("the “big” one")
    table = RunTable()
    table.filter = text
    assert [row.settings["model.n_embd"] for row in table.view(scanned(runs)).rows] == widths


def test_an_unchanged_view_is_the_same_object(runs: Path) -> None:
    sweep(runs)
    rows, table = scanned(runs), RunTable()
    assert table.view(rows) is table.view(list(rows))
    assert table.view(rows[1:]) is not table.view(rows)


def test_text_from_outside_is_made_safe(runs: Path) -> None:
    sweep(runs)
    (runs / "20261101-100000-sweep" / "note.txt").write_text("[red]bad\x1b[2J\nnext")
    assert cells(RunTable().view(scanned(runs)), "note")[-1] == "[red]bad\ufffd[2J¶next"


# ── export ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_json_holds_table_and_curves(runs: Path, tmp_path: Path) -> None:
    sweep(runs)
    rows = scanned(runs)
    view = RunTable().view(rows)
    (path,) = export(tmp_path / "out" / "runs.json", view, [rows[0].folder])
    content = json.loads(path.read_text())
    assert [item["id"] for item in content["runs"]] == [row.id for row in rows]
    assert content["runs"][0]["model.n_embd"] == 128 and content["runs"][0]["best_val"] == 1.5
    curve = content["curves"][rows[0].id]
    assert len(curve) == 30 and curve[-1]["val_loss"] == 1.5 and curve[-1]["loss"] and "val_loss" not in curve[0]


def test_csv_holds_the_table_and_in_a_second_file_the_curves(runs: Path, tmp_path: Path) -> None:
    sweep(runs)
    rows = scanned(runs)
    files = export(tmp_path / "runs.csv", RunTable().view(rows), [row.folder for row in rows[:2]])
    assert [file.name for file in files] == ["runs.csv", "runs-curves.csv"]
    table = list(csv.DictReader(files[0].open()))
    assert len(table) == 3 and table[0]["optimizer.learning_rate"] == "0.001"
    curves = list(csv.DictReader(files[1].open()))
    assert len(curves) == 50 and float(curves[29]["val_loss"]) == 1.5 and curves[0]["run"] == rows[0].id


def test_an_export_that_cannot_be_written_says_where(runs: Path, tmp_path: Path) -> None:
    sweep(runs)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be exported"):
        export(tmp_path / "file" / "runs.csv", RunTable().view(scanned(runs)), [])


@pytest.mark.parametrize("text", ["", "runs", "runs.xlsx", "~nobody-of-that-name/runs.csv"])
def test_a_name_that_cannot_be_exported_to_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(RunError):
        export_path(text, tmp_path)


def test_copied_text_is_tab_separated(runs: Path) -> None:
    sweep(runs)
    lines = RunTable().view(scanned(runs)).tsv.split("\n")
    assert len(lines) == 4 and lines[0].startswith("id\tstate\tname") and "w96·lr1e-3" in lines[2].split("\t")
    assert len({line.count("\t") for line in lines}) == 1
