"""One verified report against what is known: the laws of a report, in their order.

1. The quote: are we rolled back, is it ours, is it fresh (law 4)?
2. The place in the chain: next, duplicate, gap or fork (law 4).
3. Time and totals go forward (law 4); both books are written (law 3).
4. Grants that this report shows to be over are settled (law 2).
5. Each lane that asks gets a verdict, and its ceiling is outstanding before the next is judged.
   What somebody carried here is only acknowledged, and so is a request for a license: officers
   answer it, see `core.licenses`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flopgate_governor.core import account
from flopgate_governor.core.chain import Place, check_continuity, check_end, place
from flopgate_governor.core.decide import Asked, Standing, decide, held_tflop_per_s, lifetime_ms
from flopgate_governor.core.facts import (
    RETIRED,
    Books,
    Grant,
    HostFacts,
    IssuedAnswer,
    LaneFacts,
    lane_scopes,
    make_host_facts,
)
from flopgate_governor.core.licenses import reported
from flopgate_governor.core.pauses import not_lapsed, pauses_for
from flopgate_governor.core.quotes import Numbering, QuoteRead, own_quote, read_quote
from flopgate_governor.core.silence import heard_unix_ms
from flopgate_proto.amounts import flop_text, flop_texts
from flopgate_proto.errors import MisuseError
from flopgate_proto.limits import PAUSES_MAX
from flopgate_proto.orders.held import LatchedPause
from flopgate_proto.phases import phase_at
from flopgate_proto.quick import maker, quick
from flopgate_proto.values.answers import Answer, Ceiling, Refusal, Terms, Verdict
from flopgate_proto.values.common import ChargedFigure, Finding, Severity
from flopgate_proto.values.reports import LaneReport, Report

make_answer = maker(Answer)
make_asked = maker(Asked)
make_grant = maker(Grant)
make_terms = maker(Terms)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A verified report, and what our own records say of what it names.

    Attributes:
        final: it retires its host.
        carried: somebody brought it by file: nothing that it asks for is granted.
        stored_digest: of the report on record with the same sequence.
        quoted: our record of the answer it quotes.
        proven: what came beside it proves that this answer was ours, and lost.
        disowned: what came beside it shows that a revoked key signed this answer.
        told_ms: gate running time of this host when it was told of each pause that lapses.
    """

    report: Report
    digest: bytes
    told_ms: Mapping[bytes, int]
    final: bool = False
    carried: bool = False
    stored_digest: bytes | None = None
    quoted: IssuedAnswer | None = None
    proven: bool = False
    disowned: bool = False


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """What one report changes; ``answer`` is ``None`` for a duplicate and a gap.

    Attributes:
        place: where the report stands.
        host, lanes: new facts; the lanes that the report names.
        told: pauses that lapse, and that this answer names for the first time.
    """

    place: Place
    host: HostFacts
    lanes: tuple[LaneFacts, ...] = ()
    answer: Answer | None = None
    findings: tuple[Finding, ...] = ()
    told: tuple[bytes, ...] = ()


make_exchanged = maker(Exchanged)


