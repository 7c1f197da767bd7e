"""What pipe cycles are worth: FLOP of each pipe, low, nominal and high. Pure.

The counters cannot tell formats apart; the three figures say how much that matters. FLOP are
executed dense FLOP, padding included. The INTEGER pipe is not counted (no FLOP), nor is what
structured sparsity skips.
"""

from __future__ import annotations

from flopgate_agent.counters.sample import PipeCycles
from flopgate_agent.measured import Flop, Pipe
from flopgate_proto.chips import ChipSpec
from flopgate_proto.quick import maker

make_flop = maker(Flop)


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
    mma, dmma, hmma, imma, dfma, _integer, _fp64, _fp32, _fp16 = moved
    return max(mma, hmma + imma + dmma, hmma + imma + dfma)


def price(moved: tuple[int, ...], spec: ChipSpec, per_count: int) -> tuple[tuple[Pipe, Flop], ...]:
    """FLOP of each pipe that worked: low, nominal and high rate of its formats."""
    mma, dmma, hmma, imma, dfma, _integer, fp64, fp32, fp16 = moved
    rates = spec.rates
    # Rates of an unknown chip are the table's highest: nothing speaks for a lower bound.
    scale = per_count, per_count if spec.known else 0
    priced: list[tuple[Pipe, Flop]] = []
    if hmma:
        low, nominal, high = rates.tensor_low, rates.half_tensor, rates.hmma_high
        priced.append((Pipe.HMMA, _worth(hmma, scale, low, nominal, high)))
    if imma:
        priced.append((Pipe.IMMA, _worth(imma, scale, rates.imma, rates.imma, rates.imma)))
    if dmma or dfma:
        worth = _worth(dmma + dfma, scale, rates.dmma, rates.dmma, rates.dmma)
        priced.append((Pipe.DMMA, worth))
    # Tensor work on none of the known pipes (FP8 and FP4 of some generation): any format.
    other = mma - hmma - imma - dmma - dfma
    if other > 0:
        low, nominal, high = rates.tensor_low, rates.half_tensor, rates.tensor_high
        priced.append((Pipe.MMA_OTHER, _worth(other, scale, low, nominal, high)))
    # An addition takes as long as a multiply-add, and is half of it.
    if fp64:
        priced.append((Pipe.FP64, _worth(fp64, scale, rates.fp64 // 2, rates.fp64, rates.fp64)))
    if fp32:
        priced.append((Pipe.FP32, _worth(fp32, scale, rates.fp32 // 2, rates.fp32, rates.fp32)))
    if fp16:
        priced.append((Pipe.FP16, _worth(fp16, scale, rates.fp16 // 2, rates.fp16, rates.fp16)))
    return tuple(priced)


def _worth(cycles: int, scale: tuple[int, int], low: int, nominal: int, high: int) -> Flop:
    """By the rates of one pipe; ``scale``: SMs that a count stands for, and for the lower bound."""
    per_count, least = scale
    counted = cycles * per_count
    return make_flop(low=cycles * least * low, nominal=counted * nominal, high=counted * high)


def ceil_div(value: int, by: int) -> int:
    """Quotient, rounded up."""
    return -(-value // by)
