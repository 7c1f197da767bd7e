"""Law 3 for hosts that say nothing: charged at their peak, in every upper bound.

A host is silent once its last report on record was made longer ago than a permit lives: what it was
permitted is over, and nobody knows what it does. Then it counts with peak x time since that report,
less what its unsettled grants hold already. When a report came proves nothing: a courier may have
kept it. It was made after the answer that it quotes, and after the report before it by as much as
the gate's clocks moved on. Nothing is written for it: the next report on record covers the
time, and takes the place of the estimate. Which lane it computes in nobody knows either: each of
its workloads is charged as if it were the one.

A host with a license is expected to say nothing: until the license ends it counts with what is held
for it, and from then on with its peak beyond that.

Sums by scope grow linearly, so they are kept as three numbers each and cost no more with ten
thousand silent hosts than with one. All of it follows from what the store says: the last report,
the chips and the grants.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

from flopgate_governor.core.account import PPM
from flopgate_governor.core.facts import Chain, HostFacts, lane_scopes
from flopgate_proto.values.reports import Report

LOOK_MS: Final = 10_000
"""The store is looked at so often, or once in the life of a permit where that is shorter: who falls
silent before the next look has reported before this one."""
_MS_FLOP_PER_TFLOP: Final = 1_000 * 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """One host that is silent from ``since_unix_ms`` on, unless it reports.

    Attributes:
        seen_unix_ms: governor time at which it was heard last, or of its admission.
        outstanding_tflop: of its unsettled grants, by scope in words.
    """

    host_id: bytes
    seen_unix_ms: int
    since_unix_ms: int
    rate_flop_per_s: int
    outstanding_tflop: dict[str, int]

    def charged_tflop(self, scope: str, unix_ms: int) -> int:
        """What it may have done in one of its scopes, beyond what it holds there."""
        done = -(-self.rate_flop_per_s * (unix_ms - self.seen_unix_ms) // _MS_FLOP_PER_TFLOP)
        return done - self.outstanding_tflop[scope]


def heard_unix_ms(
    report: Report,
    before: HostFacts,
    quoted_unix_ms: int | None,
    *,
    drift_ppm: int,
    unix_ms: int,
) -> int:
    """Governor time at which a report was made, no later.

    Args:
        report: the next one of its chain.
        before: where that chain stood.
        quoted_unix_ms: of the answer that it quotes, if that is on record.
        drift_ppm: no clock of a host runs faster or slower than by so much.
        unix_ms: governor time now.
    """
    moved_ms = 0
    # What an enrolment says of clocks is of before the admission from which the host counts.
    if before.run_nonce:
        moved_ms = report.running_ms - before.running_ms
        if report.boot_id == before.boot_id:
            moved_ms = max(moved_ms, report.made_ms - before.made_ms)
    heard_ms = before.heard_unix_ms + moved_ms * (PPM - drift_ppm) // PPM
    return min(max(heard_ms, quoted_unix_ms or 0), unix_ms)


def silent(chain: Chain, seen_unix_ms: int, rate_flop_per_s: int, after_ms: int) -> Silent:
    """How a host counts that has said nothing since ``seen_unix_ms``.

    Args:
        chain: where it stands.
        seen_unix_ms: governor time at which it was heard last.
        rate_flop_per_s: the fastest that its chips can add to the charged figure.
        after_ms: it counts as silent after so long.
    """
    host = chain.facts.host
    held: dict[str, int] = dict.fromkeys(host.scope_keys, 0)
    for workload, lane in chain.lanes.items():
        for scope in lane_scopes(host, workload):
            held[scope] = held.get(scope, 0) + lane.outstanding_tflop
    # Until then its grants hold more than its chips can do.
    held_flop_ms = held["everything"] * _MS_FLOP_PER_TFLOP
    held_ms = -(-held_flop_ms // rate_flop_per_s) if rate_flop_per_s else 0
    since_unix_ms = seen_unix_ms + max(after_ms, held_ms)
    until_unix_ms = _licensed_until_ms(chain)
    if until_unix_ms > since_unix_ms:
        # What is held counts as spent by then: nothing of it covers what comes after.
        seen_unix_ms = since_unix_ms = until_unix_ms
        held = dict.fromkeys(held, 0)
    return Silent(
        host_id=host.host_id,
        seen_unix_ms=seen_unix_ms,
        since_unix_ms=since_unix_ms,
        rate_flop_per_s=rate_flop_per_s,
        outstanding_tflop=held,
    )


def _licensed_until_ms(chain: Chain) -> int:
    """Governor time until which its licenses let it say nothing; 0 where it has none."""
    return max(
        (
            grant.license.not_after_unix_ms
            for lane in chain.lanes.values()
            for grant in lane.grants
            if grant.license is not None and not grant.license.reserve
        ),
        default=0,
    )


class Silence:
    """Who is silent, and what that comes to in each scope.

    Args:
        hosts: all that are silent, and all that can become so before the next look.
        unix_ms: governor time of the look.
        due_unix_ms: of the next one.
    """

    __slots__ = ("_counted", "_hosts", "_sums", "_waiting", "due_unix_ms")

    def __init__(self, hosts: Iterable[Silent], unix_ms: int, due_unix_ms: int) -> None:
        self.due_unix_ms = due_unix_ms
        self._hosts = {host.host_id: host for host in hosts}
        self._waiting = [(host.since_unix_ms, host.host_id) for host in self._hosts.values()]
        heapify(self._waiting)
        self._counted: set[bytes] = set()
        self._sums: dict[str, list[int]] = {}
        self.advance(unix_ms)

    def advance(self, unix_ms: int) -> None:
        """Count those who have become silent; time only goes forward."""
        while self._waiting and self._waiting[0][0] <= unix_ms:
            since_unix_ms, host_id = heappop(self._waiting)
            host = self._hosts.get(host_id)
            current = host is not None and host.since_unix_ms == since_unix_ms
            if host is not None and current and host_id not in self._counted:
                self._counted.add(host_id)
                self._add(host, 1)

    def heard(self, host_id: bytes, unix_ms: int, still: Silent | None = None) -> None:
        """A report of this host is on record; ``still`` is how silent it is, made long ago."""
        host = self._hosts.pop(host_id, None)
        if host is not None and host_id in self._counted:
            self._counted.remove(host_id)
            self._add(host, -1)
        if still is not None:
            self._hosts[host_id] = still
            heappush(self._waiting, (still.since_unix_ms, host_id))
            self.advance(unix_ms)

    def charged_tflop(self, scope: str, unix_ms: int, *, apart: bytes = b"") -> int:
        """What silence comes to in a scope; ``apart`` from one host, whose report is judged."""
        sums = self._sums.get(scope)
        if sums is None:
            return 0
        rate, rate_seen, held_tflop = sums
        own = self._hosts.get(apart)
        if own is not None and own.since_unix_ms <= unix_ms and scope in own.outstanding_tflop:
            rate -= own.rate_flop_per_s
            rate_seen -= own.rate_flop_per_s * own.seen_unix_ms
            held_tflop -= own.outstanding_tflop[scope]
        return -(-(rate * unix_ms - rate_seen) // _MS_FLOP_PER_TFLOP) - held_tflop

    def hosts(self, unix_ms: int) -> list[Silent]:
        """Who is silent now, the longest first."""
        found = [host for host in self._hosts.values() if host.since_unix_ms <= unix_ms]
        return sorted(found, key=lambda host: (host.seen_unix_ms, host.host_id))

    def _add(self, host: Silent, sign: int) -> None:
        for scope, held_tflop in host.outstanding_tflop.items():
            sums = self._sums.setdefault(scope, [0, 0, 0])
            sums[0] += sign * host.rate_flop_per_s
            sums[1] += sign * host.rate_flop_per_s * host.seen_unix_ms
            sums[2] += sign * held_tflop


NOBODY: Final = Silence((), 0, 0)
"""Where nobody is charged for silence: no policy says how long a permit lives."""
