"""Which fault comes next, where, and what it should lead to: all from one seed."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flopgate_proto.amounts import counted
from flopgate_sim.live.network import LOSS_PERCENT, Trouble
from flopgate_sim.world.nature.randomness import Streams

CALM_S = (2.0, 4.0)


class Kind(enum.Enum):
    """What is done; values are those of the command line."""

    CUT = "cut"
    ONE_WAY = "one-way"
    LOSS = "loss"
    GOVERNOR_KILL = "governor-kill"
    HOST_KILL = "host-kill"


TROUBLES = {
    Kind.CUT: (Trouble.CUT,),
    Kind.ONE_WAY: (Trouble.UP, Trouble.DOWN),
    Kind.LOSS: (Trouble.LOSS,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        racks: numbers of the racks that it hits; empty for the governor.
        trouble: of their cables, where it is the network's.
        calm_s: how long all is left in peace before it.
    """

    kind: Kind
    racks: tuple[int, ...]
    trouble: Trouble | None
    calm_s: float

    @property
    def title(self) -> str:
        """What happens."""
        where = f"rack {', '.join(map(str, self.racks))}"
        match self.kind, self.trouble:
            case Kind.GOVERNOR_KILL, _:
                return "kill -9 of the governor, started again at once"
            case Kind.HOST_KILL, _:
                return f"kill -9 of every gate and courier of {where}, started again at once"
            case _, Trouble.UP:
                return f"one-way loss: nothing that {where} sends arrives"
            case _, Trouble.DOWN:
                return f"one-way loss: nothing that is sent to {where} arrives"
            case _, Trouble.LOSS:
                return f"random loss: of 100 packets {LOSS_PERCENT} of {where} are lost, each way"
            case _:
                return f"cut: links of {where} are down"

    def expected(self, hosts: int, lifetime_s: float) -> str:
        """What should follow; ``hosts`` are those that it hits."""
        match self.kind:
            case Kind.GOVERNOR_KILL:
                return "nothing acknowledged is lost, and no host stops"
            case Kind.HOST_KILL:
                return (
                    f"{counted(hosts, 'host')} without a permit: each goes on with its chain, asks "
                    "again and runs; what its GPUs did meanwhile is charged"
                )
            case Kind.LOSS:
                return (
                    "exchanges are tried again; who is not answered in time stops by itself,"
                    " nobody works beyond a permit"
                )
            case _:
                return (
                    f"{counted(hosts, 'host')} out of reach: each stops by itself within "
                    f"{lifetime_s:.0f} s, the others run on"
                )


def schedule(kinds: Sequence[Kind], racks: int, seed: int) -> Iterator[Fault]:
    """Faults without end: every kind once, in some order, then all again."""
    streams = Streams(seed)
    order, where, which, calm = map(streams.of, ("order", "where", "which", "calm"))
    while kinds:
        for kind in order.sample(kinds, len(kinds)):
            hit: tuple[int, ...] = ()
            if kind is not Kind.GOVERNOR_KILL:
                # One rack stays whole where there are several: that it runs on can be seen.
                count = where.randint(1, max(1, racks - 1))
                hit = tuple(sorted(where.sample(range(racks), count)))
            trouble = which.choice(TROUBLES[kind]) if kind in TROUBLES else None
            yield Fault(kind=kind, racks=hit, trouble=trouble, calm_s=calm.uniform(*CALM_S))
