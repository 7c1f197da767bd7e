"""The enrolment statement, and what must hold of the admission that answers it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from flopgate_agent.gate.actions import Action, KeepEnrolment
from flopgate_agent.gate.authorities import ordering
from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.authorities.officers import unnamed_root
from flopgate_agent.gate.memory import Memory, Moment
from flopgate_agent.gate.reports.chain import Chain
from flopgate_agent.gate.settings import GateSettings, GateToken
from flopgate_proto.codec import (
    PayloadType,
    decode_admission,
    decode_enrolment,
    decode_order,
    encode_enrolment,
)
from flopgate_proto.codec.checks import at_most
from flopgate_proto.envelope import Envelope, seal, verify
from flopgate_proto.errors import ForgedError, MisdirectedError
from flopgate_proto.joining import token_proof
from flopgate_proto.limits import SPKI_BYTES_MAX
from flopgate_proto.values import (
    Admission,
    ChipIdentity,
    Enrolment,
    LaneTotals,
    Policy,
    Resume,
)

ASKED_MAX = 256
"""Statements of which an answer may still come; each new courier key makes one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where an authority's account of this host starts: a report that is durable.

    Attributes:
        chips: by the indices of reports; fixed by the first statement.
        sequence, head: of that report; from there on the authority follows the chain.
        lanes: its totals; the authority counts what later reports hold on top.
        boot_id, made_ms: when the authority was first asked.
    """

    chips: tuple[ChipIdentity, ...]
    sequence: int
    head: bytes
    lanes: tuple[LaneTotals, ...]
    boot_id: bytes
    made_ms: int


def start_at_end(chain: Chain, settings: GateSettings, now_ms: int) -> Start:
    """The end of the chain, now."""
    return Start(
        chips=tuple(chip.identity for chip in settings.chips),
        sequence=chain.sequence,
        head=chain.head,
        lanes=tuple(
            LaneTotals(
                workload=lane.workload,
                total=lane.total,
                allotted_tflop=lane.allotted_tflop,
                unaccounted_tflop=lane.unaccounted_tflop,
            )
            for lane in chain.lanes
            if lane.total.high_tflop or lane.allotted_tflop or lane.unaccounted_tflop
        ),
        boot_id=settings.boot_id,
        made_ms=now_ms,
    )


def earlier_start(authority: Authority, oldest_sequence: int, sequence: int) -> Start | None:
    """The start that an earlier statement named; ``None`` without one, or if it is no use.

    It is none where a join was taken back for so long that reports after it are kept no more.
    """
    if authority.enrolment is None:
        return None
    asked = decode_enrolment(authority.enrolment.payload)
    kept = asked.sequence + 1 >= oldest_sequence or asked.sequence == sequence
    if not authority.admitted and not kept:
        return None
    return Start(
        chips=asked.chips,
        sequence=asked.sequence,
        head=asked.head,
        lanes=asked.lanes,
        boot_id=asked.boot_id,
        made_ms=asked.made_ms,
    )


def check_courier_key(spki: bytes) -> None:
    """Whoever opens the door names the key: any bytes, as many as a message holds.

    It stands in a statement that is kept and that every start reads back: one that nobody can
    read would be the end of the host.

    Raises:
        OversizedError: longer than any key.
    """
    at_most(spki, SPKI_BYTES_MAX, "courier key")


def ask(
    authority: Authority,
    settings: GateSettings,
    token: GateToken,
    courier_spki: bytes,
    start: Start,
) -> Envelope:
    """A new statement, signed by the host key, of which the authority's state knows from now on.

    A host that was admitted asks without spending a token. One that awaits an answer names the
    same start again: its earlier statement may have been admitted, and the answer been lost.
    """
    envelope = _signed(settings, token, start, courier_spki, known=authority.admitted)
    authority.enrolment = envelope
    others = [one for one in authority.asked if one != envelope.digest]
    authority.asked = (*others, envelope.digest)[-ASKED_MAX:]
    if not authority.admitted:
        authority.acknowledged_sequence = start.sequence
    return envelope


def _signed(
    settings: GateSettings,
    token: GateToken,
    start: Start,
    courier_spki: bytes,
    *,
    known: bool,
) -> Envelope:
    proof = token_proof(token.secret, settings.host_spki, start.chips)
    return seal(
        PayloadType.ENROLMENT,
        encode_enrolment(
            Enrolment(
                authority=token.authority,
                trust_root_digest=token.trust_root_digest,
                host_spki=settings.host_spki,
                chips=start.chips,
                cluster=token.cluster,
                custodian=token.custodian,
                site=token.site,
                jurisdiction=token.jurisdiction,
                driver_version=settings.driver_version,
                software=settings.software,
                assurance=settings.assurance,
                courier_spki=courier_spki,
                token_id=b"" if known else token.token_id,
                token_proof=b"" if known else proof,
                boot_id=start.boot_id,
                made_ms=start.made_ms,
                sequence=start.sequence,
                head=start.head,
                lanes=start.lanes,
            )
        ),
        [settings.signer],
    )


def first_orders(
    authority: Authority,
    token: GateToken | None,
    admission: Envelope,
    orders: Iterable[Envelope],
    *,
    now_ms: int,
    running_ms: int,
) -> Iterator[Action]:
    """Take what `Enroll` brought beside the admission, the first trust root by its pinned digest.

    Raises:
        PeerError: an order does not hold; what came before it stays.
    """
    # Not verified yet, and only makes orders wait: whom it is signed by, the orders will tell.
    said = decode_admission(admission.payload)
    for envelope in orders:
        if not authority.admitted and authority.orders and authority.is_unnamed(envelope):
            if envelope.digest == said.trust_root_digest:
                raise unnamed_root(authority.name)
            # It waits at the authority, or so the courier says: it is told again on the link.
            continue
        if token is not None and authority.pin_if_first(envelope, token.trust_root_digest):
            yield ordering.keep(authority, envelope, running_ms)
            continue
        fresh = not authority.admitted and not _may_wait(authority, envelope, said)
        yield from ordering.take_order(
            authority, envelope, now_ms=now_ms, running_ms=running_ms, fresh=fresh
        )


def _may_wait(authority: Authority, envelope: Envelope, said: Admission) -> bool:
    """Whether an order need not be in force at the authority, as far as its admission tells."""
    match decode_order(envelope.payload_type, envelope.payload):
        case Policy():
            return envelope.digest != said.policy_digest
        case Resume(lifts=lifts):
            # Pauses that it lifts are sent to nobody once it is in force.
            return not {held.digest for held in authority.pauses}.isdisjoint(lifts)
        case _:
            return False


def hear_admission(
    said: Admission, authority: Authority, settings: GateSettings, now_ms: int
) -> None:
    """Take the time, the scopes and the policy that a host's first admission tells.

    One that was asked for in an earlier boot was made at a moment that no clock of this boot knows.
    """
    authority.note_scopes(said.scopes)
    if authority.admitted or authority.enrolment is None:
        return
    asked = decode_enrolment(authority.enrolment.payload)
    made_ms = asked.made_ms if asked.boot_id == settings.boot_id else now_ms
    authority.hear_time(said.governor_unix_ms, made_ms=made_ms, received_ms=now_ms)
    authority.note_policy(said.policy_digest)


def keep(authority: Authority, envelope: Envelope, *, heard: Moment | None = None) -> KeepEnrolment:
    """Make durable that this enrolment stands, and whether it was answered.

    ``heard``: when the authority answered it; ``None``: a host that asks has heard nothing.
    """
    return KeepEnrolment(
        authority=authority.name,
        envelope=envelope,
        asked=authority.asked,
        admitted=authority.admitted,
        acknowledged_sequence=authority.acknowledged_sequence,
        scopes=authority.scopes,
        time=None if heard is None else authority.time_to_keep(heard),
        named_policy=authority.named_digest,
    )


def token_of(tokens: Mapping[str, GateToken], authority: str) -> GateToken:
    """The join token of an authority.

    Raises:
        MisdirectedError: this gate holds none.
    """
    token = tokens.get(authority)
    if token is None:
        raise MisdirectedError(
            f"this gate holds no join token of {authority!r}",
            code="join-token.none",
            remedy="Run `flopgate-agent join` with the token of that authority.",
        )
    return token


def still_asks(authority: Authority, token: GateToken, courier_spki: bytes) -> bool:
    """Whether an enrolment that awaits its answer is still good, in whichever run or boot.

    A courier asks again when an answer takes long; a new statement would only cost a signature.
    """
    if authority.admitted or authority.enrolment is None:
        return False
    asked = decode_enrolment(authority.enrolment.payload)
    said = (asked.token_id, asked.trust_root_digest, asked.courier_spki)
    return said == (token.token_id, token.trust_root_digest, courier_spki)


def enrolled_chips(memory: Memory) -> tuple[ChipIdentity, ...]:
    """Chips as an authority admitted them, else as one was asked to; none on a free host."""
    asked = [one for one in memory.authorities if one.enrolment is not None]
    for authority in sorted(asked, key=lambda one: not one.admitted):
        if authority.enrolment is not None:
            return decode_enrolment(authority.enrolment.payload).chips
    return ()


def check_admission(
    envelope: Envelope, authority: Authority, settings: GateSettings, running_ms: int
) -> Admission:
    """Admission of this host to this authority, for the enrolment that it sent.

    Raises:
        ForgedError: not signed by a delegated key, or a first one whose trust root or policy is
            not in force here: the courier left them out, or the join token is older.
        MisdirectedError: for another host, authority or enrolment.
    """
    keys = authority.check_delegated(envelope, running_ms)
    verified = verify(envelope, PayloadType.ADMISSION, keys)
    admission = decode_admission(verified.payload)
    given = (admission.authority, admission.host_id)
    # Who was admitted before and asks for a certificate gets the admission of that time again.
    answers = authority.admitted or admission.enrolment_digest in authority.asked
    if given != (authority.name, settings.host_id) or not answers:
        raise MisdirectedError(
            "admission for another host, authority or enrolment",
            code="admission.misdirected",
            remedy="Check that the courier's configuration names this host's gate. If the host had "
            "joined before and took it back, the authority must close its old chain first.",
        )
    if not authority.admitted:
        _check_in_force(admission, authority)
    return admission


def _check_in_force(admission: Admission, authority: Authority) -> None:
    held = authority.orders
    if held is None or admission.trust_root_digest not in (b"", held.trust.digest):
        raise unnamed_root(authority.name)
    if admission.policy_digest not in (b"", held.policy_digest):
        raise ForgedError(
            f"the policy that {authority.name!r} has in force did not come with the admission",
            code="admission.policy",
            remedy="The courier leaves it out, or brings an older one: ask again.",
        )
