"""What must hold before a license is installed or a reserve opened (SPEC: licenses)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.authorities.license import Asked, License
from flopgate_agent.gate.authorities.permit_bounds import alone_covered
from flopgate_agent.gate.authorities.told_time import ToldTime
from flopgate_agent.gate.lanes.allowance import NEXT_LICENSE
from flopgate_agent.gate.lanes.asking import drain_ms_of
from flopgate_agent.gate.reports.answers import check_batch
from flopgate_agent.gate.settings import GateSettings
from flopgate_proto.amounts import flop_texts, span_text
from flopgate_proto.batches import ProvenAnswer, VerifiedAnswer, verify_answer
from flopgate_proto.codec import PayloadType, decode_answer, decode_opening
from flopgate_proto.envelope import Envelope, verify
from flopgate_proto.errors import ForgedError, HistoryError, MisdirectedError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.orders.held import lapsed
from flopgate_proto.values import (
    Answer,
    Ceiling,
    LicenseApproval,
    LicenseState,
    Policy,
    Refusal,
    SingleUse,
)
from flopgate_proto.values.licenses import LICENSE_STEP_MS

_ITS_FILE: Final = "Install what was made for this host's newest `flopgate-agent license request`."
_HEADROOM: Final = "a headroom of"
_BEYOND: Final = "The authority's online key grants more than its officers allow: tell them."


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseFile:
    """One host's part of a license file: the proven answer, and what officers signed."""

    host_id: bytes
    authority: str
    proven: ProvenAnswer
    approval: Envelope
    orders: tuple[Envelope, ...] = ()


def check_addressed(found: LicenseFile, authority: Authority, host_id: bytes) -> Asked:
    """Before anything is taken from the file: it is for a request of this chain that still waits.

    Raises:
        MisdirectedError: for another host, or for a request that this gate never made.
        HistoryError: installed already, or given back or used before.
        MalformedError: cannot be parsed.
    """
    answer = decode_answer(found.proven.payload)
    if host_id not in {found.host_id} & {answer.host_id}:
        raise MisdirectedError(
            f"this license is for host {answer.host_id.hex()[:12]}, this is {host_id.hex()[:12]}",
            code="license.host",
            remedy="Take it to the host that `flopgate-agent license show` names.",
        )
    standings = [desk.standing for desk in authority.desks]
    held = [one.license.request for one in standings if one.license is not None]
    if answer.request_digest in held:
        raise HistoryError(
            "this license is installed already: nothing has changed",
            code="license.installed",
            remedy="Nothing need be done.",
        )
    waiting = {one.digest: one for standing in standings for one in standing.asked}
    asked = waiting.get(answer.request_digest)
    if asked is None:
        raise MisdirectedError(
            "this license answers a request that this gate did not make, or one that is over: used "
            "up, given back, or followed by a newer license",
            code="license.request",
            remedy=_ITS_FILE,
        )
    return asked


