"""Laws 2 and 3: escrow by ceilings, and two books.

A lane's share of a budget is the highest ceiling in force, at least its allotted total, less what
no grant of ours covers. Only a grant makes it grow; a report moves parts of it from outstanding to
settled, or gives them back. What a report calls allotted above every ceiling in force is
`ungranted`: it counts with the unaccounted book, which is never refused. So no report, whatever it
claims, brings a budget over its cap.

A grant stays outstanding until a report of its own host shows that it can add nothing more. Silence
shows nothing. A report settles a grant when it

    (a) names a newer accepted grant for the same lane, of a later sequence, or
    (b) is of the same run, and measured up to the grant's expiry or beyond, or
    (c) is of another run, and quotes an answer that we gave after the grant's expiry, clock drift
        included: permission does not outlive its run, or
    (d) retires its host: permission does not outlive its chain.

A license outlives its run, and its expiry is the gate's to know. So none of (a) to (c) settles one,
nor does any other grant cover it: only (d), or a report whose gate says that it holds another
license of its kind or none, and will never take this one again.

A reserve license is an amount on top of the highest ceiling: others' grants neither cover nor spend
it. What a report shows above every ceiling was drawn of it, of the oldest first.

(b) looks at the end of the measured interval, not at the signing: what was computed between the two
is not in the totals yet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from flopgate_governor.core.facts import Grant, LaneFacts
from flopgate_governor.core.quotes import QuoteRead
from flopgate_proto.quick import maker
from flopgate_proto.values.common import ChargedFigure
from flopgate_proto.values.reports import LaneReport, Report

make_lane_facts = maker(LaneFacts)

PPM = 1_000_000

ROUNDING_TFLOP: Final = 4
"""Two totals and two books are cut to whole teraFLOP, each for itself."""


def write_books(before: LaneFacts, lane: LaneReport) -> LaneFacts:
    """The lane with the report's totals; both books are always written, never refused (law 3)."""
    return make_lane_facts(
        workload=before.workload,
        allotted_tflop=lane.allotted_tflop,
        unaccounted_tflop=lane.unaccounted_tflop,
        total=lane.total,
        ungranted_tflop=before.ungranted_tflop + overrun_tflop(before, lane),
        grants=_drawn(before, lane),
    )


def _drawn(before: LaneFacts, lane: LaneReport) -> tuple[Grant, ...]:
    """The grants, with what the report shows above every ceiling taken off the reserves."""
    held_tflop = before.reserve_tflop
    if not held_tflop:
        return before.grants
    above_tflop = lane.allotted_tflop - (before.reach_tflop - held_tflop)
    if above_tflop <= 0:
        return before.grants
    left: list[Grant] = []
    for grant in before.grants:
        drawn_tflop = min(above_tflop, grant.held_tflop) if grant.is_reserve else 0
        above_tflop -= drawn_tflop
        left.append(_less(grant, drawn_tflop) if drawn_tflop else grant)
    return tuple(left)


def _less(grant: Grant, drawn_tflop: int) -> Grant:
    told = grant.license
    if told is not None:
        told = replace(told, told_tflop=max(0, told.told_tflop - drawn_tflop))
    return replace(grant, held_tflop=grant.held_tflop - drawn_tflop, license=told)


def overrun_tflop(before: LaneFacts, lane: LaneReport) -> int:
    """How far a report newly goes above every ceiling in force; 0 in honest life."""
    if lane.allotted_tflop == before.allotted_tflop:
        return 0
    return max(0, lane.allotted_tflop - before.reach_tflop)


def unbooked_tflop(before: LaneFacts, lane: LaneReport, figure: ChargedFigure) -> int:
    """How much more the totals of a report grew than both books; 0 in honest life (law 3)."""
    if figure is ChargedFigure.LOW:
        grown = lane.total.low_tflop - before.total.low_tflop
    else:
        grown = lane.total.nominal_tflop - before.total.nominal_tflop
    booked = lane.allotted_tflop - before.allotted_tflop
    booked += lane.unaccounted_tflop - before.unaccounted_tflop
    missing = grown - booked
    return missing if missing > ROUNDING_TFLOP else 0


def settle(lane: LaneFacts, report: Report, quote: QuoteRead, drift_ppm: int) -> LaneFacts:
    """The lane without the grants that this report shows to be over."""
    if not lane.grants:
        return lane
    accepted = next(
        (
            grant.sequence
            for grant in lane.grants
            if grant.request_digest == quote.grant and grant.license is None
        ),
        0,
    )
    kept = tuple(
        grant
        for grant in lane.grants
        if (
            not _given_up(grant, quote)
            if grant.license is not None
            else grant.sequence >= accepted and not _over(grant, report, quote, drift_ppm)
        )
    )
    return lane if len(kept) == len(lane.grants) else replace(lane, grants=kept)


def settle_all(lane: LaneFacts) -> LaneFacts:
    """The lane of a host that was retired: nothing is left that a grant could add to."""
    return replace(lane, grants=()) if lane.grants else lane


def _given_up(grant: Grant, quote: QuoteRead) -> bool:
    told = quote.reserve if grant.is_reserve else quote.license
    return (
        told is not None and told.floor >= grant.sequence and told.request != grant.request_digest
    )


def _over(grant: Grant, report: Report, quote: QuoteRead, drift_ppm: int) -> bool:
    if grant.run_nonce == report.run_nonce:
        return report.interval_end_ms >= grant.made_ms + grant.lifetime_ms
    quoted_unix_ms = quote.answer.governor_unix_ms
    if quoted_unix_ms is None:
        return False
    longest_ms = -(-grant.lifetime_ms * (PPM + drift_ppm) // PPM)
    return quoted_unix_ms >= grant.governor_unix_ms + longest_ms


def give(lane: LaneFacts, grant: Grant) -> LaneFacts:
    """The lane with one more outstanding grant; what it covers in every way is forgotten."""
    kept = tuple(old for old in lane.grants if not _covered(old, grant))
    return make_lane_facts(
        workload=lane.workload,
        allotted_tflop=lane.allotted_tflop,
        unaccounted_tflop=lane.unaccounted_tflop,
        total=lane.total,
        ungranted_tflop=lane.ungranted_tflop,
        grants=(*kept, grant),
    )


def _covered(old: Grant, new: Grant) -> bool:
    # Bounds the list: without this a host that asks every second would pile up hundreds.
    if old.license is not None or new.license is not None:
        # Settled one by one: the other may go first.
        return False
    return (
        old.run_nonce == new.run_nonce
        and old.held_tflop <= new.held_tflop
        and old.made_ms + old.lifetime_ms <= new.made_ms + new.lifetime_ms
        and old.governor_unix_ms + old.lifetime_ms <= new.governor_unix_ms + new.lifetime_ms
    )
