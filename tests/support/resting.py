"""How long a GPU stood without work."""

from __future__ import annotations

import threading
import time
from typing import Self

from flopgate_sim.nvml import FakeDriver


class Resting:
    """Watches GPU 0 in ``with``.

    Attributes:
        longest_ms: the longest time for which it did no work.
    """

    def __init__(self, driver: FakeDriver) -> None:
        self.longest_ms = 0.0
        self._driver = driver
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        since, last = time.monotonic(), -1.0
        while not self._done.wait(0.01):
            work = self._driver.truth(0).total_flop
            if work != last:
                last, since = work, time.monotonic()
            self.longest_ms = max(self.longest_ms, (time.monotonic() - since) * 1000)
