"""Somebody with root who keeps waking a held job: ``accomplice.py TRICK PID FOLDER``.

Tricks: ``continue`` (SIGCONT), ``thaw`` (``cgroup.freeze`` of its cgroup in the hierarchy at
FOLDER), ``move`` (out of that to the root of the hierarchy). It is no kin of the job, has no device
open, and ends when killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

PAUSE_S = 0.002


def main() -> None:
    """Try, again and again."""
    trick, pid, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    while True:
        with suppress(OSError):
            match trick:
                case "continue":
                    os.kill(pid, signal.SIGCONT)
                case "thaw":
                    path = Path(f"/proc/{pid}/cgroup").read_text().rpartition("0::")[2].strip()
                    if path != "/":
                        Path(f"{folder}{path}/cgroup.freeze").write_text("0")
                case _:
                    (folder / "cgroup.procs").write_text(str(pid))
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
