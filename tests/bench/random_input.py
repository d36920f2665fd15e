"""Random keys, mouse reports, pastes and sizes against the workbench in a pty: it must neither crash nor hang.

    python -m tests.bench.random_input --events 10000 --seed 1 [WORKSPACE]

The program may end by a key that ends it; it is then started again. A traceback, another exit code than 0, or 20 s
without an answer ends the script with the seed and the last events.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections import deque
from pathlib import Path

from tests.workbench import fake_run

KEYS = [*"abdefghijklmnoprtuvwxyzABDEFGHIJKLMNOPRSTUVWXYZ0123456789/?:,.<>[]+-= ", "\r", "\t", "\x1b", "\x7f", "\x10"]
KEYS += [f"\x1b[{code}" for code in ("A", "B", "C", "D", "H", "F", "Z", "5~", "6~", "3~", "15~", "17~", "18~", "19~")]
KEYS += [
    "\x1bOP",
    "\x1bOQ",
    "\x1bOR",
    "\x1bOS",
    "\x1br",
    "\x1bu",
    "\x1bo",
    "\x1bk",
    "\x1bt",
    "\x12",
    "\xff",
    "\x1b[1114112u",
]
HANG_SECONDS = 20.0
ESCAPES = re.compile(r"\x1b\[[0-9;?<>=]*[A-Za-z]")


class Program:
    """The workbench in a pty."""

    def __init__(self, workspace: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", XDG_STATE_HOME=workspace, XDG_CONFIG_HOME=workspace, VISUAL="true")
            os.execv(sys.executable, [sys.executable, "-m", "tui_gpt", "--workspace", workspace])
        self.resize(120, 40)
        self.tail, self.received = b"", 0
        self.read(until=b"Corpora", seconds=HANG_SECONDS)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def read(self, seconds: float, until: bytes = b"") -> bool:
        """Read for a while; return whether the program still runs."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                return True
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            if not data:
                return False
            self.tail, self.received = (self.tail + data)[-60000:], self.received + len(data)
            if until and until in self.tail:
                return True
        return True

    def exit_code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def event(source: random.Random, program: Program) -> str:
    """Send one random event, and return it."""
    kind = source.random()
    if kind < 0.02:
        width, height = source.randint(1, 300), source.randint(1, 100)
        program.resize(width, height)
        return f"resize {width}x{height}"
    if kind < 0.15:
        button, x, y = source.choice((0, 0, 0, 2, 64, 65, 35)), source.randint(1, 130), source.randint(1, 45)
        text = f"\x1b[<{button};{x};{y}{source.choice('Mm')}"
    elif kind < 0.17:
        text = "\x1b[200~" + "pasted [red]text[/] \u202e \x07 日本 👩‍🚀\n" * source.randint(1, 40) + "\x1b[201~"
    else:
        text = source.choice(KEYS)
    os.write(program.fd, text.encode("utf-8", "surrogateescape") if text != "\xff" else b"\xff")
    return repr(text[:30])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", nargs="?")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    source, starts, last = random.Random(options.seed), 1, deque(maxlen=40)
    with tempfile.TemporaryDirectory() as folder:
        workspace = options.workspace or folder
        if not options.workspace:
            fake_run.finished(Path(folder) / "runs")
        program = Program(workspace)
        for index in range(options.events):
            last.append(event(source, program))
            alive = program.read(0.002)
            if alive and index % 200 == 199:
                before, received = time.monotonic(), program.received
                program.resize(100 + source.randint(0, 20), 40)
                while alive and program.received == received and time.monotonic() - before < HANG_SECONDS:
                    alive = program.read(0.1)
                if alive and program.received == received:
                    print(f"seed {options.seed}: no answer after event {index}: {list(last)}", flush=True)
                    if shutil.which("py-spy"):
                        for _ in range(5):  # the same stack each time, or one that comes back for ever
                            subprocess.run(["py-spy", "dump", "--pid", str(program.pid)], check=False)
                            alive = program.read(1.0)
                    return 1
            if not alive:
                program.read(1.0)
                code = program.exit_code()
                if code or b"Traceback" in program.tail:
                    print(f"seed {options.seed}: exit {code} after event {index}: {list(last)}")
                    print(ESCAPES.sub("", program.tail.decode("utf-8", "replace"))[-2000:])
                    for log in Path(workspace).glob("gpt-tui/crash.log"):
                        print(log.read_text("utf-8"))
                    return 1
                program, starts = Program(workspace), starts + 1
        os.kill(program.pid, signal.SIGTERM)
        print(f"{options.events:,} events, seed {options.seed}, {starts} starts: no crash, no hang")
    return 0


if __name__ == "__main__":
    sys.exit(main())
