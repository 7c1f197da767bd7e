"""What a driver shows of one chip, made by hand."""

from dataclasses import fields, replace
from typing import Final

from flopgate_agent.counters.sample import ChipSample, Instance, PipeCycles

ZERO: Final = PipeCycles(**dict.fromkeys((field.name for field in fields(PipeCycles)), 0))


def sample(
    taken_ms: int = 0,
    cycles: PipeCycles | None = ZERO,
    *,
    uuid: str = "GPU-1",
    kernel_active_ms: int | None = None,
    sm_clock_mhz: int | None = None,
    energy_mj: int | None = None,
    error: str | None = None,
    mig: bool = False,
) -> ChipSample:
    """A look that shows these and nothing else."""
    return ChipSample(
        uuid=uuid,
        taken_ms=taken_ms,
        cycles=cycles,
        kernel_active_ms=kernel_active_ms,
        sm_clock_mhz=sm_clock_mhz,
        energy_mj=energy_mj,
        pids=None,
        error=error,
        mig=mig,
    )


def instance(number: int, sm_count: int, elapsed: int, busy: int = 0) -> Instance:
    """An instance with so many cycles of its SMs counted, so many with the tensor cores at work."""
    cycles = replace(ZERO, elapsed=elapsed, active=busy, mma=busy, hmma=busy)
    return Instance(id=number, sm_count=sm_count, cycles=cycles)


def cut(taken_ms: int, *instances: Instance, full: bool = True) -> ChipSample:
    """A look at a chip that is cut into these."""
    return replace(sample(taken_ms, None, mig=True), instances=instances, full=full)