def check_license(
    found: LicenseFile,
    asked: Asked,
    authority: Authority,
    settings: GateSettings,
    *,
    running_ms: int,
    now_ms: int,
) -> tuple[VerifiedAnswer, License]:
    """Verify a license: the online key signed it, officers approved it, policy allows it.

    Raises:
        ForgedError: a signature, the path, approval or policy bounds do not hold.
        MisdirectedError: for another authority, run or request, or not a license.
        HistoryError: contradicts an earlier answer, or is past its end.
        MalformedError: cannot be parsed.
    """
    keys = authority.check_delegated(found.proven.root, running_ms)
    verified = verify_answer(found.proven, authority.name, keys)
    answer = verified.answer
    if answer.run_nonce != asked.run_nonce:
        raise MisdirectedError(
            "this license answers another run of the gate than the one that asked",
            code="license.request",
            remedy=_ITS_FILE,
        )
    check_batch(verified, authority)
    approval, digest = authority.check_approval(found.approval)
    terms = answer.terms
    if terms is None or terms.license is None:
        raise _no_license(answer)
    if terms.license.approval != digest or answer.request_digest not in approval.requests:
        raise MisdirectedError(
            "the officers' approval in this file is of other requests",
            code="license.approval",
            remedy=_ITS_FILE,
        )
    if approval.reserve != asked.reserve:
        raise MisdirectedError(
            "a reserve was asked for and is not given, or the reverse",
            code="license.reserve",
            remedy="Tell the authority what was asked for, and take what it then makes.",
        )
    ceilings = {
        verdict.workload: verdict.outcome.ceiling_tflop
        for verdict in answer.verdicts
        if isinstance(verdict.outcome, Ceiling)
    }
    peaks = {
        verdict.workload: verdict.outcome.peak_tflop_per_s
        for verdict in answer.verdicts
        if isinstance(verdict.outcome, Ceiling)
    }
    policy = authority.policy
    if policy is None:
        raise ForgedError("a license before any policy", code="permit.no-policy")
    _check_bounds(answer, approval, policy, asked, ceilings)
    _check_step(answer, authority, settings)
    _check_single_use(terms.license.single_use, settings)
    if terms.exempt and alone_covered(policy, settings):
        raise ForgedError(
            "exempts a host that alone reaches the threshold", code="permit.beyond-policy"
        )
    times = {"running_ms": running_ms, "now_ms": now_ms}
    told = corrected_time(asked, approval, **times) or authority.told_time
    latest_ms = 0 if told is None else told.latest_unix_ms(now_ms)
    # Officers correct an online key that takes part: an answer of a later time is no license.
    if max(latest_ms, answer.governor_unix_ms) >= approval.not_after_unix_ms:
        raise HistoryError("this license is past its end", code="license.past", remedy=NEXT_LICENSE)
    return verified, License(
        request=answer.request_digest,
        sequence=asked.sequence,
        approval=digest,
        batch_number=verified.batch.batch_number,
        span_ms=terms.lifetime_ms,
        step_ms=terms.license.step_ms,
        wind_down_ms=terms.wind_down_ms,
        exempt=terms.exempt,
        single_use=terms.license.single_use,
        ceilings=_amounts(ceilings, asked) if approval.reserve else ceilings,
        peaks=peaks,
        not_before_unix_ms=approval.not_before_unix_ms,
        not_after_unix_ms=approval.not_after_unix_ms,
        reserve=approval.reserve,
        opener_spkis=approval.opener_spkis,
        opener_threshold=approval.opener_threshold,
    )


def corrected_time(
    asked: Asked, approval: LicenseApproval | License, *, running_ms: int, now_ms: int
) -> ToldTime | None:
    """What time it is, where officers' word shows that the online key told one too late.

    They approve what a report asks for after it was made, and nothing that has ended by then. So
    where the gate was told, before it asked, that the end had passed, that was not so. ``None``:
    nothing contradicts what was told.
    """
    if asked.told_unix_ms < approval.not_after_unix_ms:
        return None
    passed_ms = max(0, running_ms - asked.running_ms)
    return ToldTime.raised(approval.not_before_unix_ms + passed_ms, now_ms, None)


def _amounts(ceilings: dict[str, int], asked: Asked) -> dict[str, int]:
    """What each ceiling adds to the total that was reported with the request."""
    return {name: max(0, most - asked.allotted.get(name, 0)) for name, most in ceilings.items()}


def _no_license(answer: Answer) -> MisdirectedError:
    refused = [one.outcome for one in answer.verdicts if isinstance(one.outcome, Refusal)]
    if refused:
        why = refused[0]
        return MisdirectedError(
            f"the authority refused it: {why.detail}", code=why.reason, remedy=why.way_back
        )
    return MisdirectedError("this answer grants no license", code="license.none", remedy=_ITS_FILE)


def _check_bounds(
    answer: Answer,
    approval: LicenseApproval,
    policy: Policy,
    asked: Asked,
    ceilings: dict[str, int],
) -> None:
    """That answer within approval, within policy."""
    if answer.terms is None or answer.terms.license is None:
        raise ForgedError("no terms", code="license.none")
    terms, part = answer.terms, answer.terms.license
    span_ms, headroom_tflop = policy.license_span_ms, policy.license_headroom_max_tflop
    if approval.reserve:
        span_ms, headroom_tflop = policy.reserve_span_ms, policy.reserve_headroom_max_tflop
    age_ms = approval.not_after_unix_ms - answer.governor_unix_ms
    for what, found, most, by in (
        ("a span of", approval.span_ms, span_ms, "policy"),
        (_HEADROOM, approval.headroom_max_tflop, headroom_tflop, "policy"),
        ("an end after", age_ms, policy.license_age_ms, "policy"),
        ("steps of", part.step_ms, policy.license_step_ms or LICENSE_STEP_MS, "policy"),
        ("a span of", terms.lifetime_ms, approval.span_ms, "the officers' approval"),
        *(
            (
                _HEADROOM,
                ceiling_tflop - asked.allotted.get(name, 0),
                approval.headroom_max_tflop,
                "the officers' approval",
            )
            for name, ceiling_tflop in ceilings.items()
        ),
    ):
        if found > most:
            spans = (span_text(found), span_text(most))
            told, allowed = flop_texts(found, most) if what is _HEADROOM else spans
            raise ForgedError(
                f"{what} {told} is more than {by} allows, {allowed}",
                code="license.beyond-policy" if by == "policy" else "license.beyond-approval",
                remedy=_BEYOND,
            )


