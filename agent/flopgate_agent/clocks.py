"""The host's elapsed time and its boot, read alike by all that compare them."""

from __future__ import annotations

import time

_NS_PER_MS = 1_000_000
BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id"


def elapsed_ms() -> int:
    """Time since boot, suspend included, in ms.

    The larger of CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW plus the time suspended: root can slow
    the first down by adjtime, not the second (law 1). The two drift apart by seconds a day.
    """
    boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    suspended_ns = boot_ns - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    raw_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) + max(0, suspended_ns)
    return max(boot_ns, raw_ns) // _NS_PER_MS


def read_boot_id() -> bytes:
    """16 bytes that differ from boot to boot."""
    with open(BOOT_ID_PATH, encoding="ascii") as file:  # noqa: PTH123  # quicker than pathlib
        return bytes.fromhex(file.read().strip().replace("-", ""))
