"""Licenses: what officers approved, within policy, for one host's request. Pure.

A license is an answer to a report that asks for one, judged as a permit is (`core.decide`), with
the span and the headroom that officers approved. Refusals of its own, in the order of their rules:

    license.unasked, license.reserve, license.span, license.given-up, host.chips-bare,
    and those of `core.decide`

What is held for it is outstanding until a report gives it up (`core.account`), whatever the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flopgate_governor.core import account
from flopgate_governor.core.decide import (
    Asked,
    LicenseBounds,
    Standing,
    decide,
    held_tflop,
    held_tflop_per_s,
    rate_flop_per_s,
)
from flopgate_governor.core.exchange import bare_chips
from flopgate_governor.core.facts import (
    Books,
    Grant,
    HostFacts,
    LaneFacts,
    Licensed,
    lane_scopes,
)
from flopgate_governor.core.licenses.approvals import Approved
from flopgate_proto.amounts import span_text
from flopgate_proto.limits import COUNT_MAX, PAUSES_MAX
from flopgate_proto.orders.held import LatchedPause
from flopgate_proto.phases import phase_at
from flopgate_proto.values.answers import Answer, Ceiling, Refusal, Terms, Verdict
from flopgate_proto.values.common import SingleUse
from flopgate_proto.values.licenses import LICENSE_STEP_MS, LicenseTerms
from flopgate_proto.values.reports import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedLicense:
    """A report on record that asks for a license.

    Attributes:
        report, digest: of the request.
        stale: it quoted an answer that is older than one of an earlier report.
        single_use: what stands behind law 5 on this host.
    """

    report: Report
    digest: bytes
    stale: bool
    single_use: SingleUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What one host gets. ``terms`` is ``None`` where no lane was given anything.

    ``held_tflop``: from budgets, by lane in the order of the verdicts, above what was spent.
    """

    verdicts: tuple[Verdict, ...]
    terms: Terms | None
    held_tflop: tuple[int, ...]
    lanes: Mapping[str, LaneFacts]


def judge(
    asked: AskedLicense,
    approved: Approved,
    *,
    host: HostFacts,
    lanes: Mapping[str, LaneFacts],
    books: Books,
    standing: Standing,
    pauses: tuple[LatchedPause, ...],
) -> Decided:
    """Judge one host's request; ``books`` is moved by what is given.

    Args:
        asked: the request.
        approved: by officers.
        host: where its chain stands now.
        lanes: of the host.
        books: moved.
        standing: of now.
        pauses: in force for this host.
    """
    request = asked.report.request
    wanted = () if request is None else request.lanes
    outright = _refused(asked, approved, host)
    if outright is not None:
        return Decided(
            verdicts=tuple(Verdict(workload=one.workload, outcome=outright) for one in wanted),
            terms=None,
            held_tflop=(0,) * len(wanted),
            lanes=lanes,
        )
    terms = _terms(asked, approved, host, standing)
    after = dict(lanes)
    verdicts: list[Verdict] = []
    held: list[int] = []
    reported = {lane.workload: lane for lane in asked.report.lanes}
    for one in wanted:
        lane = reported[one.workload]
        facts = after.get(one.workload) or LaneFacts(workload=one.workload)
        bounds = LicenseBounds(
            span_ms=terms.lifetime_ms,
            highest_tflop=min(
                lane.allotted_tflop + min(one.headroom_tflop, approved.headroom_tflop), COUNT_MAX
            ),
            single_use=asked.single_use,
            reserve=approved.approval.reserve,
        )
        verdict = decide(
            Asked(lane=lane, facts=facts, headroom_tflop=one.headroom_tflop, license=bounds),
            host=host,
            pauses=pauses,
            stale=asked.stale,
            books=books,
            standing=standing,
        )
        verdicts.append(verdict)
        held.append(0)
        if isinstance(verdict.outcome, Ceiling):
            rate = rate_flop_per_s(host.host, lane.chips, approved.policy.charged_figure)
            told_tflop, from_tflop = verdict.outcome.ceiling_tflop, facts.allotted_tflop
            if bounds.reserve:
                told_tflop, from_tflop = told_tflop - lane.allotted_tflop, 0
            grant = Grant(
                request_digest=asked.digest,
                sequence=asked.report.sequence,
                made_ms=asked.report.made_ms,
                run_nonce=asked.report.run_nonce,
                lifetime_ms=terms.lifetime_ms,
                held_tflop=held_tflop(rate, from_tflop, told_tflop, bounds),
                governor_unix_ms=standing.unix_ms,
                rate_tflop_per_s=held_tflop_per_s(
                    host.host, lane.chips, approved.policy.capacity_basis
                ),
                license=Licensed(
                    told_tflop=told_tflop,
                    not_after_unix_ms=approved.approval.not_after_unix_ms,
                    single_use=asked.single_use,
                    reserve=approved.approval.reserve,
                ),
            )
            given = account.give(facts, grant)
            books.move(lane_scopes(host.host, one.workload), facts, given)
            after[one.workload] = given
            held[-1] = grant.held_tflop - from_tflop
    granted = any(isinstance(verdict.outcome, Ceiling) for verdict in verdicts)
    return Decided(
        verdicts=tuple(verdicts),
        terms=terms if granted else None,
        held_tflop=tuple(held),
        lanes=after,
    )


