"""What is due without the gate: one pure function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flopgate_agent.gate.terms import SILENT_MS_MIN, LaneTerm, Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be done at this moment.

    Attributes:
        gate: the gate lives and is silent for too long: end it, for what it does later would be
            done on knowledge of long ago.
        freeze: lanes whose processes must stand.
        kill: lanes on whose chips nobody may be left but what stands proven still.
    """

    gate: bool
    freeze: tuple[LaneTerm, ...]
    kill: tuple[LaneTerm, ...]


NOTHING: Final = Due(gate=False, freeze=(), kill=())


def due(terms: Terms, now_ms: int, *, gate_lives: bool, unchanged_ms: int) -> Due:
    """What the terms ask for.

    Args:
        terms: as the gate renewed them last.
        now_ms: host elapsed time.
        gate_lives: whether its process is there.
        unchanged_ms: for how long both have been as they are, by a clock that stands while the
            host is suspended: both sides wake together, and the gate has had no time yet.
    """
    # A clock before the last renewal tells no time: nothing is left that may be waited for.
    lost = now_ms < terms.renewed_ms
    overdue = any(now_ms >= lane.kill_at_ms for lane in terms.lanes if not lane.still)
    late = lost or overdue or now_ms >= terms.renewed_ms + terms.silent_ms
    silent = gate_lives and late and unchanged_ms >= SILENT_MS_MIN
    if not terms.lanes or (gate_lives and not silent):
        return NOTHING
    kill = tuple(lane for lane in terms.lanes if lost or now_ms >= lane.kill_at_ms)
    freeze = tuple(lane for lane in terms.lanes if lane not in kill and now_ms >= lane.freeze_at_ms)
    return Due(gate=silent, freeze=freeze, kill=kill)
