"""What must hold before an answer is believed, in this order (SPEC: checking an answer)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from flopgate_agent.gate.authorities.authority import Authority, Permit
from flopgate_agent.gate.authorities.permit_bounds import bounded_permit
from flopgate_agent.gate.carried import KeptAnswer
from flopgate_agent.gate.settings import GateSettings
from flopgate_proto.batches import ProvenAnswer, VerifiedAnswer, verify_answer
from flopgate_proto.codec import PayloadType, decode_report
from flopgate_proto.envelope import verify
from flopgate_proto.errors import ForgedError, HistoryError, MisdirectedError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.quick import maker, quick
from flopgate_proto.values import Answer, Ceiling, Quote, Refusal

make_quote = maker(Quote)
make_permit = maker(Permit)

NOT_DURABLE: Final = "kept.time"
"""Of what was kept and is newer than the ledger."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A report whose answer is awaited: of this run, or the last one of the chain.

    ``allotted`` holds the allotted total of each workload that was reported.
    """

    sequence: int
    made_ms: int
    allotted: dict[str, int]
    asked: bool
    run_nonce: bytes


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An answer that holds. ``permit`` is ``None`` where it grants nothing that still counts.

    ``late``: it granted, but its lifetime is over or a newer grant is in use: only the
    acknowledgement counts (law 1). ``made_ms``: when the report that it answers was made.
    """

    verified: VerifiedAnswer
    quote: Quote
    acknowledged_sequence: int
    permit: Permit | None
    late: bool
    asked: bool
    made_ms: int

    @property
    def rules(self) -> bool:
        """Whether its verdicts replace those before."""
        return self.asked and not self.late


make_accepted = maker(Accepted)


def check_answer(
    proven: ProvenAnswer,
    authority: Authority,
    settings: GateSettings,
    sent: dict[bytes, Sent],
    *,
    running_ms: int,
    now_ms: int,
) -> Accepted | None:
    """Verify an answer; ``None`` for one that was superseded by a newer one.

    Raises:
        ForgedError: signature, path or policy bounds do not hold.
        MisdirectedError: for another host, authority, run or request.
        HistoryError: contradicts an answer that was accepted before: evidence.
        MalformedError: cannot be parsed.
    """
    keys = authority.check_delegated(proven.root, running_ms)
    verified = verify_answer(proven, authority.name, keys)
    answer = verified.answer
    if answer.host_id != settings.host_id:
        raise MisdirectedError(
            f"answer for host {answer.host_id.hex()[:12]}",
            code="answer.host",
            remedy="The courier mixes up hosts: check its configuration.",
        )
    request = sent.get(answer.request_digest)
    if answer.run_nonce != (settings if request is None else request).run_nonce:
        raise MisdirectedError(
            "answer for another run of this gate: its permission died with that run",
            code="answer.run",
        )
    check_batch(verified, authority)
    if _superseded(verified, authority) or verified.digest == authority.quote.answer_digest:
        # Or a retry was answered with the bytes of the first time: nothing new.
        _check_number(verified, authority, request, settings)
        return None
    if request is None:
        raise MisdirectedError(
            f"answer to {answer.request_digest.hex()[:12]}, which this run never sent",
            code="answer.request",
        )
    _check_head(answer, sent)
    licensed = answer.terms is not None and answer.terms.license is not None
    # A license counts where its approval is, in a file of its own: here it acknowledges.
    permit = None if licensed else _permit(verified, request, authority, settings, now_ms)
    quote = make_quote(
        authority=authority.name,
        answer_digest=verified.digest,
        batch_number=verified.batch.batch_number,
        # A grant is named once it is in use, never before: naming it releases older ones.
        grant=answer.request_digest if permit else authority.quote.grant,
    )
    return make_accepted(
        verified=verified,
        quote=quote,
        acknowledged_sequence=max(authority.acknowledged_sequence, answer.acknowledged_sequence),
        permit=permit,
        late=answer.terms is not None and permit is None and not licensed,
        asked=request.asked and not licensed,
        made_ms=request.made_ms,
    )


