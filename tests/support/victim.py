"""A process to be stopped: ``victim.py KIND FILE``; it beats in a mapped file while it runs.

Slot i of FILE is the 8 bytes at 8*i, little endian: a monotonic time, so that a running writer
always changes it. Kinds: ``spin`` (slot 0, no pause), ``beat`` (slot 0), ``family`` (slot 0 the
root; 1 a child; 2 one in a session of its own; 3 an orphan; 4 one that ignores SIGTERM and
SIGHUP; pids in slots 9 to 12), ``storm`` (all in slot 0; never stops forking), ``listen``
(slot 1 counts SIGUSR1), ``crowd:N`` (root and N-1 sleeping children; slot 0 the root),
``headless`` (the main thread has exited, another beats in slot 0).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import threading
import time
from pathlib import Path

SLOTS = 16
PID_SLOTS = 8
BEAT_S = 0.001
MAX_LIVING = 12


def put(shared: mmap.mmap, slot: int, value: int) -> None:
    """Write one slot."""
    shared[8 * slot : 8 * slot + 8] = value.to_bytes(8, "little")


def beat(shared: mmap.mmap, slot: int, pause_s: float = BEAT_S) -> None:
    """Beat for ever."""
    while True:
        put(shared, slot, time.monotonic_ns())
        if pause_s:
            time.sleep(pause_s)


def child(shared: mmap.mmap, slot: int) -> None:
    """Fork a child that beats in ``slot``."""
    if os.fork() == 0:
        if slot == 2:
            os.setsid()
        if slot == 3 and os.fork():
            os._exit(0)
        if slot == 4:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        put(shared, PID_SLOTS + slot, os.getpid())
        beat(shared, slot)


def family(shared: mmap.mmap) -> None:
    """Fork one child of each sort, then beat."""
    for slot in (1, 2, 3, 4):
        child(shared, slot)
    beat(shared, 0)


def storm(shared: mmap.mmap) -> None:
    """Fork children that fork a grandchild each and die, for ever; at most a few at a time."""
    living: set[int] = set()
    while True:
        pid = os.fork()
        if pid == 0:
            os.fork()
            for _ in range(20):
                put(shared, 0, time.monotonic_ns())
                time.sleep(BEAT_S)
            os._exit(0)
        living.add(pid)
        while len(living) >= MAX_LIVING:
            living.discard(os.wait()[0])


def listen(shared: mmap.mmap) -> None:
    """Count SIGUSR1 in slot 1."""
    count = 0

    def note(_signum: int, _frame: object) -> None:
        nonlocal count
        count += 1
        put(shared, 1, count)

    signal.signal(signal.SIGUSR1, note)
    beat(shared, 0)


def headless(shared: mmap.mmap) -> None:
    """Exit the main thread alone: the process is shown as a zombie and computes on."""
    threading.Thread(target=beat, args=(shared, 0)).start()
    number = {"x86_64": 60, "aarch64": 93}[os.uname().machine]
    ctypes.CDLL(None).syscall(number, 0)


def crowd(shared: mmap.mmap, size: int) -> None:
    """Fork sleeping children, then beat."""
    for _ in range(size - 1):
        if os.fork() == 0:
            while True:
                time.sleep(3600)
    beat(shared, 0)


def main() -> None:
    """Run one kind."""
    kind, _, number = sys.argv[1].partition(":")
    with Path(sys.argv[2]).open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 8 * SLOTS)
    if kind == "spin":
        beat(shared, 0, 0)
    elif kind == "beat":
        beat(shared, 0)
    elif kind == "crowd":
        crowd(shared, int(number))
    else:
        {"family": family, "storm": storm, "listen": listen, "headless": headless}[kind](shared)


if __name__ == "__main__":
    main()
