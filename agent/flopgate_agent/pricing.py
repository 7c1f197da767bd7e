"""What pipe cycles are worth: FLOP of each pipe, low, nominal and high. Pure.

The counters cannot tell formats apart; the three figures say how much that matters. FLOP are
executed dense FLOP, padding included. The INTEGER pipe is not counted (no FLOP), nor is what
structured sparsity skips.
"""

from __future__ import annotations

from flopgate_agent.counters.sample import PipeCycles
from flopgate_agent.measured import Flop, Pipe
from flopgate_proto.chips import ChipSpec


def moved_between(before: PipeCycles, after: PipeCycles) -> tuple[int, ...]:
    """Cycles of each pipe between two samples, in the order in which `price` takes them."""
    return (
        after.mma - before.mma,
        after.dmma - before.dmma,
        after.hmma - before.hmma,
        after.imma - before.imma,
        after.dfma - before.dfma,
        after.integer - before.integer,
        after.fp64 - before.fp64,
        after.fp32 - before.fp32,
        after.fp16 - before.fp16,
    )


def tensor_cycles(moved: tuple[int, ...]) -> int:
    """Cycles of the tensor cores, which do one thing at a time, whatever name it has.

    DMMA and DFMA may be two names of one thing.
    """
    mma, dmma, hmma, imma, dfma, *_others = moved
    return max(mma, hmma + imma + max(dmma, dfma))


def price(moved: tuple[int, ...], spec: ChipSpec, per_count: int) -> tuple[tuple[Pipe, Flop], ...]:
    """FLOP of each pipe that worked: low, nominal and high rate of its formats."""
    mma, dmma, hmma, imma, dfma, _integer, fp64, fp32, fp16 = moved
    rates = spec.rates
    priced: list[tuple[Pipe, int, int, int, int]] = []
    if hmma:
        high = rates.hmma_high
        priced.append((Pipe.HMMA, hmma, rates.tensor_low, rates.half_tensor, high))
    if imma:
        priced.append((Pipe.IMMA, imma, rates.imma, rates.imma, rates.imma))
    if dmma + dfma:
        priced.append((Pipe.DMMA, dmma + dfma, rates.dmma, rates.dmma, rates.dmma))
    # Tensor work on none of the known pipes (FP8 and FP4 of some generation): any format.
    other = mma - hmma - imma - dmma - dfma
    if other > 0:
        low, nominal = rates.tensor_low, rates.half_tensor
        priced.append((Pipe.MMA_OTHER, other, low, nominal, rates.tensor_high))
    for pipe, cycles, rate in (
        (Pipe.FP64, fp64, rates.fp64),
        (Pipe.FP32, fp32, rates.fp32),
        (Pipe.FP16, fp16, rates.fp16),
    ):
        if cycles:
            # An addition takes as long as a multiply-add, and is half of it.
            priced.append((pipe, cycles, rate // 2, rate, rate))
    # Rates of an unknown chip are the table's highest: nothing speaks for a lower bound.
    least = 1 if spec.known else 0
    return tuple(
        [
            (
                pipe,
                Flop(
                    low=cycles * per_count * low * least,
                    nominal=cycles * per_count * nominal,
                    high=cycles * per_count * high,
                ),
            )
            for pipe, cycles, low, nominal, high in priced
        ]
    )


def ceil_div(value: int, by: int) -> int:
    """Quotient, rounded up."""
    return -(-value // by)
