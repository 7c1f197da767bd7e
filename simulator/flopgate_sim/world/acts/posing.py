"""What must not work: orders of one who poses as a quorum, or of a quorum for another authority."""

from __future__ import annotations

from typing import Final

from flopgate_proto.envelope import Envelope
from flopgate_sim.world.governors.officers import Officers
from flopgate_sim.world.plan import Act

POSED: Final = frozenset(
    {"rogue-resume", "mixed-resume", "rogue-cap", "rehearsed-resume", "rehearsed-cap"}
)
"""As `Act.act` names them."""


def posing(act: Act, officers: Officers, pauses: tuple[bytes, ...]) -> Envelope:
    """The order, of one of `POSED`; ``pauses``: digests of those that stand."""
    match act.act:
        case "rogue-resume":
            return officers.rogue_resume(pauses)
        case "mixed-resume":
            return officers.mixed_resume(pauses)
        case "rogue-cap":
            return officers.rogue_cap(act.within, act.cap_tflop)
        case "rehearsed-resume":
            return officers.rehearsal().resume(pauses)
        case _:
            return officers.rehearsal().cap(act.within, act.cap_tflop)
