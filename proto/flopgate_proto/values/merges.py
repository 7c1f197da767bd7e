"""Two declared clusters that are one, or may be."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class MergeState(enum.IntEnum):
    """Where a merge stands; the first two are in force."""

    FOUND = 1
    RULED = 2
    WAITING = 3
    APART = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterMerge:
    """What an authority holds of two declared clusters.

    Attributes:
        cluster, other: as declared; ``other`` is empty where whoever is told may not know it.
        key: what hosts of both name, `fabric:UUID` or `subnet:PREFIX/LID`; or ``ruling:DIGEST``.
        why: it waits: ``custodians``, ``sites``, ``one-word`` or ``ruled-apart``; else empty.
        ends: host and sequence of the reports that it rests on, two at most.
        ruling: digest of the ruling that decided last, or empty.
    """

    authority: str
    governor_unix_ms: int
    cluster: str
    other: str
    key: str
    state: MergeState
    why: str = ""
    ends: tuple[tuple[bytes, int], ...] = ()
    ruling: bytes = b""