def exchange(
    arrived: Arrived,
    *,
    authority: str,
    host: HostFacts,
    lanes: Mapping[str, LaneFacts],
    books: Books,
    standing: Standing,
    pauses: tuple[LatchedPause, ...],
    numbering: Numbering,
) -> Exchanged:
    """Judge one report. ``books`` is moved only when the report goes on record.

    ``standing`` is halted if any report of the same transaction shows a rollback.

    Raises:
        HistoryError: evidence against the host; nothing was changed.
        MalformedError: it cannot be judged; nothing was changed.
        ForgedError: it quotes what nothing shows to be ours; nothing was changed.
        MisuseError: it shows a rollback, and ``standing`` is not halted.
    """
    report = arrived.report
    where = place(report, arrived.digest, host, arrived.stored_digest)
    if where is Place.DUPLICATE:
        return make_exchanged(place=where, host=host)
    own = own_quote(report, authority)
    quote = read_quote(
        own,
        host,
        arrived.quoted,
        numbering,
        proven=arrived.proven,
        disowned=arrived.disowned,
    )
    if where is Place.GAP:
        return make_exchanged(place=where, host=host)
    if quote.rolled_back and standing.halt is None:
        raise MisuseError("judged before its transaction was halted", code="exchange.not-halted")
    in_force: tuple[LatchedPause, ...] = ()
    if pauses:
        workloads = [lane.workload for lane in report.lanes]
        in_force = pauses_for(pauses, host.host.scopes, workloads)
    if in_force:
        in_force = not_lapsed(in_force, report.running_ms, arrived.told_ms, standing.unix_ms)
    check_end(report, host, final=arrived.final, paused=bool(in_force))
    check_continuity(report, host, lanes)
    reported.check_floors(host, quote)
    written, findings = _write(
        report, quote, host=host, lanes=lanes, books=books, standing=standing
    )
    if arrived.final:
        _settle_all(written, lanes, host=host, books=books)
    terms = _terms(host, standing)
    verdicts = _judge(
        arrived,
        quote,
        host=host,
        lanes=written,
        books=books,
        standing=standing,
        pauses=in_force,
        terms=terms,
    )
    granted = any(isinstance(verdict.outcome, Ceiling) for verdict in verdicts)
    return make_exchanged(
        place=where,
        host=_advanced(host, arrived, quote, standing),
        lanes=tuple(written.values()),
        answer=make_answer(
            authority=authority,
            host_id=report.host_id,
            request_digest=arrived.digest,
            run_nonce=report.run_nonce,
            acknowledged_sequence=report.sequence,
            acknowledged_head=arrived.digest,
            governor_unix_ms=standing.unix_ms,
            scopes=host.host.answer_scopes,
            pauses=tuple(held.digest for held in in_force[:PAUSES_MAX]),
            policy_version=0 if standing.policy is None else standing.policy.version,
            verdicts=verdicts,
            terms=terms if granted else None,
        ),
        findings=findings,
        told=tuple(
            held.digest
            for held in in_force
            if held.lapse_ms is not None and held.digest not in arrived.told_ms
        ),
    )


def _write(
    report: Report,
    quote: QuoteRead,
    *,
    host: HostFacts,
    lanes: Mapping[str, LaneFacts],
    books: Books,
    standing: Standing,
) -> tuple[dict[str, LaneFacts], tuple[Finding, ...]]:
    policy = standing.policy
    drift_ppm = 0 if policy is None else policy.drift_ppm
    figure = ChargedFigure.LOW if policy is None else policy.charged_figure
    written: dict[str, LaneFacts] = {}
    findings: list[Finding] = []
    for lane in report.lanes:
        before = lanes.get(lane.workload) or LaneFacts(workload=lane.workload)
        over = account.overrun_tflop(before, lane)
        if over:
            findings.append(_overrun(lane, before, over))
        missing = account.unbooked_tflop(before, lane, figure)
        if missing:
            findings.append(_unbooked(lane, missing))
        after = account.settle(account.write_books(before, lane), report, quote, drift_ppm)
        books.move(lane_scopes(host.host, lane.workload), before, after)
        written[lane.workload] = after
    findings += reported.findings(report, quote, host, lanes)
    return written, tuple(findings)


def _settle_all(
    written: dict[str, LaneFacts],
    lanes: Mapping[str, LaneFacts],
    *,
    host: HostFacts,
    books: Books,
) -> None:
    """Lanes that the last report names, and those of before that it leaves out."""
    for workload, before in ({**lanes, **written}).items():
        after = account.settle_all(before)
        if after is not before:
            books.move(lane_scopes(host.host, workload), before, after)
            written[workload] = after


def _overrun(lane: LaneReport, before: LaneFacts, over_tflop: int) -> Finding:
    allotted, most = flop_texts(lane.allotted_tflop, before.reach_tflop)
    return Finding(
        id="lane.overrun",
        severity=Severity.ALERT,
        subject=lane.workload,
        detail=f"allotted {allotted}, {flop_text(over_tflop)} above the highest ceiling in force, "
        f"{most}",
    )


def _unbooked(lane: LaneReport, missing_tflop: int) -> Finding:
    return Finding(
        id="lane.unbooked",
        severity=Severity.ALERT,
        subject=lane.workload,
        detail=f"totals grew by {flop_text(missing_tflop)} more than both books",
    )


