"""One script for each claim about speed, loss and robustness: `python -m tests.bench.NAME --help`.

Each prints our figure and the peer's from the same run. The peer, nanoGPT, is a checkout given by its path; it is no
part of the project. Close whatever else computes on the machine first: two threads beside a busy core are several
times slower. `strikes`, `faults`, `bit_flips`, `fuzz`, `random_input` and `soak` need no quiet machine; the
first four have small versions in `tests/robustness`.
"""
