"""Law 5: what a report shows of the licenses that its gate holds.

A gate tells, of licenses and of reserves, the sequence up to which it takes none any more but the
one that it holds: these floors never go back. What else does not fit is a finding for people (law
10): more spent than a license allows, more of its span used than it has, less used than was told
before, a license that is not on record, or a counter of the TPM that went back.
"""

from __future__ import annotations

from collections.abc import Mapping

from flopgate_governor.core.facts import Grant, HostFacts, LaneFacts
from flopgate_governor.core.quotes import QuoteRead
from flopgate_proto.amounts import flop_texts
from flopgate_proto.errors import HistoryError
from flopgate_proto.values.answers import Refusal, Verdict
from flopgate_proto.values.common import Finding, Severity
from flopgate_proto.values.licenses import LicenseQuote
from flopgate_proto.values.reports import LaneReport, Report, Request


def check_floors(facts: HostFacts, quote: QuoteRead) -> None:
    """Check that a gate takes no license any more that it gave up.

    Raises:
        HistoryError: a floor went back.
    """
    if quote.license is not None or facts.license is not None:
        _check_floor(facts.license, quote.license)
    if quote.reserve is not None or facts.reserve is not None:
        _check_floor(facts.reserve, quote.reserve)


def _check_floor(known: LicenseQuote | None, told: LicenseQuote | None) -> None:
    before = 0 if known is None else known.floor
    after = 0 if told is None else told.floor
    if after < before:
        raise HistoryError(
            f"the floor of its licenses went back from {before} to {after}",
            code="license.floor-back",
            remedy="Officers decide what stands; nothing is granted until then.",
        )


def findings(
    report: Report,
    quote: QuoteRead,
    facts: HostFacts,
    lanes: Mapping[str, LaneFacts],
) -> list[Finding]:
    """What does not fit; ``facts`` and ``lanes`` are of before the report."""
    found = [
        finding
        for lane in report.lanes
        if (before := lanes.get(lane.workload)) is not None
        and (finding := _overspent(lane, before)) is not None
    ]
    for told, known in ((quote.license, facts.license), (quote.reserve, facts.reserve)):
        if told is not None and told.request:
            found += _used(told, known, lanes)
    if report.tpm is not None and report.tpm.spent_counter < facts.spent_counter:
        found.append(
            _alert(
                "license.counter-back",
                "tpm",
                f"the TPM's counter of reservations went back from {facts.spent_counter} to "
                f"{report.tpm.spent_counter}",
            )
        )
    return found


def counter_of(report: Report, facts: HostFacts) -> int:
    """Highest count of the TPM's reservations that was ever told."""
    told = 0 if report.tpm is None else report.tpm.spent_counter
    return max(told, facts.spent_counter)


def stale_verdicts(request: Request) -> tuple[Verdict, ...]:
    """A request for a license that quotes an old answer is refused at once (law 4)."""
    refusal = Refusal(
        reason="quote.stale",
        detail="an answer was quoted that is older than one of an earlier report",
        way_back="Ask again with the newest answer that was accepted.",
    )
    return tuple(Verdict(workload=lane.workload, outcome=refusal) for lane in request.lanes)


def _overspent(lane: LaneReport, before: LaneFacts) -> Finding | None:
    """Above what a gate was told, though what is held for its license covers it."""
    if lane.allotted_tflop == before.allotted_tflop:
        return None
    if all(grant.license is None for grant in before.grants):
        return None
    ceilings = [_told_tflop(grant) for grant in before.grants if not grant.is_reserve]
    reserves = [_told_tflop(grant) for grant in before.grants if grant.is_reserve]
    told_tflop = max([before.allotted_tflop, *ceilings]) + sum(reserves)
    if not told_tflop < lane.allotted_tflop <= before.reach_tflop:
        return None
    allotted, told = flop_texts(lane.allotted_tflop, told_tflop)
    return _alert(
        "license.overspent",
        lane.workload,
        f"allotted {allotted}, the highest ceiling told was {told}",
    )


def _told_tflop(grant: Grant) -> int:
    return grant.held_tflop if grant.license is None else grant.license.told_tflop


def _used(
    told: LicenseQuote, before: LicenseQuote | None, lanes: Mapping[str, LaneFacts]
) -> list[Finding]:
    used_ms = before.used_ms if before is not None and before.request == told.request else 0
    found = []
    spans = [
        grant.lifetime_ms
        for lane in lanes.values()
        for grant in lane.grants
        if grant.license is not None and grant.request_digest == told.request
    ]
    if not spans and (before is None or before.request != told.request):
        found.append(
            _alert(
                "license.unknown",
                "license",
                f"license {told.request.hex()[:16]} is held, and none like it is on record",
            )
        )
    if told.used_ms < used_ms:
        found.append(
            _alert(
                "license.used-back",
                "license",
                f"of license {told.request.hex()[:16]} {used_ms} ms were used, now {told.used_ms}",
            )
        )
    if spans and used_ms <= max(spans) < told.used_ms:
        found.append(
            _alert(
                "license.overused",
                "license",
                f"of license {told.request.hex()[:16]} {told.used_ms} ms are used, its span is "
                f"{max(spans)}",
            )
        )
    return found


def _alert(id_: str, subject: str, detail: str) -> Finding:
    return Finding(id=id_, severity=Severity.ALERT, subject=subject, detail=detail)