def _judge(
    arrived: Arrived,
    quote: QuoteRead,
    *,
    host: HostFacts,
    lanes: dict[str, LaneFacts],
    books: Books,
    standing: Standing,
    pauses: tuple[LatchedPause, ...],
    terms: Terms | None,
) -> tuple[Verdict, ...]:
    """Verdicts in the order asked; ``lanes`` and ``books`` hold each ceiling before the next."""
    report = arrived.report
    if report.request is None:
        return ()
    if report.request.license is not None:
        return reported.stale_verdicts(report.request) if quote.stale else ()
    if arrived.carried:
        return ()
    by_workload = {lane.workload: lane for lane in report.lanes}
    barred = _DISOWNED if quote.disowned else bare_chips(report, host)
    if barred is not None:
        return tuple(
            Verdict(workload=lane.workload, outcome=barred) for lane in report.request.lanes
        )
    verdicts = []
    for wanted in report.request.lanes:
        facts = lanes[wanted.workload]
        verdict = decide(
            make_asked(
                lane=by_workload[wanted.workload],
                facts=facts,
                headroom_tflop=wanted.headroom_tflop,
            ),
            host=host,
            pauses=pauses,
            stale=quote.stale,
            books=books,
            standing=standing,
        )
        verdicts.append(verdict)
        policy = standing.policy
        if isinstance(verdict.outcome, Ceiling) and terms is not None and policy is not None:
            grant = make_grant(
                request_digest=arrived.digest,
                sequence=report.sequence,
                made_ms=report.made_ms,
                run_nonce=report.run_nonce,
                lifetime_ms=terms.lifetime_ms,
                held_tflop=verdict.outcome.ceiling_tflop,
                governor_unix_ms=standing.unix_ms,
                rate_tflop_per_s=held_tflop_per_s(
                    host.host, by_workload[wanted.workload].chips, policy.capacity_basis
                ),
            )
            held = account.give(facts, grant)
            books.move(lane_scopes(host.host, wanted.workload), facts, held)
            lanes[wanted.workload] = held
    return tuple(verdicts)


_DISOWNED: Final = Refusal(
    reason="quote.revoked",
    detail="the answer that was quoted is under a key that officers have revoked",
    way_back="Ask again with this answer: it goes on by itself.",
)


def bare_chips(report: Report, host: HostFacts) -> Refusal | None:
    """A chip in no lane is charged to nobody and stopped by nobody: nothing is granted (law 3)."""
    in_lanes = {chip for lane in report.lanes for chip in lane.chips}
    bare = len(host.host.chips) - len(in_lanes)
    if not bare:
        return None
    return Refusal(
        reason="host.chips-bare",
        detail=f"{bare} of {len(host.host.chips)} chips are in no lane",
        way_back="Put every chip of the host into a lane of its gate.toml.",
    )


def _terms(host: HostFacts, standing: Standing) -> Terms | None:
    policy = standing.policy
    if policy is None:
        return None
    exempt = host.host.cluster not in standing.covered
    longest_ms = lifetime_ms(policy, exempt=exempt)
    # Longer than the lifetime no gate takes either: nothing of its answer would count.
    return make_terms(
        lifetime_ms=longest_ms,
        wind_down_ms=min(policy.wind_down_ms, longest_ms),
        # Exempt hosts ask as often: a cluster that grows is covered within one renewal.
        renew_after_ms=min(policy.renew_after_ms, longest_ms),
        exempt=exempt,
        phase=phase_at(policy.phases, host.host.scopes, standing.unix_ms),
    )


def _advanced(host: HostFacts, arrived: Arrived, quote: QuoteRead, standing: Standing) -> HostFacts:
    report, policy = arrived.report, standing.policy
    newer = quote.answer.batch_number > host.quoted.batch_number
    told = report.topology is not None
    return make_host_facts(
        host=host.host,
        sequence=report.sequence,
        head=arrived.digest,
        run_nonce=report.run_nonce,
        boot_id=report.boot_id,
        made_ms=report.made_ms,
        running_ms=report.running_ms,
        topology_sequence=report.sequence if told else host.topology_sequence,
        issued=host.issued,
        quoted=quote.answer if newer and not quote.rolled_back else host.quoted,
        license=quote.license,
        reserve=quote.reserve,
        spent_counter=reported.counter_of(report, host),
        refused_reason=RETIRED if arrived.final else host.refused_reason,
        heard_unix_ms=heard_unix_ms(
            report,
            host,
            quote.answer.governor_unix_ms,
            drift_ppm=0 if policy is None else policy.drift_ppm,
            unix_ms=standing.unix_ms,
        ),
    )
