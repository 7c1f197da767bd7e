"""A job that never stops forking: ``storm.py PROGRAM ARGUMENT...`` keeps some of it running.

Each of its children starts the program and ends it after a moment: there are always some with a
context on the GPU, and some that nobody has seen yet.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

LIVING_MAX = 8
LIFE_S = 2.0


def one() -> None:
    """A child that starts the program, in every second case in a session of its own."""
    if os.getpid() % 2:
        os.setsid()
    program = subprocess.Popen(sys.argv[1:])
    time.sleep(LIFE_S)
    program.kill()
    program.wait()
    os._exit(0)


def main() -> None:
    """Fork for ever."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    living: set[int] = set()
    while True:
        if (pid := os.fork()) == 0:
            one()
        living.add(pid)
        time.sleep(LIFE_S / LIVING_MAX)
        while len(living) >= LIVING_MAX:
            living.discard(os.wait()[0])


if __name__ == "__main__":
    main()
