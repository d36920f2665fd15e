"""Settings of all tests, made before torch is imported."""

import os

# Two workers with two threads each on two cores wait for one another: an in-process run took 14 s instead of 1.
os.environ.setdefault("OMP_NUM_THREADS", "1")