def _check_step(answer: Answer, authority: Authority, settings: GateSettings) -> None:
    """A step that is used up by an orderly stop lets nothing run."""
    if answer.terms is None or answer.terms.license is None:
        raise ForgedError("no terms", code="license.none")
    stop_ms = drain_ms_of([authority]) + settings.enforcement_bound_ms + settings.stall_timeout_ms
    least_ms = answer.terms.wind_down_ms + stop_ms + 16 * settings.sample_interval_ms
    if answer.terms.license.step_ms < least_ms:
        raise MisdirectedError(
            f"steps of {answer.terms.license.step_ms} ms: an orderly stop here takes {least_ms} ms",
            code="license.step",
            remedy="The authority's policy sets longer steps, or a shorter wind-down.",
        )


def _check_single_use(single_use: SingleUse, settings: GateSettings) -> None:
    if single_use is SingleUse.TPM and settings.witness is None:
        raise MisdirectedError(
            "this license stands on a counter of the host's TPM, and this gate uses none",
            code="license.single-use",
            remedy="Set [tpm] in gate.toml, or ask for a license anew.",
        )


def check_opening(
    envelope: Envelope,
    authority: Authority,
    others: Iterable[Authority],
    *,
    running_ms: int,
) -> bytes:
    """The opening of a reserve holds and its time has come; its digest.

    Args:
        envelope: the openers' statement.
        authority: whose reserve is held.
        others: all authorities that admitted this host, it among them.
        running_ms: gate running time.

    Raises:
        ForgedError: too few of the openers signed it.
        MisdirectedError: of another license, or none is sealed here.
        HistoryError: opened before, paused, or an authority was in reach lately.
    """
    held, state = authority.reserve_desk.license, authority.reserve_desk.standing.state
    if held is None:
        raise MisdirectedError(
            f"no reserve license of {authority.name} is held here",
            code="reserve.none",
            remedy="It is asked for in advance, with `flopgate-agent license request --reserve`.",
        )
    if state is not LicenseState.SEALED:
        raise HistoryError(
            "this reserve is open already, and opens once", code="reserve.open", remedy=NEXT_LICENSE
        )
    keys = {key.key_id: key for key in map(VerifyingKey, held.opener_spkis)}
    verified = verify(envelope, PayloadType.RESERVE_OPENING, keys, held.opener_threshold)
    opening = decode_opening(verified.payload)
    if (opening.authority, opening.approval) != (authority.name, held.approval):
        raise MisdirectedError(
            "this opens the reserve of another approval",
            code="reserve.approval",
            remedy="Its openers sign for the approval that this host's reserve stands on.",
        )
    known = list(others)
    for one in known:
        latched = [pause for pause in one.pauses if not lapsed(pause, running_ms)]
        if latched or one.unseen_pauses:
            digest = latched[0].digest if latched else min(one.unseen_pauses)
            raise HistoryError(
                f"a pause of {one.name} is latched: {digest.hex()[:16]}; no reserve opens",
                code="reserve.paused",
                remedy="Officers lift it with a resume that names this pause.",
            )
    after_ms = authority.policy.reserve_after_ms if authority.policy else 0
    if not after_ms:
        raise HistoryError(
            f"the policy of {authority.name} lets no reserve open", code="reserve.none-by-policy"
        )
    silent_ms = running_ms - max(one.heard_running_ms or 0 for one in known)
    if silent_ms < after_ms:
        raise HistoryError(
            f"an authority answered {span_text(silent_ms, 's')} of gate running time ago; "
            f"a reserve opens after {span_text(after_ms)}",
            code="reserve.early",
            remedy="Run on what was granted meanwhile, and open it then.",
        )
    return verified.digest