def take_answer(accepted: Accepted, authority: Authority, now_ms: int) -> None:
    """Put an accepted answer in force."""
    answer = accepted.verified.answer
    authority.quote, authority.quoted_ms = accepted.quote, now_ms
    authority.quote_signers = accepted.verified.signers
    authority.batch_digest = accepted.verified.batch_digest
    authority.acknowledged_sequence = accepted.acknowledged_sequence
    authority.note_scopes(answer.scopes)
    authority.hear_time(answer.governor_unix_ms, made_ms=accepted.made_ms, received_ms=now_ms)
    authority.note_policy(accepted.verified.batch.policy_digest)
    authority.unseen_pauses = frozenset(answer.pauses) - authority.seen_pauses
    if accepted.permit is not None:
        authority.note_grant(accepted.quote.grant, now_ms)
    if accepted.rules:
        authority.permit = accepted.permit
        if accepted.permit is not None:
            authority.granted |= dict.fromkeys(accepted.permit.ceilings, accepted.permit)
        authority.refusals = _refusals(answer)


def take_licensed(
    verified: VerifiedAnswer, authority: Authority, *, made_ms: int | None, received_ms: int
) -> None:
    """Put in force what the answer that gives a license says beside it.

    ``made_ms``: when its request was made; ``None`` where no clock of this boot knows.
    """
    answer = verified.answer
    authority.quote = replace(
        authority.quote,
        answer_digest=verified.digest,
        batch_number=verified.batch.batch_number,
    )
    authority.quoted_ms = received_ms
    authority.quote_signers = verified.signers
    authority.batch_digest = verified.batch_digest
    authority.acknowledged_sequence = max(
        authority.acknowledged_sequence, answer.acknowledged_sequence
    )
    authority.note_scopes(answer.scopes)
    if made_ms is None:
        authority.hear_later(answer.governor_unix_ms, received_ms)
    else:
        authority.hear_time(answer.governor_unix_ms, made_ms=made_ms, received_ms=received_ms)
    authority.note_policy(verified.batch.policy_digest)
    authority.unseen_pauses = frozenset(answer.pauses) - authority.seen_pauses
    licensed = {one.workload for one in answer.verdicts if isinstance(one.outcome, Ceiling)}
    kept = {name: one for name, one in authority.refusals.items() if name not in licensed}
    authority.refusals = kept


def resume_answer(
    kept: KeptAnswer,
    authority: Authority,
    settings: GateSettings,
    *,
    running_ms: int,
    now_ms: int,
) -> None:
    """Put in force what an earlier run in this boot accepted; it is checked as if it came now.

    Raises:
        PeerError: it does not hold; nothing has changed.
    """
    key = VerifyingKey(settings.host_spki)
    verify(kept.report, PayloadType.REPORT, {key.key_id: key})
    report = decode_report(kept.report.payload)
    keys = authority.check_delegated(kept.proven.root, running_ms)
    verified = verify_answer(kept.proven, authority.name, keys)
    answer = verified.answer
    same_run = answer.run_nonce == report.run_nonce and answer.request_digest == kept.report.digest
    if answer.host_id != settings.host_id or report.boot_id != settings.boot_id or not same_run:
        raise MisdirectedError("kept for another host or boot", code="kept.other")
    if report.made_ms > now_ms or _after_what_is_quoted(verified, authority):
        raise HistoryError("kept from a time that has not come", code=NOT_DURABLE)
    sent = Sent(
        sequence=report.sequence,
        made_ms=report.made_ms,
        allotted={lane.workload: lane.allotted_tflop for lane in report.lanes},
        asked=report.request is not None,
        run_nonce=report.run_nonce,
    )
    permit = _permit(verified, sent, authority, settings, now_ms)
    # What the ledger quotes is in use; an older grant may have been released since.
    if permit is not None and permit.request_digest == authority.quote.grant:
        authority.permit = permit
        authority.granted |= dict.fromkeys(permit.ceilings, permit)
    held = [desk.license.batch_number for desk in authority.desks if desk.license is not None]
    if verified.batch.batch_number > max(held, default=0):
        # A license is the newer answer where it was given later.
        authority.refusals = _refusals(answer)
    authority.unseen_pauses = frozenset(kept.unseen) - authority.seen_pauses
    authority.last_answer = (kept.report, kept.proven)


