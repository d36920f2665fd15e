"""The chosen corpus prepared ahead of a run, in a child process: tokenizers and numpy stay out of this one."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_gpt.workbench.app import Workbench


async def prepare(workbench: Workbench) -> None:
    """Run `gpt-tui corpus prepare` on the draft's corpus and tokenizer; its last line of stderr is what went wrong."""
    data = workbench.draft.config.data
    workbench.preparing = "preparing…"
    workbench.redraw()
    argv = [sys.executable, "-P", "-m", "tui_gpt", "--workspace", str(workbench.workspace), "corpus", "prepare"]
    argv += [data.corpus, "--tokenizer", data.tokenizer, "--json"]
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        _, errors = await process.communicate()
    finally:
        workbench.preparing = ""
    if process.returncode:
        lines = errors.decode("utf-8", "replace").strip().splitlines()
        workbench.say(lines[-1] if lines else f"preparing ended with {process.returncode}", "error")
    else:
        workbench.say(f"{data.corpus} is prepared for {data.tokenizer}")
    workbench.study_draft()
