"""The order in which the supervisor writes its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_gpt.config import override
from tui_gpt.run import folder as folders
from tui_gpt.run.messages import Ack, Progress
from tui_gpt.run.supervisor import StartRequest, Supervisor


def test_the_status_is_written_before_the_acknowledgement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folders.create(tmp_path / "runs", "run", override({}, []))
    supervisor = Supervisor(folder, StartRequest(corpus_dir=str(tmp_path)))
    seen = []

    def event(kind: str, message: str, **fields: object) -> None:
        status = folder.read_status()
        seen.append((kind, message, status.state if status else None))

    monkeypatch.setattr(supervisor, "_event", event)
    supervisor._handle_message(Progress(state="paused", phase=""))
    supervisor._handle_message(Ack(command_id="1", command="pause", ok=True, message="paused at step 0", step=0))
    assert seen == [("ack", "paused at step 0", "paused")]
