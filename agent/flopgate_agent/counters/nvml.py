"""Read one chip through pynvml. Runs in the sampler child only: any call here can hang.

Rule of the file: what NVML does not say, or says as a sentinel or nonsense, is ``None``. No number
is invented. Written without typing and value types, for the child's memory.

Percentages come from windows that touch: each window's last sample is the next one's first. They
count SM cycles, so what they say in time depends on the clock; the meter bounds that.

On the cumulative GPM cycles: NVML computes every GPM metric from two samples and documents these
as counts since reboot. The first sample here is taken once and kept, the second is taken anew each
time. Should a driver give the count between the two samples instead, it is still cumulative, since
the kept sample: differences between readings are right under both readings of the document.
"""

from __future__ import annotations

from time import sleep

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.counters import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

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

GONE = frozenset({"UNINITIALIZED", "DRIVER_NOT_LOADED", "GPU_IS_LOST", "RESET_REQUIRED"})
"""Errors after which nothing else that the chip says in this look is worth asking for."""

EMPTY = frozenset({"NOT_SUPPORTED", "FUNCTION_NOT_FOUND"})
"""What the chip has not: no process is in a list that it does not keep, and no MIG is on."""

READ_ATTEMPTS = 3
READ_MS = 10
"""Longer between clock and counters, and short intervals would show impossible rates."""

MAX_CLOCK_MHZ = 10_000
MAX_SAMPLE_GAP_US = 2_000_000
"""The driver samples each 1/6 s to 1 s; over a longer hole the chip counts as busy throughout."""

SENTINELS = frozenset({2**32 - 1, 2**64 - 1, 2**63 - 1, 9223372036854775794, 9223372036854775795})
"""What NVML writes for "not available" in unsigned and signed fields."""

VALUE_FIELDS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")


class GoneError(Exception):
    """The chip cannot be read at all; ``args[0]`` is NVML's name for the reason."""


def error_name(nvml: ModuleType, code: int) -> str:
    """NVML's name of an error code, without its prefix."""
    prefix = "NVML_ERROR_"
    for name in dir(nvml):
        if name.startswith(prefix) and getattr(nvml, name) == code:
            return name[len(prefix) :]
    return f"CODE_{code}"


def number(value: object, highest: int = layout.MAX_COUNTER) -> int | None:
    """Take a number from the driver: ``None`` for sentinels, negatives, NaN and the too large."""
    if not isinstance(value, (int, float)) or not 0 <= value <= highest:
        return None
    whole = int(value)
    return None if whole in SENTINELS else whole


