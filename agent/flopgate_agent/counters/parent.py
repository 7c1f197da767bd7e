"""A child of the gate ends with the gate, also where it hangs in the driver.

The sampler imports it: keep it small.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from flopgate_agent.counters.layout import PARENT_PID

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent dies; end it if that has happened."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # A parent that died before that call sends no signal any more.
    if os.environ.get(PARENT_PID) not in (None, str(os.getppid())):
        sys.exit(0)
