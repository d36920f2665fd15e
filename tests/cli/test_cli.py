"""The command line in subprocesses: exit codes, stdout and stderr."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from tests.live import SMALL, ended, start, until
from tui_gpt import launch
from tui_gpt.config import override
from tui_gpt.files import write_atomically
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Status
from tui_gpt.run.supervisor import StartRequest

READ_ONLY = os.geteuid() != 0  # root writes everywhere


def gpt_tui(workspace: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tui_gpt", "--workspace", str(workspace), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=workspace, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    workspace = tmp_path_factory.mktemp("cli")
    folder = start(workspace, "training.duration=20")
    assert ended(folder).state == "finished"
    return folder


def workspace_of(run: RunFolder) -> Path:
    return run.path.parent.parent


def test_train_json_prints_one_object_per_line_and_exits_0(tmp_path: Path) -> None:
    done = gpt_tui(tmp_path, "train", *SMALL, "--steps", "20", "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = {line["type"] for line in lines}
    assert kinds == {"event", "metrics", "eval", "sample", "status"}
    assert [line["step"] for line in lines if line["type"] == "metrics"] == list(range(1, 21))
    assert lines[-1]["type"] == "status" and lines[-1]["state"] == "finished"


def test_stop_at_exits_0_with_a_message(tmp_path: Path) -> None:
    done = gpt_tui(tmp_path, "train", *SMALL, "--steps", "50", "--stop-at", "7")
    assert done.returncode == 0
    assert "stopped at step 7 (--stop-at)" in done.stderr and not done.stdout
    again = gpt_tui(tmp_path, "train", "--resume", "pico", "--stop-at", "9")
    assert again.returncode == 0 and "step 9" in again.stderr


def test_runs_and_status_in_json(run: RunFolder) -> None:
    (row,) = json.loads(gpt_tui(workspace_of(run), "runs", "--json").stdout)
    assert row["run"] == run.id and row["state"] == "finished" and row["step"] == 20
    status = json.loads(gpt_tui(workspace_of(run), "status", "--json").stdout)
    assert status["state"] == "finished" and {c["step"] for c in status["checkpoints"]} >= {20}


def test_sample_depends_on_the_seed_only(run: RunFolder) -> None:
    options = ["sample", run.id, "--prompt", "A model", "--tokens", "30", "--temperature", "1"]
    one, two, other = (gpt_tui(workspace_of(run), *options, "--seed", seed) for seed in ("1", "1", "2"))
    assert one.returncode == 0 and one.stdout.startswith("A model")
    assert one.stdout == two.stdout != other.stdout
    older = run.checkpoints / "step-00000015"
    assert json.loads(gpt_tui(workspace_of(run), "sample", str(older), "--json").stdout)["step"] == 15


def test_several_completions_have_consecutive_seeds_and_weights_may_be_in_bf16(run: RunFolder) -> None:
    options = ["sample", run.id, "--prompt", "A model", "--tokens", "20", "--temperature", "1"]
    done = gpt_tui(workspace_of(run), *options, "--seed", "4", "-n", "9", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["seed"] for line in lines] == list(range(4, 13))
    alone = json.loads(gpt_tui(workspace_of(run), *options, "--seed", "6", "--json").stdout)
    assert lines[2]["text"] == alone["text"] != lines[3]["text"]
    text = gpt_tui(workspace_of(run), *options, "--seed", "6", "-n", "2", "--dtype", "bf16").stdout
    assert text.count("A model") == 2 and text.count("---") == 1


def test_eval_scores_the_whole_validation_split(run: RunFolder) -> None:
    result = json.loads(gpt_tui(workspace_of(run), "eval", run.id, "--json").stdout)
    assert result["whole"] and result["val_loss"] == pytest.approx(run.read_evals()[-1].val_loss, rel=1e-5)


def test_corpus_prepare_prints_flat_integers(tmp_path: Path) -> None:
    facts = json.loads(gpt_tui(tmp_path, "corpus", "prepare", "tiny", "--tokenizer", "byte", "--json").stdout)
    assert facts["tokens"] == facts["train_tokens"] + facts["val_tokens"] and facts["documents"] == 1
    (tmp_path / "book.txt").write_text("Call me Ishmael. " * 30)
    assert gpt_tui(tmp_path, "corpus", "add", "whale", "book.txt").returncode == 0
    names = [entry["name"] for entry in json.loads(gpt_tui(tmp_path, "corpus", "list", "--json").stdout)]
    assert {"stories", "tiny", "whale"} <= set(names)
    assert "Ishmael" in gpt_tui(tmp_path, "corpus", "info", "whale").stdout


@pytest.fixture(scope="module")
def bad_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace full of what users get wrong."""
    place = tmp_path_factory.mktemp("bad")
    (place / "empty.txt").write_text("")
    (place / "binary.txt").write_bytes(b"\x00\x01\xff\xfe" * 100)
    (place / "nothing").mkdir()
    (place / "typo.toml").write_text("[model]\nn_laier = 3\n")
    (place / "model.pt").write_bytes(b"\x80\x04pickle")
    (place / "foreign").mkdir()
    return place


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--corpus", "absent.txt"], "absent.txt"),
        (["train", "--corpus", "./empty.txt"], "empty"),
        (["train", "--corpus", "./binary.txt"], "binary"),
        (["train", "--corpus", "./nothing"], "nothing"),
        (["train", "--corpus", "verdict"], "verdict"),
        (["train", "--corpus", "storys"], "stories"),
        (["train", "--config", "typo.toml"], "Did you mean model.n_layer?"),
        (["train", "--config", "absent.toml"], "neither a preset nor a file"),
        (["train", "model.n_embd=130"], "not divisible by model.n_head"),
        (["train", "optimizer.learning_rate=-1"], "Allowed: a number, above 0"),
        (["train", "data.tokenizer=wordpiece"], "wordpiece"),
        (["train", "--steps", "3", "--epochs", "2"], "one of --steps"),
        (["train", "--name", "../../x", "data.corpus=tiny"], "is not a valid run name"),
        (["train", "--resume", "absent"], "no run matches 'absent'"),
        (["train", "--init-from", "foreign"], "is not a checkpoint"),
        (["sample", "model.pt"], "pickles"),
        (["sample", "foreign"], "is not a checkpoint"),
        (["sample", "runs/absent"], "does not exist"),
        (["status"], "no runs yet"),
        (["pause", "absent"], "no run matches"),
        (["corpus", "add", "../../x", "binary.txt"], "../../x"),
        (["corpus", "info", "absent"], "absent"),
        (["trian"], "Did you mean train?"),
    ],
)
def test_user_errors_are_one_line_with_exit_code_2(bad_inputs: Path, arguments: list[str], message: str) -> None:
    done = gpt_tui(bad_inputs, *arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr and not done.stdout
    assert len(done.stderr.strip().splitlines()) == 1 or arguments == ["trian"]
    assert not (bad_inputs / "runs").exists() or not any((bad_inputs / "runs").iterdir())


def test_too_short_corpus_fails_with_token_counts(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("a")
    done = gpt_tui(tmp_path, "train", *SMALL, "--corpus", "./short.txt")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "tokens" in done.stderr and "failed" in done.stderr


def test_unusable_runs_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    done = gpt_tui(tmp_path, "train", *SMALL)
    assert done.returncode == 2 and "cannot create a run" in done.stderr


def test_run_of_a_newer_version_is_rejected(run: RunFolder, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(run.path, tmp_path / "runs" / "20300101-000000-newer"))
    info = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(info | {"schema_version": 99}))
    for arguments in (["status", "newer"], ["train", "--resume", "newer", "--steps", "40"], ["sample", "newer"]):
        done = gpt_tui(tmp_path, *arguments)
        assert done.returncode == 2 and "newer gpt-tui" in done.stderr


def test_damaged_checkpoint_is_rejected_and_the_previous_one_resumes(run: RunFolder, tmp_path: Path) -> None:
    import shutil

    copy = RunFolder(Path(shutil.copytree(run.path, tmp_path / "runs" / run.id)))
    newest = copy.checkpoints / "step-00000020"
    weights = bytearray((newest / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (newest / "model.safetensors").write_bytes(weights)
    for arguments in (["train", "--resume", run.id, "--steps", "22"], ["train", "--init-from", str(newest)]):
        done = gpt_tui(tmp_path, *arguments)
        assert done.returncode == 2 and "does not match its digest" in done.stderr and "delete this one" in done.stderr
    assert gpt_tui(tmp_path, "sample", run.id).returncode == 2
    assert copy.state() == "finished"
    shutil.rmtree(newest)
    assert gpt_tui(tmp_path, "train", "--resume", run.id, "--steps", "22").returncode == 0
    assert [line.step for line in copy.read_metrics()] == list(range(1, 23))


def test_delete_asks_for_confirmation_and_rename_keeps_the_date(run: RunFolder, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(run.path, tmp_path / "runs" / run.id))
    assert gpt_tui(tmp_path, "delete", run.id, input="n\n").returncode == 130 and copy.exists()
    renamed = gpt_tui(tmp_path, "rename", run.id, "baseline").stdout.strip()
    assert renamed == run.id[:16] + "baseline"
    assert gpt_tui(tmp_path, "delete", "baseline", "--yes").returncode == 0
    assert not any((tmp_path / "runs").iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("delete", "", "--yes"),
        ("delete", " ", "--yes"),
        ("rename", "", "other"),
        ("stop", ""),
        ("status", ""),
        ("kill", "", "--yes"),
        ("sample", ""),
        ("eval", ""),
        ("export", "", "out"),
        ("plot", ""),
        ("train", "--resume", ""),
        ("train", "--init-from", ""),
        ("train", "--config", ""),
        ("train", "--corpus", ""),
        ("train", "--name", ""),
    ],
)
def test_an_empty_reference_never_means_the_newest_run(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A script with an unset variable deleted the newest run."""
    folder = folders.create(tmp_path / "runs", "precious", override({}, []))
    result = gpt_tui(tmp_path, *arguments)
    assert result.returncode == 2 and "empty" in result.stderr and len(result.stderr.splitlines()) == 1, result.stderr
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [folder.id]


def test_a_run_that_is_a_link_is_not_touched(tmp_path: Path) -> None:
    folder = folders.create(tmp_path / "elsewhere", "precious", override({}, []))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "linked").symlink_to(folder.path)
    for arguments in (("delete", "linked", "--yes"), ("rename", "linked", "other")):
        result = gpt_tui(tmp_path, *arguments)
        assert result.returncode == 2 and "symbolic link" in result.stderr
    assert folder.config.exists()


def test_a_run_that_lives_on_another_host_is_not_touched(tmp_path: Path) -> None:
    folder = folders.create(tmp_path / "runs", "remote", override({}, []))

    def seen(seconds_ago: float) -> None:
        now = time.time() - seconds_ago
        status = Status(state="running", phase="", started=now, heartbeat=now, host="another-host", supervisor_pid=1)
        write_atomically(folder.status, msgspec.json.encode(status))

    seen(5)
    result = gpt_tui(tmp_path, "delete", "remote", "--yes")
    assert result.returncode == 2 and "is live on another-host" in result.stderr and folder.config.exists()
    seen(3600)
    assert gpt_tui(tmp_path, "delete", "remote", "--yes").returncode == 0


def test_wait_logs_and_kill(tmp_path: Path) -> None:
    folder = folders.create(tmp_path / "runs", "run", override({}, []))
    launch.start_supervisor(folder, StartRequest(corpus_dir=str(tmp_path), trainer="tests.run.fake_trainer:run"))
    with folder.log.open("a") as log:
        log.write("first\na line with \x1b[31mcolours\n")
    printed = gpt_tui(tmp_path, "logs", "run", "-n", "1").stdout
    assert printed == "a line with \ufffd[31mcolours\n"
    assert gpt_tui(tmp_path, "wait", "run", "--timeout", "0.1").returncode == 124
    assert gpt_tui(tmp_path, "kill", "run", input="n\n").returncode == 130
    killed = gpt_tui(tmp_path, "kill", "run", "--yes")
    assert killed.returncode == 0 and "killed 2 processes" in killed.stderr, killed.stderr
    assert gpt_tui(tmp_path, "wait", "run").returncode == 1
    assert "is crashed, cannot kill" in gpt_tui(tmp_path, "kill", "run", "--yes").stderr


def test_the_workspace_may_be_named_by_the_environment(run: RunFolder, tmp_path: Path) -> None:
    environment = {**os.environ, "GPT_TUI_WORKSPACE": str(workspace_of(run))}
    command = [sys.executable, "-m", "tui_gpt", "runs", "--json"]
    settings: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 100, "cwd": tmp_path}
    found = subprocess.run(command, env=environment, check=True, **settings)
    assert [row["run"] for row in json.loads(found.stdout)] == [run.id]
    other = subprocess.run([*command, "--workspace", str(tmp_path)], env=environment, check=True, **settings)
    assert json.loads(other.stdout) == []


def test_resume_continues_a_run_that_has_ended(tmp_path: Path) -> None:
    folder = start(tmp_path, "training.duration=12", stop_at=6)
    assert ended(folder).state == "stopped"
    assert gpt_tui(tmp_path, "resume", folder.id).returncode == 0
    assert [line.step for line in folder.read_metrics()] == list(range(1, 13))
    again = gpt_tui(tmp_path, "resume", folder.id)
    assert again.returncode == 2 and "is already finished" in again.stderr


def test_modules_outside_the_torch_rooms_import_neither_torch_nor_numpy(tmp_path: Path) -> None:
    code = (
        "import sys; import tui_gpt, tui_gpt.cli, tui_gpt.api, tui_gpt.launch, tui_gpt.hardware, tui_gpt.checkpoints;"
        "from tui_gpt.cli.subcommands import corpus_commands, doctor, evaluate, manage_runs, run_control, sample;"
        "import tui_gpt.cli.subcommands.train, tui_gpt.run.supervisor, tui_gpt.workbench;"
        "print([name for name in ('torch', 'numpy', 'tiktoken', 'tokenizers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_python_api_trains_waits_and_generates(tmp_path: Path) -> None:
    script = f"""
import tui_gpt
run = tui_gpt.train(overrides=dict(item.split("=", 1) for item in []) | {{
    "model.n_layer": 1, "model.n_embd": 16, "model.n_head": 2, "data.corpus": "tiny", "data.tokenizer": "byte",
    "training.duration": "12 steps", "training.threads": 1}}, workspace={str(tmp_path)!r})
steps = [line.step for line in run.follow()]
status = run.wait(60)
loaded = tui_gpt.load_checkpoint(run)
text = tui_gpt.generate(loaded, "A model", tokens=10, seed=1)
assert text == tui_gpt.generate(loaded, "A model", tokens=10, seed=1)
print(status.state, steps[-1], run.checkpoints[-1].step)
try:
    tui_gpt.train(overrides={{"model.n_laier": 1}})
except tui_gpt.UserError as error:
    print(error)
"""
    file = tmp_path / "script.py"
    file.write_text(script)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.splitlines()[0] == "finished 12 12", done.stderr
    assert "Did you mean model.n_layer?" in done.stdout


def test_doctor_tests_the_installation(tmp_path: Path) -> None:
    done = gpt_tui(tmp_path, "doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0
    assert findings["training"]["level"] == "ok" and "20 steps" in findings["training"]["found"]
    assert {"Python", "CPU", "PyTorch", "GPU", "disk", "logout", "terminal"} <= set(findings)


@pytest.mark.parametrize("after", [0.1, 0.6])
def test_ctrl_c_while_the_sampler_imports_torch_is_no_traceback(run: RunFolder, after: float) -> None:
    command = [sys.executable, "-m", "tui_gpt", "--workspace", str(workspace_of(run)), "sample", run.id]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        until(lambda: psutil.Process(process.pid).children(), "the sampler's process")
        time.sleep(after)
        os.killpg(process.pid, signal.SIGINT)  # a terminal's Ctrl-C reaches both processes
        assert process.wait(60) == 130
        assert process.stderr is not None and "Traceback" not in process.stderr.read()
