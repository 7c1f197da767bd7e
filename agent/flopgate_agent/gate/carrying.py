"""What a run of the gate leaves to the next one in the same boot, in memory only. Pure.

Permission is carried as the two signed statements that make it: the request, with this host's own
signature over the moment from which the lifetime counts (law 1), and the answer. Both are checked
anew; what does not hold is not carried. A permit dies with the boot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.envelope import Envelope
from flopgate_proto.values import LaneState

if TYPE_CHECKING:
    from flopgate_agent.gate.core import GateCore


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """The answer of one authority that rules, and the report with the request that it answers.

    ``unseen``: digests of pauses that an answer named and that have not arrived.
    """

    authority: str
    report: Envelope
    proven: ProvenAnswer
    unseen: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindingDown:
    """A lane that was given until ``freeze_at_ms``, host elapsed time, to write a checkpoint."""

    workload: str
    freeze_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedOver:
    """All of it; empty where nothing is permitted."""

    answers: tuple[KeptAnswer, ...] = ()
    winding_down: tuple[WindingDown, ...] = ()


def kept_of(core: GateCore) -> CarriedOver:
    """What the next run needs, as things stand; nothing where none may be permitted again."""
    if core.chain.ended:
        return CarriedOver()
    answers = []
    for authority in core.authorities.values():
        if authority.last_answer is not None:
            report, proven = authority.last_answer
            unseen = tuple(sorted(authority.unseen_pauses))
            answers.append(
                KeptAnswer(authority=authority.name, report=report, proven=proven, unseen=unseen)
            )
    winding_down = tuple(
        WindingDown(workload=lane.workload, freeze_at_ms=at_ms)
        for lane in core.lanes.values()
        if lane.state is LaneState.WINDING_DOWN and (at_ms := lane.get_timer()) is not None
    )
    return CarriedOver(answers=tuple(answers), winding_down=winding_down)
