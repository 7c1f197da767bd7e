"""What the pipes of one chip did, by GPM: cumulative cycles, or else percentages added up.

Percentages come from windows that touch: each window's last sample is the next one's first. They
count SM cycles, so what they say in time depends on the clock; the meter bounds that.

On the cumulative cycles: NVML computes every GPM metric from two samples and documents these as
counts since reboot. The first sample here is taken once and kept, the second is taken anew each
time. Should a driver give the count between the two samples instead, it is still cumulative, since
the kept sample: differences between readings are right under both readings of the document.
"""

from __future__ import annotations

from flopgate_agent.counters.nvml import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from flopgate_agent.counters.nvml import Calls

GPM_CYCLES = (248, 249, 250, 251, 252, 253, 254, 257, 258, 259, 260)
"""NVML metric ids in the order of the fields of ``PipeCycles``."""

GPM_SHARES = (2, 5, 8, 7, 9, 6, 4, 11, 12, 13)
"""Percentages of the same, but for ``elapsed``: all that older drivers give."""

GPM_DMMA = 8
"""Not in every driver; whatever ran there is in the tensor pipes' sum."""

PERCENT_MAX = 100.5
"""A quotient of two counters that are not read at one instant passes 100 a little, and is cut."""

WINDOW_MS = 100
"""Shortest time between two samples of which NVML gives percentages."""

READ_ATTEMPTS = 3
READ_MS = 10
"""Longer between clock and counters, and short intervals would show impossible rates."""


class Gpm:
    """The two GPM samples of one chip. ``supported``: whether the chip has GPM at all.

    With ``instance``, those of one GPU instance, asked by its id on the handle of the whole chip.
    """

    def __init__(
        self,
        calls: Calls,
        handle: object,
        clock: Callable[[], int],
        wait: Callable[[float], None],
        instance: int | None = None,
    ) -> None:
        self._calls = calls
        self._handle = handle
        self._instance = instance
        self._clock = clock
        self._wait = wait
        support = calls.ask(calls.nvml.nvmlGpmQueryDeviceSupport, handle)
        self.supported = support is not None and support.isSupportedDevice == 1
        self._base: Any = None
        self._now: Any = None
        self._base_ms = 0
        self._metrics: Any = None
        self._counts = False
        self._shared: tuple[int, ...] | None = None
        if self.supported:
            self._start()

    def read(self) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None, int]:
        """Cycles, or else shares, and the time at which they were read.

        Raises:
            GoneError: the chip is gone.
        """
        if self.supported and self._base is None:
            self._start()
        if self._base is None or self._now is None:
            return None, None, self._clock()
        if self._shared is None:
            taken_ms = self._sample_at()
            cycles = None if taken_ms is None else self._cycles()
            self._counts = self._counts or cycles is not None
            if taken_ms is None or self._counts:
                return cycles, None, taken_ms or self._clock()
        # Here the kept sample moves on with each look, so there is no way back to cycles.
        self._wait(max(0, self._base_ms + WINDOW_MS - self._clock()) / 1000)
        taken_ms = self._sample_at()
        return None, None if taken_ms is None else self._shares(taken_ms), taken_ms or self._clock()

    def read_cycles(self) -> tuple[int, ...] | None:
        """Cycles, or nothing: no look waits for the windows of percentages.

        Raises:
            GoneError: the chip is gone.
        """
        if self.supported and self._base is None:
            self._start()
        if self._base is None or self._now is None or self._sample_at() is None:
            return None
        return self._cycles()

    def close(self) -> None:
        """Give the samples back to the driver."""
        nvml = self._calls.nvml
        for held in (self._base, self._now):
            if held is not None:
                try:
                    nvml.nvmlGpmSampleFree(held)
                except nvml.NVMLError:
                    self._calls.trouble = "GPM_SAMPLE_FREE"
        self._base = self._now = None

    def _start(self) -> None:
        nvml, ask = self._calls.nvml, self._calls.ask
        self._base = ask(nvml.nvmlGpmSampleAlloc)
        self._now = ask(nvml.nvmlGpmSampleAlloc)
        if self._base is None or self._now is None:
            self.close()
            return
        self._metrics = nvml.c_nvmlGpmMetricsGet_t()
        if self._take(self._base) is None:
            self.close()
        self._base_ms = self._clock()

    def _sample_at(self) -> int | None:
        """Take a GPM sample and the time together, again if the host was too busy in between."""
        attempts = READ_ATTEMPTS
        while True:
            attempts -= 1
            before_ms = self._clock()
            got = self._take(self._now)
            after_ms = self._clock()
            if got is None:
                return None
            if after_ms - before_ms <= READ_MS or not attempts:
                return (before_ms + after_ms) // 2

    def _take(self, held: object) -> object:
        nvml, ask = self._calls.nvml, self._calls.ask
        if self._instance is None:
            return ask(nvml.nvmlGpmSampleGet, self._handle, held)
        return ask(nvml.nvmlGpmMigSampleGet, self._handle, self._instance, held)

    def _cycles(self) -> tuple[int, ...] | None:
        read = self._read_metrics(GPM_CYCLES)
        found = [] if read is None else [number(value) for value in read]
        whole = tuple([value for value in found if value is not None])
        return whole if len(whole) == len(GPM_CYCLES) else None

    def _shares(self, taken_ms: int) -> tuple[int, ...] | None:
        """Add the window that ends now to the busy times of all pipes."""
        span_us = (taken_ms - self._base_ms) * 1000
        read = self._read_metrics(GPM_SHARES)
        if read is None or span_us <= 0:
            return None
        busy_us = [span_us]
        for metric_id, given in zip(GPM_SHARES, read, strict=True):
            percent = 0.0 if given is None and metric_id == GPM_DMMA else given
            if percent is None or not 0 <= percent <= PERCENT_MAX:
                return None
            busy_us.append(min(span_us, int(span_us * percent / 100) + bool(percent)))
        before = self._shared or (0,) * len(busy_us)
        self._shared = tuple([total + more for total, more in zip(before, busy_us, strict=True)])
        self._base, self._now, self._base_ms = self._now, self._base, taken_ms
        return self._shared

    def _read_metrics(self, metric_ids: tuple[int, ...]) -> list[float | None] | None:
        """Metrics between the two samples; ``None`` for each that the driver does not give."""
        nvml, metrics = self._calls.nvml, self._metrics
        metrics.version = nvml.NVML_GPM_METRICS_GET_VERSION
        metrics.numMetrics = len(metric_ids)
        metrics.sample1, metrics.sample2 = self._base, self._now
        for slot, metric_id in enumerate(metric_ids):
            metrics.metrics[slot].metricId = metric_id
            # A value left over from the call before must not pass for a new one.
            metrics.metrics[slot].nvmlReturn = nvml.NVML_ERROR_UNKNOWN
        if self._calls.ask(nvml.nvmlGpmMetricsGet, metrics) is None:
            return None
        read = metrics.metrics[: len(metric_ids)]
        return [one.value if one.nvmlReturn == nvml.NVML_SUCCESS else None for one in read]
