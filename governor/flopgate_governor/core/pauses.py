"""Pauses in force: which concern whom, and when one lapses (law 6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flopgate_proto.envelope import Envelope
from flopgate_proto.values.common import Scope, ScopeKind
from flopgate_proto.values.orders import Pause


@dataclass(frozen=True, slots=True, kw_only=True)
class LatchedPause:
    """A pause in force, since ``accepted_unix_ms`` of our own time.

    ``confirmed``: a quorum said that it does not lapse. ``signers``: key ids.
    """

    accepted_unix_ms: int
    digest: bytes
    pause: Pause
    envelope: Envelope
    confirmed: bool = False
    signers: frozenset[str] = frozenset()

    @property
    def lapse_ms(self) -> int | None:
        """Gate running time after which it lapses; ``None`` never."""
        return None if self.confirmed else self.pause.lapse_ms

    def suspected(self, revoked: frozenset[str]) -> bool:
        """Whether only revoked keys stand behind it: no quorum confirmed it."""
        return not self.confirmed and bool(self.signers) and self.signers <= revoked


def pauses_for(
    pauses: tuple[LatchedPause, ...], scopes: Iterable[Scope], workloads: Iterable[str]
) -> tuple[LatchedPause, ...]:
    """Those that match a host's scopes or one of its workloads."""
    named = set(scopes) | {Scope(ScopeKind.WORKLOAD, workload) for workload in workloads}
    return tuple(held for held in pauses if held.pause.scope in named)


def concerns_host(pause: Pause, facts_scopes: Iterable[Scope]) -> bool:
    """Whether a host is told: a workload can turn up on any host, so everyone is told of those."""
    return pause.scope.kind is ScopeKind.WORKLOAD or pause.scope in set(facts_scopes)


def not_lapsed(
    pauses: tuple[LatchedPause, ...], running_ms: int, told_ms: dict[bytes, int], unix_ms: int
) -> tuple[LatchedPause, ...]:
    """Those whose lapse has not passed.

    Args:
        pauses: in force for a host.
        running_ms: gate running time now.
        told_ms: gate running time when the host was told of each.
        unix_ms: our own time.
    """
    return tuple(
        held
        for held in pauses
        if held.lapse_ms is None
        or running_ms < told_ms.get(held.digest, running_ms) + held.lapse_ms
        or unix_ms < held.accepted_unix_ms + held.lapse_ms
    )
