"""What the next run of the gate in this boot is left, as things stand. Pure."""

from __future__ import annotations

from flopgate_agent.gate.carried import CarriedOver, KeptAnswer, WindingDown
from flopgate_agent.gate.core import GateCore
from flopgate_proto.values import LaneState


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
