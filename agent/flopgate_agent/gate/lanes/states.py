"""States of a lane, and how they follow each other.

Laws that this table serves (DESIGN section 3):

* Law 1: from every state in which work may run, time alone leads to FROZEN; from FROZEN only
  verified stillness leads to HALTED, and time alone leads to a kill.
* Law 6: permission is asked again at every step into RUNNING or EXEMPT, never remembered. A phase
  looser than `enforce` leads there too, and is worked out anew at every step.
* Law 8: a fault leads to FROZEN from everywhere, without wind-down.

    HALTED ------- permission ------> RUNNING or EXEMPT
    HALTED ------- activity, new process -------> FROZEN
    RUNNING, EXEMPT -- permission ends --> WINDING_DOWN
    RUNNING, EXEMPT -- emergency, fault --> FROZEN
    WINDING_DOWN -- renewed -------> RUNNING or EXEMPT
    WINDING_DOWN -- time or FLOP used up --> FROZEN
    FROZEN ------- stillness verified -------> HALTED
    FROZEN ------- permission ------> RUNNING or EXEMPT

Everything else is a bug in the gate and raises ``MisuseError``.

`RUNGS` says which rungs of the enforcement ladder stand in each state besides the freeze and the
kill, which are acts upon processes. What stands stays up to RUNNING or EXEMPT; a kill that was
needed brings `SLOW` before HALTED does.
"""

from __future__ import annotations

import enum
from typing import Final

from flopgate_proto.errors import MisuseError
from flopgate_proto.values import LaneState

H, R, W, F, E = (
    LaneState.HALTED,
    LaneState.RUNNING,
    LaneState.WINDING_DOWN,
    LaneState.FROZEN,
    LaneState.EXEMPT,
)

NEXT: Final[dict[LaneState, frozenset[LaneState]]] = {
    H: frozenset({R, E, F}),
    R: frozenset({W, F, E}),
    E: frozenset({W, F, R}),
    W: frozenset({R, E, F}),
    F: frozenset({H, R, E}),
}

MAY_COMPUTE: Final = frozenset({R, E, W})
"""States in which work may run."""


class Rung(enum.Enum):
    """What is done to the chips of a lane."""

    DENY = enum.auto()
    """Nobody begins: whoever started in the wind-down would only be frozen with the others."""
    SLOW = enum.auto()
    """Not before stillness: queues that drain at a tenth of the clock would not drain in time."""


RUNGS: Final[dict[LaneState, frozenset[Rung]]] = {
    R: frozenset(),
    E: frozenset(),
    W: frozenset({Rung.DENY}),
    F: frozenset({Rung.DENY}),
    H: frozenset({Rung.DENY, Rung.SLOW}),
}


def check_step(old: LaneState, new: LaneState) -> LaneState:
    """The new state, if the table has this step.

    Raises:
        MisuseError: it does not.
    """
    if new not in NEXT[old]:
        raise MisuseError(f"lane from {old.name} to {new.name}", code="gate.state.step")
    return new
