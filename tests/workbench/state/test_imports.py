"""State and jobs stay light: the command line may use them, and the first frame does not wait for them."""

import subprocess
import sys

PROGRAM = """
import importlib, pkgutil, sys
import tui_gpt.workbench.jobs, tui_gpt.workbench.state
for room in (tui_gpt.workbench.jobs, tui_gpt.workbench.state):
    for module in pkgutil.iter_modules(room.__path__):
        importlib.import_module(f"{room.__name__}.{module.name}")
print([name for name in ("textual", "torch", "numpy", "tokenizers", "tiktoken", "pyarrow") if name in sys.modules])
"""


def test_state_and_jobs_load_neither_textual_nor_torch_nor_numpy():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
