"""Law 4: one history. Where a verified report stands in its host's chain.

next       sequence one above the head, and it names the head: it goes on record
duplicate  on record already: the stored answer is sent again
gap        ahead of the head: the sender is told where the chain goes on
fork       on record is another report with this sequence, or with this head: evidence
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from flopgate_governor.core.facts import CLOSED, ENDED, HostFacts, LaneFacts
from flopgate_proto.errors import HistoryError, MalformedError, PeerError
from flopgate_proto.values.common import Figures
from flopgate_proto.values.reports import Report


class Place(enum.Enum):
    """Where a report stands; a fork is an error, not a place."""

    NEXT = enum.auto()
    DUPLICATE = enum.auto()
    GAP = enum.auto()


def place(report: Report, digest: bytes, facts: HostFacts, stored_digest: bytes | None) -> Place:
    """Where a report stands.

    Args:
        report: verified.
        digest: its identity.
        facts: of its host.
        stored_digest: of the report on record with the same sequence, ``None`` if there is none.

    Raises:
        HistoryError: a fork: the host signed two histories.
        MalformedError: from before this authority followed the chain.
    """
    if report.sequence > facts.sequence + 1:
        return Place.GAP
    if report.sequence == facts.sequence + 1:
        if report.previous != facts.head:
            raise _fork(
                report,
                f"it follows {report.previous.hex()[:16]}, on record is {facts.head.hex()[:16]}",
            )
        return Place.NEXT
    if report.sequence <= facts.host.enrolled_sequence:
        raise MalformedError(
            f"report {report.sequence} is from before the enrolment at "
            f"{facts.host.enrolled_sequence}",
            code="report.before-enrolment",
        )
    if digest != stored_digest:
        on_record = stored_digest.hex()[:16] if stored_digest else "nothing"
        raise _fork(report, f"it is {digest.hex()[:16]}, on record is {on_record}")
    return Place.DUPLICATE


def _fork(report: Report, difference: str) -> HistoryError:
    return HistoryError(
        f"report {report.sequence} is of another history: {difference}",
        code="report.forked",
        remedy="Officers decide which history stands; nothing is granted until then.",
    )


def check_end(report: Report, facts: HostFacts, *, final: bool, paused: bool) -> None:
    """Check that nothing follows the end of a chain, and that this one may end now.

    Raises:
        HistoryError: the host was retired, and reports again.
        PeerError: it cannot retire before officers have done their part.
    """
    if facts.refused_reason == CLOSED:
        raise HistoryError(
            f"report {report.sequence} of a host whose chain was closed at {facts.sequence}",
            code="report.after-closure",
            remedy="Enrol the host anew, with a key of its own.",
        )
    if facts.refused_reason in ENDED:
        raise HistoryError(
            f"report {report.sequence} of a host that was retired by report {facts.sequence}",
            code="report.after-retirement",
            remedy="Enrol the host anew, with a key of its own.",
        )
    if not final:
        return
    if facts.refused_reason:
        raise PeerError(
            f"the chain of this host was closed on evidence: {facts.refused_reason}",
            code="retirement.closed",
            remedy="Officers decide which history stands before the host can retire.",
        )
    if paused:
        raise PeerError(
            "a pause is in force for this host: retired, nothing would hold it",
            code="retirement.paused",
            remedy="Officers lift the pause first.",
        )


def check_continuity(report: Report, facts: HostFacts, lanes: Mapping[str, LaneFacts]) -> None:
    """Check that time and running totals did not go back since the report before.

    Raises:
        HistoryError: one of them did, or a run of the gate came back.
        MalformedError: a lane names a chip that was not enrolled.
    """
    if report.boot_id == facts.boot_id and report.made_ms < facts.made_ms:
        raise _backwards("made_ms", facts.made_ms, report.made_ms)
    _check_run(report, facts, lanes)
    if report.running_ms < facts.running_ms:
        raise _backwards("running_ms", facts.running_ms, report.running_ms)
    chips = len(facts.host.chips)
    for lane in report.lanes:
        if max(lane.chips, default=-1) >= chips:
            raise MalformedError(
                f"lane {lane.workload!r} names chip {max(lane.chips)}, {chips} are enrolled",
                code="report.chip-unknown",
            )
        before = lanes.get(lane.workload)
        if before is None:
            continue
        if lane.allotted_tflop < before.allotted_tflop:
            raise _backwards("allotted_tflop", before.allotted_tflop, lane.allotted_tflop)
        if lane.unaccounted_tflop < before.unaccounted_tflop:
            raise _backwards("unaccounted_tflop", before.unaccounted_tflop, lane.unaccounted_tflop)
        if _smaller(lane.total, before.total):
            raise _backwards("total", before.total.high_tflop, lane.total.high_tflop)


def _check_run(report: Report, facts: HostFacts, lanes: Mapping[str, LaneFacts]) -> None:
    """A run of the gate ends for good: its grants expire by the clock of its own boot (law 2)."""
    if report.run_nonce == facts.run_nonce:
        returned = report.boot_id != facts.boot_id
    else:
        runs = {grant.run_nonce for lane in lanes.values() for grant in lane.grants}
        returned = report.run_nonce in runs
    if returned:
        raise HistoryError(
            f"run {report.run_nonce.hex()} of the gate had ended, or goes on in another boot",
            code="report.run-returned",
            remedy="Officers decide what stands; nothing is granted until then.",
        )


def _smaller(after: Figures, before: Figures) -> bool:
    return (
        after.low_tflop < before.low_tflop
        or after.nominal_tflop < before.nominal_tflop
        or after.high_tflop < before.high_tflop
    )


def _backwards(name: str, before: int, after: int) -> HistoryError:
    return HistoryError(
        f"{name} went back from {before} to {after}",
        code="report.backwards",
        remedy="Officers decide what stands; nothing is granted until then.",
    )
