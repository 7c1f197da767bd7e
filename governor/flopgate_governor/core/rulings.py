"""What officers decide about a chain and its books (laws 3 and 4): adoption, closure, relief. Pure.

* A history that is given up costs what it could have used: every unsettled ceiling counts as spent,
  and what it reported stays in the books.
* A chain that is closed is charged at the peak for the time since its last report.
* A relief takes off the unaccounted book what evidence shows, never more than a lane holds there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flopgate_governor.core.decide import rate_flop_per_s, reach_tflop
from flopgate_governor.core.facts import (
    CLOSED,
    ENDED,
    Books,
    Chain,
    Host,
    HostFacts,
    IssuedAnswer,
    LaneFacts,
    lane_scopes,
)
from flopgate_proto.amounts import flop_texts
from flopgate_proto.errors import HistoryError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.orders.works import UNDECLARED
from flopgate_proto.values.common import ChargedFigure
from flopgate_proto.values.orders import Relief
from flopgate_proto.values.reports import LaneReport, Report


def spend_all(chain: Chain, books: Books) -> dict[str, LaneFacts]:
    """The lanes with every unsettled ceiling spent, and moved in the books."""
    spent: dict[str, LaneFacts] = {}
    for workload, lane in chain.lanes.items():
        after = replace(
            lane, allotted_tflop=lane.allotted_tflop + lane.outstanding_tflop, grants=()
        )
        books.move(lane_scopes(chain.facts.host, workload), lane, after)
        spent[workload] = after
    return spent


def close(
    chain: Chain, books: Books, *, silent_ms: int, figure: ChargedFigure
) -> tuple[HostFacts, dict[str, LaneFacts]]:
    """The chain, ended; ``silent_ms`` since its last report are charged at the peak."""
    host = chain.facts.host
    lanes = spend_all(chain, books)
    # Nobody knows what it would have run.
    rate = rate_flop_per_s(host, tuple(range(len(host.chips))), figure)
    before = lanes.get(UNDECLARED) or LaneFacts(workload=UNDECLARED)
    silent_tflop = reach_tflop(rate, max(0, silent_ms))
    after = replace(before, unaccounted_tflop=before.unaccounted_tflop + silent_tflop)
    books.move(lane_scopes(host, UNDECLARED), before, after)
    lanes[UNDECLARED] = after
    ended = {workload: _countable(lane) for workload, lane in lanes.items()}
    return replace(chain.facts, refused_reason=CLOSED), ended


def _countable(lane: LaneFacts) -> LaneFacts:
    """A lane as it can be kept: its host may have told the highest count already."""
    return replace(
        lane,
        allotted_tflop=min(lane.allotted_tflop, COUNT_MAX),
        unaccounted_tflop=min(lane.unaccounted_tflop, COUNT_MAX),
    )


def check_closable(facts: HostFacts) -> None:
    """Refuse to close what is over.

    Raises:
        HistoryError: the chain has ended.
    """
    if facts.refused_reason in ENDED:
        raise HistoryError(
            f"the chain of host {facts.host.host_id.hex()[:16]} has ended: {facts.refused_reason}",
            code="closure.ended",
        )


def check_adoptable(facts: HostFacts) -> None:
    """Refuse to adopt a head where no evidence closed the chain.

    Raises:
        HistoryError: the chain is open, or has ended for good.
    """
    if not facts.refused_reason or facts.refused_reason in ENDED:
        raise HistoryError(
            f"the chain of host {facts.host.host_id.hex()[:16]} is not closed on evidence",
            code="adoption.not-closed",
        )


def adopt_own(
    chain: Chain, books: Books, *, added_tflop: Mapping[str, int]
) -> tuple[HostFacts, dict[str, LaneFacts]]:
    """The chain goes on from what is on record; what the other history added is charged."""
    spend_all(chain, books)
    _charge(chain.facts.host, added_tflop, books)
    # What the totals say stays true: the spent ceilings lie in the books beside them.
    lanes = {workload: replace(lane, grants=()) for workload, lane in chain.lanes.items()}
    return replace(chain.facts, refused_reason=""), lanes


def adopt_other(
    chain: Chain,
    head: Report,
    digest: bytes,
    quoted: IssuedAnswer,
    books: Books,
    *,
    added_tflop: Mapping[str, int],
) -> tuple[HostFacts, dict[str, LaneFacts]]:
    """The chain goes on from a report of the other history, and what that added is charged.

    Args:
        chain: what is on record.
        head: the report of the other history.
        digest: of that report.
        quoted: the answer that it quotes, as all after it may until they hear a newer one.
        books: moved.
        added_tflop: of the other history, see `added`.
    """
    spend_all(chain, books)
    _charge(chain.facts.host, added_tflop, books)
    # Of a workload that only the history on record knows, the other one may begin at nothing.
    lanes = {workload: LaneFacts(workload=workload) for workload in chain.lanes}
    for told in head.lanes:
        lanes[told.workload] = LaneFacts(
            workload=told.workload,
            allotted_tflop=told.allotted_tflop,
            unaccounted_tflop=told.unaccounted_tflop,
            total=told.total,
            ungranted_tflop=told.allotted_tflop,
        )
    host = replace(chain.facts.host, enrolled_sequence=head.sequence)
    facts = HostFacts(
        host=host,
        sequence=head.sequence,
        head=digest,
        run_nonce=head.run_nonce,
        boot_id=head.boot_id,
        made_ms=head.made_ms,
        running_ms=head.running_ms,
        issued=quoted,
        quoted=quoted,
        spent_counter=chain.facts.spent_counter,
        # It was made no earlier than the answer that it quotes; the other history tells no more.
        heard_unix_ms=min(
            chain.facts.heard_unix_ms, quoted.governor_unix_ms or chain.facts.heard_unix_ms
        ),
    )
    return facts, lanes


def added(head: Report, before: Report | None) -> dict[str, int]:
    """What a report of another history counted, by workload, since the one that both follow.

    Both histories were computed: by two machines, or by one before and after its disk was put back.
    ``before`` is ``None`` where the parting is not on record: then all of it was added.
    """
    parted = {} if before is None else {lane.workload: _counted(lane) for lane in before.lanes}
    return {
        lane.workload: max(0, _counted(lane) - parted.get(lane.workload, 0)) for lane in head.lanes
    }


def _counted(lane: LaneReport) -> int:
    return lane.allotted_tflop + lane.unaccounted_tflop


def _charge(host: Host, added_tflop: Mapping[str, int], books: Books) -> None:
    for workload, tflop in added_tflop.items():
        before = LaneFacts(workload=workload)
        after = LaneFacts(workload=workload, unaccounted_tflop=tflop)
        books.move(lane_scopes(host, workload), before, after)


def relieve(
    order: Relief,
    host: Host,
    lanes: Mapping[str, LaneFacts],
    relieved_tflop: int,
    books: Books,
) -> None:
    """Take a relief off the books over its lane.

    Args:
        order: what officers signed.
        host: whose lane it is.
        lanes: of the host, by workload.
        relieved_tflop: of this lane, taken off before or never counted here.
        books: moved.

    Raises:
        HistoryError: the lane's unaccounted book does not hold so much.
    """
    lane = lanes.get(order.workload) or LaneFacts(workload=order.workload)
    scopes = lane_scopes(host, order.workload)
    left = lane.unaccounted_tflop - relieved_tflop
    if order.amount_tflop > left:
        rest, asked = flop_texts(max(0, left), order.amount_tflop)
        raise HistoryError(
            f"{rest} of {order.workload} on host {host.host_id.hex()[:16]} count here without a "
            f"grant and are not relieved yet, {asked} were asked for",
            code="relief.amount",
            remedy="Sign a relief of at most what is there.",
        )
    before = LaneFacts(workload=order.workload, unaccounted_tflop=order.amount_tflop)
    books.move(scopes, before, LaneFacts(workload=order.workload))
