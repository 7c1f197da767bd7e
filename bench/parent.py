"""A stand-in for a scheduler or a container runtime: beats each millisecond and starts processes.

``parent.py FILE``: a line of JSON on stdin ({"argv": [...], "own_session": true}) starts a child,
whose pid is the answer on stdout. FILE gets two numbers of 8 bytes: beats so far, and the longest
time between two of them in nanoseconds; whoever writes 0 over the second begins anew.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import subprocess
import sys
import time
from pathlib import Path

BEAT_S = 0.001


def main() -> None:
    """Beat until stdin ends."""
    with Path(sys.argv[1]).open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 16)
    beats, last_ns = 0, time.monotonic_ns()
    children: list[subprocess.Popen[bytes]] = []
    while True:
        now_ns = time.monotonic_ns()
        worst_ns = max(int.from_bytes(shared[8:16], "little"), now_ns - last_ns)
        beats, last_ns = beats + 1, now_ns
        shared[0:16] = beats.to_bytes(8, "little") + worst_ns.to_bytes(8, "little")
        if select.select([0], [], [], BEAT_S)[0]:
            line = sys.stdin.buffer.readline()
            if not line:
                break
            wanted = json.loads(line)
            child = subprocess.Popen(
                wanted["argv"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=wanted["own_session"],
            )
            children.append(child)
            os.write(1, b"%d\n" % child.pid)
            # Starting a process is no beat that was missed.
            last_ns = time.monotonic_ns()
        children = [child for child in children if child.poll() is None]


if __name__ == "__main__":
    main()
