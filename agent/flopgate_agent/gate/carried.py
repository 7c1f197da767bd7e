"""What a run of the gate leaves to the next one in the same boot, in memory only. Pure.

Permission is carried as the two signed statements that make it: the request, with this host's own
signature over the moment from which the lifetime counts (law 1), and the answer. Both are checked
anew; what does not hold is not carried. A permit dies with the boot.
"""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.envelope import Envelope


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
