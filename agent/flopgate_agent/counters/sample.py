"""What one look at one chip yields. Frozen values; absent means absent, never 0.

The sampler child makes these from NVML, the meter turns two of them into FLOP. All counters
are cumulative as the driver gives them; no arithmetic happens before the meter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flopgate_proto.quick import maker, quick


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipIdentity:
    """Who a chip is. Read once at start and again after a driver reload.

    Attributes:
        uuid: NVML UUID, ``GPU-...``; unique, stable across reboots.
        serial: board serial, ``None`` where the board has none.
        pdi: per-device identifier, 64 bit, ``None`` before Hopper.
        nvml_name: product name as NVML gives it.
        pci_device_id: 16-bit PCI device id (upper half of NVML's ``pciDeviceId``).
        index: NVML index at this start; for opening handles only, never an identity.
        minor: ``/dev/nvidia<minor>``.
        max_sm_clock_mhz: highest SM clock the driver allows.
        gpm: whether GPM is supported.
    """

    uuid: str
    serial: str | None
    pdi: int | None
    nvml_name: str
    pci_device_id: int
    index: int
    minor: int | None
    max_sm_clock_mhz: int | None
    gpm: bool


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class PipeCycles:
    """Cumulative GPM cycle counters (metric ids 248 to 260), since driver load, 0 to 2**63-1.

    ``elapsed`` and ``active`` are SM cycles; the rest are cycles in which that pipe was active.
    """

    elapsed: int
    active: int
    mma: int
    dmma: int
    hmma: int
    imma: int
    dfma: int
    integer: int
    fp64: int
    fp32: int
    fp16: int

    def counts(self) -> tuple[int, ...]:
        """All of them, in the order of `CYCLES`."""
        return (
            self.elapsed,
            self.active,
            self.mma,
            self.dmma,
            self.hmma,
            self.imma,
            self.dfma,
            self.integer,
            self.fp64,
            self.fp32,
            self.fp16,
        )


CYCLES: Final = (
    "elapsed",
    "active",
    "mma",
    "dmma",
    "hmma",
    "imma",
    "dfma",
    "integer",
    "fp64",
    "fp32",
    "fp16",
)
"""The names of `PipeCycles`, in their order."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One GPU instance of a chip that is cut into instances (MIG).

    Attributes:
        id: NVML's GPU instance id; another instance can have it later.
        sm_count: its SMs, by its profile, 0 to 65535.
        cycles: as of a chip, of the instance alone; ``None`` where the call failed.
    """

    id: int
    sm_count: int
    cycles: PipeCycles | None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ChipSample:
    """One chip at one moment.

    Attributes:
        uuid: the chip's NVML UUID.
        taken_ms: host elapsed time (boot clock, suspend included) when the counters were read.
        cycles: cumulative pipe cycles, ``None`` where GPM is missing or the call failed.
        shares: where there are no cycles: time for which each pipe was busy, in microseconds since
            the sampler's start, as if on all SMs at once; ``elapsed`` is all that time. Integrated
            from the driver's percentages, window after window, with no time between them.
        kernel_active_ms: time with at least one kernel resident since the sample before,
            integrated from the driver's own utilisation buffer; ``None`` where unreadable.
        sm_clock_mhz: highest SM clock seen since the sample before; ``None`` where unreadable.
        sm_clock_low_mhz: the lowest.
        energy_mj: cumulative millijoule since driver load; ``None`` where unreadable.
        pids: processes that hold a compute, graphics or MPS context; ``None`` where unreadable.
        error: NVML's error name when the chip could not be read at all (``GPU_IS_LOST``), else
            ``None``.
        mig: the chip is cut into instances, or does not say whether.
        instances: all of them; ``None`` where they cannot be read, or the chip is not cut.
        full: these leave no room on the chip for one more.
        run_s: seconds for which a driver was loaded since the chip was made, as its own black box
            has them, 0 to 2**32-2; ``None`` where unreadable.
    """

    uuid: str
    taken_ms: int
    cycles: PipeCycles | None
    kernel_active_ms: int | None
    sm_clock_mhz: int | None
    energy_mj: int | None
    pids: tuple[int, ...] | None
    error: str | None
    shares: PipeCycles | None = None
    sm_clock_low_mhz: int | None = None
    mig: bool = False
    instances: tuple[Instance, ...] | None = None
    full: bool = False
    run_s: int | None = None


make_chip_sample = maker(ChipSample)
