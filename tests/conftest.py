"""Settings of all tests, made before torch is imported."""

import os
import signal

# Two workers with two threads each on two cores wait for one another: an in-process run took 14 s instead of 1.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what it runs in the background with Ctrl-C ignored, and processes of tests would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