class ChipReader:
    """One chip's handle, its two GPM samples, and where its sample buffers were read up to."""

    def __init__(
        self,
        nvml: ModuleType,
        index: int,
        clock: Callable[[], int] = elapsed_ms,
        wait: Callable[[float], None] = sleep,
    ) -> None:
        """Open the chip at NVML index ``index``; ``clock`` gives host elapsed time in ms.

        Raises:
            GoneError: NVML cannot open it or gives it no UUID.
        """
        self._nvml = nvml
        self._clock = clock
        self._wait = wait
        self.index = index
        self._trouble = ""
        self._handle = self._ask(nvml.nvmlDeviceGetHandleByIndex, index)
        uuid = None
        if self._handle is not None:
            uuid = self._text(nvml.nvmlDeviceGetUUID)
        if not uuid:
            raise GoneError(self._trouble or "NO_UUID")
        self.uuid: str = uuid
        self.gpm = self._probe_gpm()
        self._base: Any = None
        self._now: Any = None
        self._base_ms = 0
        self._metrics: Any = None
        self._counts = False
        self._shared: tuple[int, ...] | None = None
        if self.gpm:
            self._start_gpm()
        self._active_seen_us: int | None = None
        self._active_rest_us = 0
        self._active_new_ms = 0
        self._clock_seen_us = 0
        self._clock_before_mhz: int | None = None

    def identity(self) -> bytes:
        """Read and pack who this chip is.

        Raises:
            GoneError: the chip went away meanwhile.
        """
        nvml = self._nvml
        pci = self._ask(nvml.nvmlDeviceGetPciInfo_v3, self._handle)
        pdi = self._ask(nvml.nvmlDeviceGetPdi, self._handle)
        minor = number(self._ask(nvml.nvmlDeviceGetMinorNumber, self._handle), 65535)
        clock = self._ask(nvml.nvmlDeviceGetMaxClockInfo, self._handle, nvml.NVML_CLOCK_SM)
        return layout.pack_identity(
            uuid=self.uuid,
            serial=self._text(nvml.nvmlDeviceGetSerial),
            pdi=pdi if isinstance(pdi, int) and 0 < pdi < 2**64 - 1 else None,
            nvml_name=self._text(nvml.nvmlDeviceGetName) or "",
            pci_device_id=0 if pci is None else (pci.pciDeviceId >> 16) & 0xFFFF,
            index=self.index,
            minor=minor,
            max_sm_clock_mhz=number(clock, MAX_CLOCK_MHZ) or None,
            gpm=self.gpm,
            error=None,
        )

    def sample(self) -> bytes:
        """Read and pack one look at the chip. A chip that is gone gives a sample that says so."""
        self._trouble = ""
        taken_ms = self._clock()
        try:
            cycles, shares, taken_ms = self._counted()
            active_ms = self._active_ms(taken_ms)
            clocks_mhz = self._clocks_mhz()
            energy = self._ask(self._nvml.nvmlDeviceGetTotalEnergyConsumption, self._handle)
            energy_mj = number(energy)
            pids = self._pids()
            mode = self._ask(self._nvml.nvmlDeviceGetMigMode, self._handle)
        except GoneError as error:
            self._active_seen_us = None
            return failed_sample(self.uuid, taken_ms, str(error))
        seen = (cycles, shares, active_ms, clocks_mhz, energy_mj, pids)
        nothing = all(one is None for one in seen)
        if self._trouble and nothing:
            return failed_sample(self.uuid, taken_ms, self._trouble)
        return layout.pack_sample(
            uuid=self.uuid,
            taken_ms=taken_ms,
            cycles=cycles,
            shares=shares,
            kernel_active_ms=active_ms,
            sm_clocks_mhz=clocks_mhz,
            energy_mj=energy_mj,
            pids=pids,
            error=None,
            mig=self._trouble not in EMPTY if mode is None else mode[0] != 0,
        )

    def close(self) -> None:
        """Give the GPM samples back to the driver."""
        for held in (self._base, self._now):
            if held is not None:
                self._try_free(held)
        self._base = self._now = None

    def _ask(self, call: Callable[..., Any], *args: object) -> Any:
        """Call NVML; ``None`` when it refuses.

        Raises:
            GoneError: the refusal says that the chip or the driver is gone.
        """
        try:
            return call(*args)
        except UnicodeDecodeError:
            self._trouble = "NONSENSE_TEXT"
        except self._nvml.NVMLError as error:
            self._trouble = error_name(self._nvml, error.value)
            if self._trouble in GONE:
                raise GoneError(self._trouble) from None
        return None

    def _text(self, call: Callable[..., Any]) -> str | None:
        text = self._ask(call, self._handle)
        return text if isinstance(text, str) and text and text.isprintable() else None

    def _probe_gpm(self) -> bool:
        support = self._ask(self._nvml.nvmlGpmQueryDeviceSupport, self._handle)
        return support is not None and support.isSupportedDevice == 1

    def _start_gpm(self) -> None:
        nvml = self._nvml
        self._base = self._ask(nvml.nvmlGpmSampleAlloc)
        self._now = self._ask(nvml.nvmlGpmSampleAlloc)
        if self._base is None or self._now is None:
            self.close()
            return
        self._metrics = nvml.c_nvmlGpmMetricsGet_t()
        if self._ask(nvml.nvmlGpmSampleGet, self._handle, self._base) is None:
            self.close()
        self._base_ms = self._clock()

    def _try_free(self, held: object) -> None:
        try:
            self._nvml.nvmlGpmSampleFree(held)
        except self._nvml.NVMLError:
            self._trouble = "GPM_SAMPLE_FREE"

    def _counted(self) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None, int]:
        """Cycles, or else shares, and the time at which they were read."""
        if self.gpm and self._base is None:
            self._start_gpm()
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

    def _sample_at(self) -> int | None:
        """Take a GPM sample and the time together, again if the host was too busy in between."""
        attempts = READ_ATTEMPTS
        while True:
            attempts -= 1
            before_ms = self._clock()
            got = self._ask(self._nvml.nvmlGpmSampleGet, self._handle, self._now)
            after_ms = self._clock()
            if got is None:
                return None
            if after_ms - before_ms <= READ_MS or not attempts:
                return (before_ms + after_ms) // 2

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
        nvml, metrics = self._nvml, self._metrics
        metrics.version = nvml.NVML_GPM_METRICS_GET_VERSION
        metrics.numMetrics = len(metric_ids)
        metrics.sample1, metrics.sample2 = self._base, self._now
        for slot, metric_id in enumerate(metric_ids):
            metrics.metrics[slot].metricId = metric_id
            # A value left over from the call before must not pass for a new one.
            metrics.metrics[slot].nvmlReturn = nvml.NVML_ERROR_UNKNOWN
        if self._ask(nvml.nvmlGpmMetricsGet, metrics) is None:
            return None
        read = metrics.metrics[: len(metric_ids)]
        return [one.value if one.nvmlReturn == nvml.NVML_SUCCESS else None for one in read]

    def _buffer(self, kind: int, since_us: int) -> list[tuple[int, int | None]] | None:
        """Read the driver's sample buffer; ``[]`` when nothing is newer, ``None`` if unreadable."""
        try:
            value_type, raw = self._nvml.nvmlDeviceGetSamples(self._handle, kind, since_us)
        except self._nvml.NVMLError as error:
            name = error_name(self._nvml, error.value)
            if name in GONE:
                raise GoneError(name) from None
            if name == "NOT_FOUND":
                return []
            self._trouble = name
            return None
        if not 0 <= value_type < len(VALUE_FIELDS):
            return None
        field = VALUE_FIELDS[value_type]
        read = [(int(one.timeStamp), number(getattr(one.sampleValue, field))) for one in raw]
        return [one for one in read if one[0] > since_us]

    def _active_ms(self, now_ms: int) -> int | None:
        """Busy time since the look before, from the driver's utilisation buffer.

        Each sample speaks for the time since the sample before it, so looks may come at any pace.
        ``None`` while there is no sample to start from: the meter then charges the peak.
        """
        seen_us = self._active_seen_us
        read = self._buffer(self._nvml.NVML_GPU_UTILIZATION_SAMPLES, seen_us or 0)
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

    def _clocks_mhz(self) -> tuple[int, int] | None:
        """Lowest and highest SM clock since the look before: the driver's buffer, and now."""
        nvml = self._nvml
        read = self._buffer(nvml.NVML_PROCESSOR_CLK_SAMPLES, self._clock_seen_us)
        current = self._ask(nvml.nvmlDeviceGetClockInfo, self._handle, nvml.NVML_CLOCK_SM)
        current_mhz = number(current, MAX_CLOCK_MHZ)
        before_mhz, self._clock_before_mhz = self._clock_before_mhz, current_mhz
        if read is None or current_mhz is None:
            return None
        if read:
            self._clock_seen_us = read[-1][0]
        seen = [number(clock, MAX_CLOCK_MHZ) or 0 for _, clock in read]
        seen += [current_mhz, before_mhz or 0]
        return min(seen), max(seen)

    def _pids(self) -> tuple[int, ...] | None:
        """Every process with a context; ``None`` unless each list was read or is not kept."""
        nvml = self._nvml
        found: list[int] = []
        supported = False
        for call in (
            nvml.nvmlDeviceGetComputeRunningProcesses_v3,
            nvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
            nvml.nvmlDeviceGetMPSComputeRunningProcesses_v3,
        ):
            before, self._trouble = self._trouble, ""
            listed = self._ask(call, self._handle)
            refused, self._trouble = self._trouble, self._trouble or before
            if listed is None and refused not in EMPTY:
                return None
            supported = supported or listed is not None
            for process in listed or ():
                pid = number(process.pid, 2**32 - 2)
                if pid is None:
                    return None
                found.append(pid)
        unique = sorted(set(found))
        return tuple(unique) if supported and len(unique) <= layout.MAX_PIDS else None


def failed_sample(uuid: str, taken_ms: int, error: str) -> bytes:
    """Pack the sample of a chip that could not be read at all."""
    return layout.pack_sample(
        uuid=uuid,
        taken_ms=taken_ms,
        cycles=None,
        shares=None,
        kernel_active_ms=None,
        sm_clocks_mhz=None,
        energy_mj=None,
        pids=None,
        error=error,
    )
