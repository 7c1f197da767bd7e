"""The host's elapsed time, read alike by the gate and its sampler: their times are compared."""

from __future__ import annotations

import time

_NS_PER_MS = 1_000_000


def elapsed_ms() -> int:
    """Time since boot, suspend included, in ms.

    The larger of CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW plus the time suspended: root can slow
    the first down by adjtime, not the second (law 1). The two drift apart by seconds a day.
    """
    boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    suspended_ns = boot_ns - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    raw_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) + max(0, suspended_ns)
    return max(boot_ns, raw_ns) // _NS_PER_MS