def answer_to(
    asked: AskedLicense,
    decided: Decided,
    *,
    authority: str,
    host: HostFacts,
    pauses: tuple[LatchedPause, ...],
    standing: Standing,
) -> Answer:
    """The license as an answer: it acknowledges the request and all before it."""
    return Answer(
        authority=authority,
        host_id=asked.report.host_id,
        request_digest=asked.digest,
        run_nonce=asked.report.run_nonce,
        acknowledged_sequence=asked.report.sequence,
        acknowledged_head=asked.digest,
        governor_unix_ms=standing.unix_ms,
        scopes=host.host.answer_scopes,
        pauses=tuple(held.digest for held in pauses[:PAUSES_MAX]),
        policy_version=0 if standing.policy is None else standing.policy.version,
        verdicts=decided.verdicts,
        terms=decided.terms,
    )


def _terms(asked: AskedLicense, approved: Approved, host: HostFacts, standing: Standing) -> Terms:
    policy, approval = approved.policy, approved.approval
    request = asked.report.request
    wish = None if request is None else request.license
    # What is too short was refused before.
    span_ms = approval.span_ms if wish is None else min(approval.span_ms, wish.span_ms)
    return Terms(
        lifetime_ms=span_ms,
        wind_down_ms=policy.wind_down_ms,
        renew_after_ms=policy.renew_after_ms,
        exempt=host.host.cluster not in standing.covered,
        phase=phase_at(policy.phases, host.host.scopes, standing.unix_ms),
        license=LicenseTerms(
            approval=approved.digest,
            step_ms=min(policy.license_step_ms or LICENSE_STEP_MS, span_ms),
            single_use=asked.single_use,
        ),
    )


def _refused(asked: AskedLicense, approved: Approved, host: HostFacts) -> Refusal | None:
    report = asked.report
    wish = None if report.request is None else report.request.license
    if wish is None:
        return Refusal(
            reason="license.unasked",
            detail=f"report {report.sequence} asks for no license",
            way_back="The host asks for one.",
        )
    if wish.reserve is not approved.approval.reserve:
        return Refusal(
            reason="license.reserve",
            detail="a reserve was asked for, and the approval is for licenses"
            if wish.reserve
            else "a license was asked for, and the approval is for reserves",
            way_back="Ask for what is to be approved: `flopgate-agent license request`, with "
            "--reserve or without.",
        )
    least_ms = max(approved.policy.wind_down_ms, approved.policy.renew_after_ms)
    if wish.span_ms < least_ms:
        return Refusal(
            reason="license.span",
            detail=f"a span of {span_text(wish.span_ms)} was asked for, to wind down or renew "
            f"takes {span_text(least_ms)}",
            way_back="Ask for a longer span.",
        )
    told = host.licensed(reserve=wish.reserve)
    floor = 0 if told is None else told.floor
    if report.sequence <= floor:
        return Refusal(
            reason="license.given-up",
            detail=f"the gate takes no license for a report up to {floor} any more",
            way_back="Ask anew.",
        )
    return bare_chips(report, host)
