"""Steps of a licensing day, as tests of the governor take them."""

from dataclasses import replace

from flopgate_governor.core.decide import rate_flop_per_s, reach_tflop
from flopgate_governor.licenses.issuing import issue
from flopgate_proto.batches import VerifiedAnswer
from flopgate_proto.codec import encode_order, envelope_from_wire, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.keys import SigningKey
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import (
    ChargedFigure,
    LaneRequest,
    LicenseApproval,
    LicenseQuote,
    LicenseState,
    LicenseWish,
    Policy,
    Request,
    TpmState,
)
from tests.support.governor import (
    AUTHORITY,
    AUTHORITY_ID,
    FakeHost,
    LocalGovernor,
    answers,
    cluster_policy,
    signed,
)

DAY_MS = 86_400_000
AMPLE = 10**12
ASK = 5_000_000
OPENER = SigningKey.from_scalar(0x7101)
TPM = TpmState(counter=1, clock_ms=1, reset_count=0, restart_count=0, safe=True)


def license_policy(cap_tflop: int, version: int = 1) -> Policy:
    """A policy that lets licenses and reserves be given."""
    return replace(
        cluster_policy(cap_tflop, version),
        license_span_ms=7 * DAY_MS,
        license_age_ms=14 * DAY_MS,
        license_headroom_max_tflop=AMPLE,
        license_step_ms=1_800_000,
        reserve_after_ms=3 * DAY_MS,
        reserve_span_ms=DAY_MS,
        reserve_headroom_max_tflop=AMPLE,
    )


def asking(
    host: FakeHost,
    *,
    ask_tflop: int = ASK,
    span_ms: int = DAY_MS,
    reserve: bool = False,
    spend_tflop: int = 0,
    tpm: TpmState | None = None,
) -> Envelope:
    """The next report, which asks for a license."""
    host.now_ms += 1_000
    host.running_ms += 1_000
    host.allotted_tflop += spend_tflop
    wish = LicenseWish(span_ms=span_ms, reserve=reserve)
    request = Request(
        lanes=(LaneRequest(workload=host.workload, headroom_tflop=ask_tflop),), license=wish
    )
    envelope = host.sign(replace(host.value(), request=request, tpm=tpm))
    host.sequence += 1
    host.head = envelope.digest
    host.last_report = envelope
    return envelope


def carry(governor: LocalGovernor, *envelopes: Envelope) -> pb.LinkDown:
    """Reports that came by file."""
    return governor.send(*envelopes, carried=True)


def approval_of(
    governor: LocalGovernor, *requests: Envelope, reserve: bool = False
) -> LicenseApproval:
    """What officers would sign for these."""
    return LicenseApproval(
        authority=AUTHORITY,
        authority_id=AUTHORITY_ID,
        requests=tuple(one.digest for one in requests),
        not_before_unix_ms=governor.clock.unix_ms,
        not_after_unix_ms=governor.clock.unix_ms + 7 * DAY_MS,
        span_ms=DAY_MS,
        headroom_max_tflop=ASK,
        reserve=reserve,
        nonce=bytes(16),
        reason="the link is cut",
        opener_spkis=(OPENER.spki,) if reserve else (),
        opener_threshold=int(reserve),
    )


def give(
    governor: LocalGovernor,
    approval: LicenseApproval,
    *requests: bytes,
    signers: list[SigningKey] | None = None,
) -> pb.IssueLicensesReply:
    """Issue under an approval that officers sign."""
    request = pb.IssueLicensesRequest(
        requests=requests or approval.requests,
        approval=envelope_to_wire(signed(approval, signers)),
    )
    reply = issue(governor.state, request)
    governor.roots.note(*[one.answer for one in reply.licenses])
    return reply


def preview(governor: LocalGovernor, approval: LicenseApproval) -> pb.IssueLicensesReply:
    """What would be given."""
    _, payload = encode_order(approval)
    return issue(
        governor.state, pb.IssueLicensesRequest(requests=approval.requests, preview=payload)
    )


def license_of(one: pb.HostLicense) -> VerifiedAnswer:
    """The answer in a license, checked as a gate does."""
    (answer,) = answers(pb.LinkDown(batches=[one.answer]))
    return answer


def approval_in(one: pb.HostLicense) -> Envelope:
    """The approval that travels with it."""
    return envelope_from_wire(one.approval)


def hold(
    host: FakeHost,
    request: bytes,
    floor: int,
    *,
    used_ms: int = 0,
    state: LicenseState = LicenseState.HELD,
) -> None:
    """Quote from now on that this license is held."""
    quote = LicenseQuote(state=state, request=request, floor=floor, used_ms=used_ms)
    if state is LicenseState.HELD:
        host.quote = replace(host.quote, license=quote)
    else:
        host.quote = replace(host.quote, reserve=quote)


def hold_none(host: FakeHost, floor: int, *, reserve: bool = False) -> None:
    """Quote from now on that none is held, and none up to here will be."""
    quote = LicenseQuote(state=LicenseState.NONE, floor=floor)
    if reserve:
        host.quote = replace(host.quote, reserve=quote)
    else:
        host.quote = replace(host.quote, license=quote)


def peak_tflop(governor: LocalGovernor, host: FakeHost, span_ms: int) -> int:
    """Most that its chip does in a span."""
    governor.state.know([host.host_id])
    known = governor.state.hosts[host.host_id].host
    return reach_tflop(rate_flop_per_s(known, (0,), ChargedFigure.NOMINAL), span_ms)


def backed_by_tpm(governor: LocalGovernor, host: FakeHost) -> None:
    """Let it count as a host whose TPM quoted for its enrolment."""
    with governor.state.store.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO tpm_quote VALUES (?, x'00', x'', x'00', x'', 0)", (host.host_id,)
        )


def licensed(governor: LocalGovernor, host: FakeHost) -> tuple[Envelope, pb.HostLicense]:
    """A request, carried, and the license for it."""
    request = asking(host)
    carry(governor, request)
    (one,) = give(governor, approval_of(governor, request)).licenses
    return request, one
