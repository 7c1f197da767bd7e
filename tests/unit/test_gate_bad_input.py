"""What is forged, misdirected or malformed changes nothing and says what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from flopgate_agent.door import FrameDecoder
from flopgate_agent.gate_process import inbox
from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.envelope import Envelope, Signature, seal
from flopgate_proto.errors import (
    ForgedError,
    HistoryError,
    MalformedError,
    MisdirectedError,
    OversizedError,
    PeerError,
    UnknownVersionError,
)
from flopgate_proto.limits import MESSAGE_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Ceiling, Verdict
from tests.support import orders
from tests.support.fixed import COURIER_KEY, OFFICER_KEYS, STRANGER_KEY, WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_picture import picture
from tests.support.gate_rig import GateRig, cut, running

BAD_DIGEST = bytes([0xEE] * 32)


@dataclass(frozen=True)
class BadAnswer:
    """An answer that must be refused, and how."""

    name: str
    make: Callable[[GateAuthority, Envelope], ProvenAnswer]
    error: type[PeerError]
    code: str


def with_fields(**fields: Any) -> Callable[[GateAuthority, Envelope], ProvenAnswer]:
    return lambda authority, report: authority.answer(report, **fields)


def with_terms(**terms: Any) -> Callable[[GateAuthority, Envelope], ProvenAnswer]:
    def make(authority: GateAuthority, report: Envelope) -> ProvenAnswer:
        authority.terms = terms
        return authority.answer(report)

    return make


def ceilings(*pairs: tuple[str, int]) -> tuple[Verdict, ...]:
    return tuple(
        Verdict(workload=workload, outcome=Ceiling(ceiling_tflop=ceiling))
        for workload, ceiling in pairs
    )


def signed_by_a_stranger(authority: GateAuthority, report: Envelope) -> ProvenAnswer:
    return authority.prove([authority.answer_to(report)], signer=STRANGER_KEY)[0]


def of_another_origin(authority: GateAuthority, report: Envelope) -> ProvenAnswer:
    return authority.prove([authority.answer_to(report)], origin="other.example")[0]


def with_another_payload(authority: GateAuthority, report: Envelope) -> ProvenAnswer:
    one, other = authority.prove(
        [authority.answer_to(report), authority.answer_to(report, policy_version=7)]
    )
    return replace(one, payload=other.payload)


def with_a_wrong_path(authority: GateAuthority, report: Envelope) -> ProvenAnswer:
    proven = authority.prove([authority.answer_to(report)] * 3)[0]
    return replace(proven, path=(bytes(32), *proven.path[1:]))


def with_a_wrong_index(authority: GateAuthority, report: Envelope) -> ProvenAnswer:
    answers = [authority.answer_to(report, policy_version=n) for n in range(3)]
    return replace(authority.prove(answers)[0], index=1)


def with_a_broken_signature(authority: GateAuthority, report: Envelope) -> ProvenAnswer:
    proven = authority.answer(report)
    signature = proven.root.signatures[0]
    broken = Signature(signature.key_id, signature.sig[:-1] + bytes([signature.sig[-1] ^ 1]))
    return replace(proven, root=replace(proven.root, signatures=(broken,)))


def with_a_root_that_is_an_order(authority: GateAuthority, report: Envelope) -> ProvenAnswer:
    return replace(authority.answer(report), root=authority.policy_order())


def with_bytes_behind(authority: GateAuthority, report: Envelope) -> ProvenAnswer:
    proven = authority.answer(report)
    return replace(proven, payload=proven.payload + b"\x00")


BAD_ANSWERS = (
    BadAnswer("host", with_fields(host_id=BAD_DIGEST), MisdirectedError, "answer.host"),
    BadAnswer("run", with_fields(run_nonce=bytes(16)), MisdirectedError, "answer.run"),
    BadAnswer(
        "request", with_fields(request_digest=BAD_DIGEST), MisdirectedError, "answer.request"
    ),
    BadAnswer(
        "authority", with_fields(authority="other.example"), MisdirectedError, "answer.authority"
    ),
    BadAnswer("origin", of_another_origin, MisdirectedError, "answer.authority"),
    BadAnswer("stranger", signed_by_a_stranger, ForgedError, "envelope.quorum"),
    BadAnswer("signature", with_a_broken_signature, ForgedError, "envelope.quorum"),
    BadAnswer("payload", with_another_payload, ForgedError, "merkle.proof"),
    BadAnswer("path", with_a_wrong_path, ForgedError, "merkle.proof"),
    BadAnswer("index", with_a_wrong_index, ForgedError, "merkle.proof"),
    BadAnswer("trailing", with_bytes_behind, ForgedError, "merkle.proof"),
    BadAnswer(
        "type", with_a_root_that_is_an_order, UnknownVersionError, "envelope.type.unexpected"
    ),
    BadAnswer("head", with_fields(acknowledged_head=BAD_DIGEST), HistoryError, "answer.head"),
    BadAnswer("ahead", with_fields(acknowledged_sequence=10**6), HistoryError, "answer.head"),
    BadAnswer("lifetime", with_terms(lifetime_ms=20_001), ForgedError, "permit.beyond-policy"),
    BadAnswer(
        "exempt",
        with_terms(exempt=True, lifetime_ms=60_001),
        ForgedError,
        "permit.beyond-policy",
    ),
    BadAnswer(
        "headroom",
        with_fields(verdicts=ceilings((WORKLOAD, 10**13))),
        ForgedError,
        "permit.beyond-policy",
    ),
    BadAnswer(
        "workload",
        with_fields(verdicts=ceilings((WORKLOAD, 1), ("run-8", 1))),
        MisdirectedError,
        "permit.workload",
    ),
)


@pytest.mark.parametrize("bad", BAD_ANSWERS, ids=lambda bad: bad.name)
def test_law_7_a_bad_answer_changes_nothing(bad: BadAnswer) -> None:
    rig = running().run_until_request()
    proven = bad.make(rig.authority, rig.reports[-1])
    rig.core.handle_timer(rig.now)
    before = picture(rig.core)
    with pytest.raises(bad.error) as error:
        rig.core.answer(rig.authority.name, proven, rig.now)
    assert error.value.code == bad.code
    assert picture(rig.core) == before


def test_the_picture_sees_a_good_answer() -> None:
    # The control: without it the test above could not fail.
    rig = running().run_until_request()
    rig.core.handle_timer(rig.now)
    before = picture(rig.core)
    rig.core.answer(rig.authority.name, rig.authority.answer(rig.reports[-1]), rig.now)
    assert picture(rig.core) != before


def test_law_7_an_answer_that_exempts_a_host_above_the_threshold_is_refused() -> None:
    rig = running()
    rig.order(rig.authority.policy_order(threshold_tflop_per_s=1_000))
    rig.run_until_request()
    rig.authority.terms = {"exempt": True}
    before = picture(rig.core)
    with pytest.raises(ForgedError) as error:
        rig.core.answer(rig.authority.name, rig.authority.answer(rig.reports[-1]), rig.now)
    assert error.value.code == "permit.beyond-policy"
    assert picture(rig.core) == before


def test_law_7_a_grant_to_a_report_that_did_not_ask_is_refused() -> None:
    rig = running()
    rig.run_until_request(asking=False)
    verdicts = ceilings((WORKLOAD, 1_000))
    proven = rig.authority.answer(rig.reports[-1], verdicts=verdicts)
    with pytest.raises(MisdirectedError) as error:
        rig.core.answer(rig.authority.name, proven, rig.now)
    assert error.value.code == "permit.unasked"


BadOrder = tuple[str, Callable[[GateAuthority], Envelope], type[PeerError], str]


def sealed(order: Any, count: int = 2) -> Envelope:
    return orders.sealed_order(order, OFFICER_KEYS[:count])


def of_unknown_type(authority: GateAuthority) -> Envelope:
    policy = authority.policy_order()
    return seal("application/vnd.flopgate.wish.v1+protobuf", policy.payload, OFFICER_KEYS[:2])


def as_another_type(authority: GateAuthority) -> Envelope:
    pause = authority.pause(officers=2)
    return seal(authority.policy_order().payload_type, pause.payload, OFFICER_KEYS[:2])


BAD_ORDERS: Sequence[BadOrder] = (
    (
        "another authority's",
        lambda _: sealed(orders.policy(authority="other.example", version=9)),
        MisdirectedError,
        "order.authority",
    ),
    (
        "below its threshold",
        lambda one: sealed(orders.policy(authority=one.name, version=9), 1),
        ForgedError,
        "envelope.quorum",
    ),
    (
        "signed by a stranger",
        lambda one: orders.sealed_order(orders.pause(authority=one.name), [STRANGER_KEY]),
        ForgedError,
        "envelope.quorum",
    ),
    (
        "an older policy",
        lambda one: sealed(orders.policy(authority=one.name, version=0)),
        HistoryError,
        "order.version",
    ),
    (
        "another policy of the same version",
        lambda one: sealed(orders.policy(authority=one.name, version=1, drift_ppm=1)),
        HistoryError,
        "order.version",
    ),
    (
        "an older delegation",
        lambda one: one.delegation(serial=0, permit_spki=STRANGER_KEY.spki),
        HistoryError,
        "order.version",
    ),
    (
        "a root of the same version",
        lambda one: sealed(orders.trust_root(authority=one.name, nonce=b"")),
        HistoryError,
        "trust-root.version",
    ),
    (
        "a root that founds the authority anew",
        lambda one: sealed(orders.trust_root(authority=one.name, nonce=bytes(16))),
        MisdirectedError,
        "order.other-authority",
    ),
    ("of an unknown type", of_unknown_type, UnknownVersionError, "order.type.unknown"),
    ("a pause that says it is a policy", as_another_type, MalformedError, ""),
    (
        "a permit key that is no key",
        lambda one: one.delegation(serial=2, permit_spki=b"no key"),
        MalformedError,
        "key.malformed",
    ),
)


@pytest.mark.parametrize("bad", BAD_ORDERS, ids=lambda bad: str(bad[0]))
def test_law_7_a_bad_order_changes_nothing(bad: BadOrder) -> None:
    _, make, kind, code = bad
    rig = running().run(1_000)
    rig.core.handle_timer(rig.now)
    before = picture(rig.core)
    with pytest.raises(kind) as error:
        rig.core.order(rig.authority.name, make(rig.authority), rig.now)
    assert code in ("", error.value.code)
    assert picture(rig.core) == before


def test_an_order_before_any_trust_root_is_refused() -> None:
    rig = GateRig()
    with pytest.raises(ForgedError) as error:
        rig.order(rig.authority.pause())
    assert error.value.code == "order.no-trust"


def test_an_order_of_an_authority_that_was_never_joined_is_refused() -> None:
    rig = running()
    other = GateAuthority("other.example")
    with pytest.raises(MisdirectedError) as error:
        rig.order(other.pause(), other)
    assert error.value.code == "authority.unknown"
    assert f"it joined {rig.authority.name}" in str(error.value)
    assert "Compare the name" in str(error.value)


def _enrolled_once(rig: GateRig) -> Envelope:
    rig.core.enrol(rig.authority.name, COURIER_KEY.spki, rig.now)
    enrolment = rig.core.authorities[rig.authority.name].enrolment
    assert enrolment is not None
    return enrolment


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"enrolment_digest": BAD_DIGEST}, "admission.misdirected"),
        ({"host_id": BAD_DIGEST}, "admission.misdirected"),
        ({"authority": "other.example"}, "admission.misdirected"),
    ],
)
def test_an_admission_for_something_else_admits_nobody(fields: dict[str, Any], code: str) -> None:
    rig = GateRig()
    authority, enrolment = rig.authority, _enrolled_once(rig)
    bad = authority.admission(enrolment, **fields)
    with pytest.raises(MisdirectedError) as error:
        rig.core.admission(authority.name, bad, authority.first_orders(), rig.now)
    assert error.value.code == code
    assert not rig.core.enrolled


def test_an_admission_by_a_key_that_nobody_delegated_admits_nobody() -> None:
    rig = GateRig()
    authority, enrolment = rig.authority, _enrolled_once(rig)
    authority.permit_key = STRANGER_KEY
    bad = authority.admission(enrolment)
    authority.permit_key = GateAuthority().permit_key
    with pytest.raises(ForgedError):
        rig.core.admission(authority.name, bad, authority.first_orders(), rig.now)
    assert not rig.core.enrolled


def test_another_trust_root_than_the_pinned_one_is_refused() -> None:
    rig = GateRig()
    authority, enrolment = rig.authority, _enrolled_once(rig)
    usurped = sealed(orders.trust_root(authority=authority.name, version=5))
    with pytest.raises(MisdirectedError) as error:
        rig.core.admission(authority.name, authority.admission(enrolment), [usurped], rig.now)
    assert error.value.code == "trust-root.pin"
    assert rig.core.authorities[authority.name].orders is None


def test_an_enrolment_without_a_token_is_refused() -> None:
    rig = GateRig()
    with pytest.raises(MisdirectedError) as error:
        rig.core.enrol("other.example", COURIER_KEY.spki, rig.now)
    assert error.value.code == "authority.unknown"


def test_a_batch_with_one_bad_answer_still_brings_the_good_one() -> None:
    rig = GateRig(network=cut).enrol()
    authority, report = rig.authority, rig.reports[-1]
    bad, good = authority.prove(
        [authority.answer_to(report, host_id=BAD_DIGEST), authority.answer_to(report)]
    )
    batch = pb.AnswerBatch(
        batch_root=envelope_to_wire(good.root),
        answers=[
            pb.AnswerLeaf(payload=one.payload, index=one.index, path=one.path)
            for one in (bad, good)
        ],
    )
    actions, errors = inbox.take_answers(rig.core, batch, rig.now)
    assert [error.code for error in errors] == ["answer.host"]
    assert actions
    assert rig.core.authorities[authority.name].permit is not None


def test_a_batch_of_too_many_answers_is_refused_whole() -> None:
    rig = running()
    proven = rig.authority.answer(rig.reports[-1])
    leaf = pb.AnswerLeaf(payload=proven.payload, index=0)
    batch = pb.AnswerBatch(batch_root=envelope_to_wire(proven.root), answers=[leaf] * 257)
    with pytest.raises(MalformedError) as error:
        inbox.take_answers(rig.core, batch, rig.now)
    assert error.value.code == "answer.batch.size"


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 64])
def test_rubbish_in_an_order_is_our_error(data: bytes) -> None:
    rig = running()
    wire = pb.SignedOrder(
        envelope=pb.Envelope(
            payload_type=rig.authority.policy_order().payload_type,
            payload=data,
            signatures=[pb.Signature(keyid="a", sig=b"b")],
        )
    )
    with pytest.raises(PeerError):
        inbox.take_order(rig.core, wire, rig.now)


def test_an_oversized_frame_at_the_door_is_refused() -> None:
    size = MESSAGE_BYTES_MAX + 1
    with pytest.raises(OversizedError) as error:
        FrameDecoder().feed(size.to_bytes(4, "big"))
    assert error.value.code == "door.frame.oversized"
