"""A command whose killed process cannot be reaped, as one that is stuck in the kernel."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

_WRAPPER = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
libc.ptrace.argtypes = [ctypes.c_long] * 4
libc.prctl(0x59616D61, ctypes.c_ulong(-1))  # PR_SET_PTRACER, any process
parent, (heard, said) = os.getpid(), os.pipe()
if os.fork() == 0:
    os.close(0)
    os.close(1)
    os.write(said, b"%d" % libc.ptrace(0x4206, parent, 0, 0))  # PTRACE_SEIZE
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.02)
    os._exit(0)
assert os.read(heard, 8) == b"0", "no process may trace another here"
os.execvp(sys.argv[2], sys.argv[2:])
"""


def lingering(command: Sequence[str], until: Path) -> tuple[str, ...]:
    """Once killed, the process is dead but not gone until this file exists: a tracer holds it."""
    return (sys.executable, "-c", _WRAPPER, str(until), *command)
