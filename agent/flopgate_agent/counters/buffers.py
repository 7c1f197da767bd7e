"""What the driver's own sample buffers say of one chip since the look before: busy time, clocks."""

from __future__ import annotations

from flopgate_agent.counters.nvml import GONE, VALUE_FIELDS, GoneError, error_name, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flopgate_agent.counters.nvml import Calls

MAX_CLOCK_MHZ = 10_000
MAX_SAMPLE_GAP_US = 2_000_000
"""The driver samples each 1/6 s to 1 s; over a longer hole the chip counts as busy throughout."""


class Buffers:
    """Where the sample buffers of one chip were read up to."""

    def __init__(self, calls: Calls, handle: object) -> None:
        self._calls = calls
        self._handle = handle
        self._active_seen_us: int | None = None
        self._active_rest_us = 0
        self._active_new_ms = 0
        self._clock_seen_us = 0
        self._clock_before_mhz: int | None = None

    def lost(self) -> None:
        """The chip was gone: what the buffer says next has no beginning."""
        self._active_seen_us = None

    def active_ms(self, now_ms: int) -> int | None:
        """Busy time since the look before, from the driver's utilisation buffer.

        Each sample speaks for the time since the sample before it, so looks may come at any pace.
        ``None`` while there is no sample to start from: the meter then charges the peak.

        Raises:
            GoneError: the chip is gone.
        """
        seen_us = self._active_seen_us
        read = self._read(self._calls.nvml.NVML_GPU_UTILIZATION_SAMPLES, seen_us or 0)
        # Stamps are wall time: set back, nothing looks newer for long. That is unknown, not idle.
        stale = now_ms - self._active_new_ms > MAX_SAMPLE_GAP_US // 1000
        if read is None or (not read and (seen_us is None or stale)):
            self._active_seen_us = None
            return None
        if not read:
            return 0
        self._active_new_ms = now_ms
        self._active_seen_us = read[-1][0]
        if seen_us is None:
            self._active_rest_us = 0
            return None
        busy = self._active_rest_us
        for stamp_us, percent in read:
            if percent is None or percent > 100 or stamp_us < seen_us:  # noqa: PLR2004
                self._active_rest_us = 0
                return None
            span_us = stamp_us - seen_us
            busy += span_us if span_us > MAX_SAMPLE_GAP_US else -(-span_us * percent // 100)
            seen_us = stamp_us
        self._active_rest_us = busy % 1000
        return busy // 1000

    def clocks_mhz(self) -> tuple[int, int] | None:
        """Lowest and highest SM clock since the look before: the driver's buffer, and now.

        Raises:
            GoneError: the chip is gone.
        """
        nvml = self._calls.nvml
        read = self._read(nvml.NVML_PROCESSOR_CLK_SAMPLES, self._clock_seen_us)
        current = self._calls.ask(nvml.nvmlDeviceGetClockInfo, self._handle, nvml.NVML_CLOCK_SM)
        current_mhz = number(current, MAX_CLOCK_MHZ)
        before_mhz, self._clock_before_mhz = self._clock_before_mhz, current_mhz
        if read is None or current_mhz is None:
            return None
        if read:
            self._clock_seen_us = read[-1][0]
        seen = [number(clock, MAX_CLOCK_MHZ) or 0 for _, clock in read]
        seen += [current_mhz, before_mhz or 0]
        return min(seen), max(seen)

    def _read(self, kind: int, since_us: int) -> list[tuple[int, int | None]] | None:
        """Read one buffer; ``[]`` when nothing is newer, ``None`` if unreadable."""
        nvml = self._calls.nvml
        try:
            value_type, raw = nvml.nvmlDeviceGetSamples(self._handle, kind, since_us)
        except nvml.NVMLError as error:
            name = error_name(nvml, error.value)
            if name in GONE:
                raise GoneError(name) from None
            if name == "NOT_FOUND":
                return []
            self._calls.trouble = name
            return None
        if not 0 <= value_type < len(VALUE_FIELDS):
            return None
        field = VALUE_FIELDS[value_type]
        read = [(int(one.timeStamp), number(getattr(one.sampleValue, field))) for one in raw]
        return [one for one in read if one[0] > since_us]
