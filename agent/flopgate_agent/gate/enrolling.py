"""The enrolment statement, and what must hold of the admission that answers it."""

from __future__ import annotations

from collections.abc import Mapping

from flopgate_agent.gate.actions import KeepEnrolment
from flopgate_agent.gate.authority import Authority
from flopgate_agent.gate.book import LaneBook
from flopgate_agent.gate.memory import Memory
from flopgate_agent.gate.settings import GateSettings, GateToken
from flopgate_proto.codec import PayloadType, decode_admission, decode_enrolment, encode_enrolment
from flopgate_proto.envelope import Envelope, seal, verify
from flopgate_proto.errors import MisdirectedError
from flopgate_proto.joining import token_proof
from flopgate_proto.values import Admission, Assurance, ChipIdentity, Enrolment, LaneTotals


def build_enrolment(
    settings: GateSettings,
    token: GateToken,
    *,
    courier_spki: bytes,
    end: tuple[int, bytes],
    books: Mapping[str, LaneBook],
    made_ms: int,
    known: bool,
) -> Envelope:
    """Signed by the host key; a known host asks again without spending a token.

    ``end`` is sequence and head of the chain: from there on the authority follows it, and counts
    what ``books`` (by workload) do not hold yet.
    """
    chips = tuple(chip.identity for chip in settings.chips)
    return seal(
        PayloadType.ENROLMENT,
        encode_enrolment(
            Enrolment(
                authority=token.authority,
                trust_root_digest=token.trust_root_digest,
                host_spki=settings.host_spki,
                chips=chips,
                cluster=token.cluster,
                custodian=token.custodian,
                site=token.site,
                jurisdiction=token.jurisdiction,
                driver_version=settings.driver_version,
                software=settings.software,
                assurance=Assurance.SOFTWARE,
                courier_spki=courier_spki,
                token_id=b"" if known else token.token_id,
                token_proof=b"" if known else token_proof(token.secret, settings.host_spki, chips),
                boot_id=settings.boot_id,
                made_ms=made_ms,
                sequence=end[0],
                head=end[1],
                lanes=tuple(
                    LaneTotals(
                        workload=workload,
                        total=book.whole_total,
                        allotted_tflop=book.allotted_tflop,
                        unaccounted_tflop=book.unaccounted_tflop,
                    )
                    for workload, book in books.items()
                    if book != LaneBook()
                ),
            )
        ),
        [settings.signer],
    )


def keep(authority: Authority, envelope: Envelope) -> KeepEnrolment:
    """Make durable that this enrolment stands, and whether it was answered."""
    return KeepEnrolment(
        authority=authority.name,
        digest=envelope.digest,
        envelope=envelope,
        admitted=authority.admitted,
        acknowledged_sequence=authority.acknowledged_sequence,
        scopes=authority.scopes,
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


def still_asks(
    authority: Authority, token: GateToken, settings: GateSettings, courier_spki: bytes
) -> bool:
    """Whether an enrolment that awaits its answer is still good, in whichever run or boot.

    A courier asks again when an answer takes long; a new statement would make that answer void.
    """
    if authority.admitted or authority.enrolment is None:
        return False
    asked = decode_enrolment(authority.enrolment.payload)
    chips = tuple(chip.identity for chip in settings.chips)
    said = (asked.token_id, asked.courier_spki, asked.chips)
    return said == (token.token_id, courier_spki, chips)


def enrolled_chips(memory: Memory) -> tuple[ChipIdentity, ...]:
    """Chips as the first authority by name admitted them; none on a host that nobody did."""
    for authority in memory.authorities:
        if authority.admitted and authority.enrolment is not None:
            return decode_enrolment(authority.enrolment.payload).chips
    return ()


def check_admission(
    envelope: Envelope, authority: Authority, settings: GateSettings, running_ms: int
) -> Admission:
    """Admission of this host to this authority, for the enrolment that it sent.

    Raises:
        ForgedError: not signed by a delegated key.
        MisdirectedError: for another host, authority or enrolment.
    """
    authority.check_delegated(envelope, running_ms)
    verified = verify(envelope, PayloadType.ADMISSION, authority.keys_in_force(running_ms))
    admission = decode_admission(verified.payload)
    given = (admission.authority, admission.host_id)
    asked = authority.enrolment.digest if authority.enrolment else b""
    # Who was admitted before and asks for a certificate gets the admission of that time again.
    answers = authority.admitted or admission.enrolment_digest == asked
    if given != (authority.name, settings.host_id) or not answers:
        raise MisdirectedError(
            "admission for another host, authority or enrolment",
            code="admission.misdirected",
            remedy="The courier mixes up hosts: check its configuration.",
        )
    return admission
