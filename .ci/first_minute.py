"""Run the README's first command in a pty as a newcomer would: open the workbench, press `s`, see a loss and a sample.

Then leave it, see that the run goes on without the terminal, and stop it from the shell. Standard library only.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

INSTALL_SECONDS, LOSS_SECONDS, SAMPLE_SECONDS = 3000, 300, 900
ESCAPES = re.compile(r"\x1b\[[0-9;?<>=]*[A-Za-z]|\x1b[\]P].*?(\x07|\x1b\\)")
GPT_TUI = [".venv/bin/gpt-tui"]


class Terminal:
    """A program in a pty; what it drew, without escape sequences, is in `text`."""

    def __init__(self, command: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLUMNS="120", LINES="40")
            os.execvp("bash", ["bash", "-c", f"stty rows 40 cols 120; {command}"])
        self.text = ""

    def until(self, pattern: str, seconds: float) -> None:
        started = time.monotonic()
        while not re.search(pattern, self.text):
            if time.monotonic() - started > seconds:
                sys.exit(f"first minute: no {pattern!r} within {seconds:.0f} s. Last seen:\n{self.text[-3000:]}")
            if not select.select([self.fd], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                sys.exit(f"first minute: it ended before {pattern!r}. Last seen:\n{self.text[-3000:]}")
            self.text += ESCAPES.sub("", data.decode("utf-8", "replace"))
        print(f"first minute: {pattern!r} after {time.monotonic() - started:.1f} s", flush=True)

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())


def status() -> dict:
    answer = subprocess.run([*GPT_TUI, "status", "--json"], capture_output=True, text=True, check=False)
    return json.loads(answer.stdout) if answer.returncode == 0 else {"state": "none"}


def wait_for(what: str, true, seconds: float) -> None:
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > seconds:
            sys.exit(f"first minute: {what} never came: {status()}")
        time.sleep(1)
    print(f"first minute: {what} after {time.monotonic() - started:.1f} s", flush=True)


def main() -> None:
    terminal = Terminal(sys.argv[1])
    terminal.until("Start training", INSTALL_SECONDS)
    time.sleep(2)
    terminal.press("s")
    terminal.until(r"train \d", LOSS_SECONDS)
    os.close(terminal.fd)  # the connection is lost
    samples = Path("runs", status()["run"], "samples.jsonl")
    wait_for("a sample, with the terminal gone", lambda: samples.exists() and samples.stat().st_size, SAMPLE_SECONDS)
    subprocess.run([*GPT_TUI, "stop"], check=True)
    wait_for("the end of the run", lambda: status()["state"] == "stopped", 60)
    subprocess.run([*GPT_TUI, "sample", "--prompt", "Once upon a time", "--tokens", "60", "--seed", "1"], check=True)


main()