def _refusals(answer: Answer) -> dict[str, Refusal]:
    return {
        verdict.workload: verdict.outcome
        for verdict in answer.verdicts
        if isinstance(verdict.outcome, Refusal)
    }


def _superseded(verified: VerifiedAnswer, authority: Authority) -> bool:
    """Whether a newer answer was taken: of a later batch, or to a later report of the same one."""
    number, newest = verified.batch.batch_number, authority.newest_number
    if number == newest:
        return verified.answer.acknowledged_sequence < authority.acknowledged_sequence
    return number < newest


def _after_what_is_quoted(verified: VerifiedAnswer, authority: Authority) -> bool:
    """Whether it was to become durable after what the ledger holds, by the order of `_superseded`.

    Of one batch several answers can come, one message after the other.
    """
    number, newest = verified.batch.batch_number, authority.quote.batch_number
    if number == newest:
        return verified.answer.acknowledged_sequence > authority.acknowledged_sequence
    return number > newest


def _check_number(
    verified: VerifiedAnswer, authority: Authority, request: Sent | None, settings: GateSettings
) -> None:
    """Numbers grow: what answers a report of this run that quotes a batch is of a later one.

    What an answer acknowledges tells nothing of its age: that of a license answers an old request.
    """
    number, newest = verified.batch.batch_number, authority.newest_number
    if (
        number < newest
        and request is not None
        and request.run_nonce == settings.run_nonce
        and request.made_ms > authority.quoted_ms
    ):
        raise HistoryError(
            f"batch {number} of {authority.name} answers report {request.sequence}, which was made "
            f"after batch {newest} was taken",
            code="answer.number",
            remedy="Tell the oversight body: its numbers went back, or a thief has its online key.",
        )


def check_batch(verified: VerifiedAnswer, authority: Authority) -> None:
    """Refuse another batch of the same number."""
    number = verified.batch.batch_number
    same_batch = authority.newest_number == number
    if same_batch and authority.batch_digest not in {b"", verified.batch_digest}:
        raise HistoryError(
            f"two different batches {number} of {authority.name}",
            code="answer.equivocation",
            remedy="Keep both: they are evidence against the authority.",
        )


def _check_head(answer: Answer, sent: dict[bytes, Sent]) -> None:
    head = sent.get(answer.acknowledged_head)
    if head is None or head.sequence != answer.acknowledged_sequence:
        raise HistoryError(
            f"acknowledges a report {answer.acknowledged_sequence} that is not this chain's",
            code="answer.head",
            remedy="Tell the oversight body: its record of this host differs.",
        )


def _permit(
    verified: VerifiedAnswer,
    sent: Sent,
    authority: Authority,
    settings: GateSettings,
    now_ms: int,
) -> Permit | None:
    answer, policy = verified.answer, authority.policy
    terms = answer.terms
    if terms is None:
        return None
    if policy is None:
        raise ForgedError("a permit before any policy", code="permit.no-policy")
    if not sent.asked:
        raise MisdirectedError("grants what was not asked for", code="permit.unasked")
    ceilings = {
        verdict.workload: verdict.outcome.ceiling_tflop
        for verdict in answer.verdicts
        if isinstance(verdict.outcome, Ceiling)
    }
    terms, ceilings = bounded_permit(answer, sent.allotted, authority, settings, ceilings)
    # A newer grant may have released the headroom of this one.
    older = authority.permit is not None and sent.made_ms < authority.permit.made_ms
    if older or now_ms >= sent.made_ms + terms.lifetime_ms:
        return None
    return make_permit(
        request_digest=answer.request_digest,
        made_ms=sent.made_ms,
        lifetime_ms=terms.lifetime_ms,
        wind_down_ms=terms.wind_down_ms,
        renew_after_ms=terms.renew_after_ms,
        exempt=terms.exempt,
        ceilings=ceilings,
        phase=terms.phase,
        policy_version=answer.policy_version,
        signers=verified.signers,
    )
