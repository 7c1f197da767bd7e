"""What another policy would have done with reports on record: judged again, one after the other.

Each request is decided as it would have been, against books that hold only what this policy would
have let be computed. What a host did beyond its replayed ceiling it would not have done: it counts
as stopped, and in no book. Up to its first request in the span a lane keeps what it held. Left out
are pauses, rollbacks, silence, requests for licenses, and that a host that is stopped asks for
something else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from flopgate_governor.core import account
from flopgate_governor.core.decide import Asked, Standing, decide, held_tflop_per_s, lifetime_ms
from flopgate_governor.core.facts import Books, Grant, HostFacts, LaneFacts, lane_scopes
from flopgate_proto.values.answers import Refusal
from flopgate_proto.values.orders import Policy
from flopgate_proto.values.reports import LaneReport, LaneRequest, Report


@dataclass(slots=True)
class Outcome:
    """What the span comes to in one cluster, in TFLOP and in requests."""

    granted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    done_tflop: int = 0
    stopped_tflop: int = 0
    unaccounted_tflop: int = 0


@dataclass(slots=True)
class _Lane:
    """A lane under the other policy, beside what its reports said last."""

    facts: LaneFacts
    reported: LaneReport
    asked: bool = False


class Replay:
    """One span of reports under one policy.

    Args:
        policy: that judges.
        standing: what else holds, as for any batch.
        books: totals at the beginning of the span, by scope in words.
    """

    def __init__(self, policy: Policy, standing: Standing, books: Books) -> None:
        self.books = books
        self.outcomes: dict[str, Outcome] = {}
        self._policy = policy
        self._standing = standing
        self._lanes: dict[tuple[bytes, str], _Lane] = {}

    def feed(self, host: HostFacts, report: Report, unix_ms: int) -> None:
        """The next report, as it went on record at this time of the governor's."""
        outcome = self.outcomes.setdefault(host.host.cluster, Outcome())
        for lane in report.lanes:
            self._spend(host, report, lane, outcome)
        if report.request is None or not _asks(report):
            return
        standing = replace(self._standing, unix_ms=unix_ms)
        for wanted in report.request.lanes:
            self._ask(host, report, wanted, standing, outcome)

    def _spend(self, host: HostFacts, report: Report, lane: LaneReport, outcome: Outcome) -> None:
        key = (report.host_id, lane.workload)
        known = self._lanes.get(key)
        if known is None:
            # The first report of the span says only where it began.
            facts = LaneFacts(
                workload=lane.workload,
                allotted_tflop=lane.allotted_tflop,
                ungranted_tflop=lane.allotted_tflop,
                unaccounted_tflop=lane.unaccounted_tflop,
            )
            self._lanes[key] = _Lane(facts=facts, reported=lane)
            return
        grown_tflop = max(0, lane.allotted_tflop - known.reported.allotted_tflop)
        gap_tflop = max(0, lane.unaccounted_tflop - known.reported.unaccounted_tflop)
        facts = known.facts
        may_tflop = grown_tflop
        if known.asked:
            alive = [
                g for g in facts.grants if report.interval_start_ms < g.made_ms + g.lifetime_ms
            ]
            may_tflop = min(grown_tflop, replace(facts, grants=tuple(alive)).outstanding_tflop)
        after = replace(
            facts,
            allotted_tflop=facts.allotted_tflop + may_tflop,
            unaccounted_tflop=facts.unaccounted_tflop + gap_tflop,
            grants=() if _asks(report) else facts.grants,
        )
        self.books.move(lane_scopes(host.host, lane.workload), facts, after)
        known.facts, known.reported = after, lane
        outcome.done_tflop += may_tflop
        outcome.stopped_tflop += grown_tflop - may_tflop
        outcome.unaccounted_tflop += gap_tflop

    def _ask(
        self,
        host: HostFacts,
        report: Report,
        wanted: LaneRequest,
        standing: Standing,
        outcome: Outcome,
    ) -> None:
        known = self._lanes[report.host_id, wanted.workload]
        known.asked = True
        verdict = decide(
            Asked(lane=known.reported, facts=known.facts, headroom_tflop=wanted.headroom_tflop),
            host=host,
            pauses=(),
            stale=False,
            books=self.books,
            standing=standing,
        )
        if isinstance(verdict.outcome, Refusal):
            outcome.refused[verdict.outcome.reason] += 1
            return
        outcome.granted += 1
        exempt = host.host.cluster not in standing.covered
        grant = Grant(
            request_digest=b"",
            sequence=report.sequence,
            made_ms=report.made_ms,
            run_nonce=report.run_nonce,
            lifetime_ms=lifetime_ms(self._policy, exempt=exempt),
            held_tflop=verdict.outcome.ceiling_tflop,
            governor_unix_ms=standing.unix_ms,
            rate_tflop_per_s=held_tflop_per_s(
                host.host, known.reported.chips, self._policy.capacity_basis
            ),
        )
        held = account.give(known.facts, grant)
        self.books.move(lane_scopes(host.host, wanted.workload), known.facts, held)
        known.facts = held


def _asks(report: Report) -> bool:
    """Whether it asks for a permit."""
    return report.request is not None and report.request.license is None
