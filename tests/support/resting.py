"""How long a GPU stood without work."""

from __future__ import annotations

import time

from flopgate_sim.nvml import FakeDriver


def longest_rest_ms(driver: FakeDriver, span_s: float) -> float:
    """Longest time for which GPU 0 did no work, over a while."""
    since = time.monotonic()
    end, rest_ms, last = since + span_s, 0.0, -1.0
    while time.monotonic() < end:
        work = driver.truth(0).total_flop
        if work != last:
            last, since = work, time.monotonic()
        rest_ms = max(rest_ms, (time.monotonic() - since) * 1000)
        time.sleep(0.01)
    return rest_ms
