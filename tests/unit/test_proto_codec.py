"""What each decoder refuses, statement by statement, and with which code."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flopgate_proto import limits
from flopgate_proto.codec import (
    PayloadType,
    decode_answer,
    decode_batch_root,
    decode_chip_row,
    decode_enrolment,
    decode_order,
    decode_report,
    encode_answer,
    encode_batch_root,
    encode_chip_row,
    encode_enrolment,
    encode_order,
    encode_report,
    parse_message,
)
from flopgate_proto.errors import FlopgateError, MalformedError, OversizedError, UnknownVersionError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import (
    Budget,
    Figures,
    Finding,
    LaneRequest,
    Order,
    Phase,
    PhaseRule,
    Quote,
    Request,
    Role,
    Scope,
    ScopeKind,
    Severity,
    Topology,
)
from tests.support import further_orders, orders, statements
from tests.support.fixed import AUTHORITY, SOFTWARE, WORKLOAD
from tests.support.statements import PEER, PORT, chip, lane, topology

LONG = "x" * (limits.TEXT_BYTES_MAX + 1)
FINDING = Finding(id="id", severity=Severity.INFO)
UNEVEN = Figures(low_tflop=2, nominal_tflop=1, high_tflop=3)
EVERYTHING = Scope(ScopeKind.EVERYTHING)


def _refused(decode: Callable[[], object], code: str) -> FlopgateError:
    with pytest.raises(MalformedError) as caught:
        decode()
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"sequence": 0}, "report.sequence"),
        ({"made_ms": 119_999}, "report.interval"),
        ({"interval_start_ms": 120_001}, "report.interval"),
        ({"made_ms": 2**63}, "field.range"),
        ({"running_ms": 2**63}, "field.range"),
        ({"chip_count": limits.CHIPS_MAX + 1}, "field.range"),
        ({"host_id": bytes(31)}, "field.size"),
        ({"previous": b""}, "field.size"),
        ({"run_nonce": bytes(15)}, "field.size"),
        ({"boot_id": bytes(17)}, "field.size"),
        ({"chip_root": bytes(33)}, "field.size"),
        ({"lanes": (lane(), lane())}, "field.duplicate"),
        ({"lanes": (lane(), lane(workload="other"))}, "field.duplicate"),
        ({"lanes": (lane(chips=(1, 1)),)}, "field.duplicate"),
        ({"lanes": (lane(workload=""),), "request": None}, "field.empty"),
        ({"lanes": (lane(workload=LONG),), "request": None}, "field.oversized"),
        # Bytes count, not characters.
        ({"lanes": (lane(stop_reason="é" * 129),)}, "field.oversized"),
        ({"lanes": (lane(stop_reason="a\x00"),)}, "field.text"),
        ({"lanes": (lane(stop_reason="a\u202eb"),)}, "field.text"),
        ({"lanes": (lane(measured=UNEVEN),)}, "figures.order"),
        ({"lanes": (lane(gap=UNEVEN),)}, "figures.order"),
        ({"lanes": (lane(total=UNEVEN),)}, "figures.order"),
        ({"lanes": (lane(total=Figures(high_tflop=2**63)),)}, "field.range"),
        ({"lanes": (lane(allotted_tflop=2**63),)}, "field.range"),
        ({"lanes": (lane(unaccounted_tflop=2**63),)}, "field.range"),
        ({"lanes": (lane(chips=tuple(range(65))),)}, "field.oversized"),
        (
            {"lanes": tuple(lane(workload=f"{n}", chips=()) for n in range(65)), "request": None},
            "field.oversized",
        ),
        ({"quotes": (Quote(authority=AUTHORITY),) * 2}, "field.duplicate"),
        ({"quotes": tuple(Quote(authority=f"{n}") for n in range(9))}, "field.oversized"),
        ({"quotes": (Quote(authority=AUTHORITY, grant=bytes(31)),)}, "field.size"),
        ({"findings": (FINDING,) * 65}, "field.oversized"),
        ({"findings": (replace(FINDING, id=""),)}, "field.empty"),
        ({"software": replace(SOFTWARE, digest=b"")}, "field.size"),
        ({"topology": topology(fabric_cluster_uuid=bytes(15))}, "field.size"),
        ({"topology": topology(platform_guid=bytes(17))}, "field.oversized"),
        ({"topology": topology(uuid="")}, "field.empty"),
        ({"topology": topology(unknown="a\nb")}, "field.text"),
        ({"topology": topology(peers=(PEER,) * 37)}, "field.oversized"),
        ({"topology": topology(peers=(replace(PEER, links=37),))}, "field.range"),
        ({"topology": topology(peers=(replace(PEER, rate_mbit_per_s=2**63),))}, "field.range"),
        ({"topology": Topology(chips=topology().chips * 2)}, "field.duplicate"),
        ({"topology": Topology(ports=(PORT,) * 257)}, "field.oversized"),
        ({"topology": Topology(ports=(replace(PORT, rate_mbit_per_s=2**63),))}, "field.range"),
        (
            {"topology": Topology(ports=(replace(PORT, unknown="x" * 256),) * 256)},
            "field.oversized",
        ),
        (
            {"request": Request(lanes=(LaneRequest(workload="other", headroom_tflop=1),))},
            "request.workload",
        ),
        (
            {"request": Request(lanes=(LaneRequest(workload=WORKLOAD, headroom_tflop=1),) * 2)},
            "field.duplicate",
        ),
    ],
)
def test_report(fields: dict[str, Any], code: str) -> None:
    payload = encode_report(statements.report(**fields))
    _refused(lambda: decode_report(payload), code)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"token_id": b"", "token_proof": bytes(32)}, "enrolment.token"),
        ({"token_id": bytes(16), "token_proof": b""}, "enrolment.token"),
        ({"token_id": bytes(15)}, "field.size"),
        ({"token_proof": bytes(31)}, "field.size"),
        ({"chips": (chip(0), chip(0))}, "field.duplicate"),
        ({"chips": tuple(chip(n) for n in range(65))}, "field.oversized"),
        ({"chips": (chip(name=""),)}, "field.empty"),
        ({"host_spki": bytes(limits.SPKI_BYTES_MAX + 1)}, "field.oversized"),
        ({"courier_spki": bytes(limits.SPKI_BYTES_MAX + 1)}, "field.oversized"),
        ({"trust_root_digest": b""}, "field.size"),
        ({"authority": ""}, "field.empty"),
        ({"cluster": ""}, "field.empty"),
        ({"custodian": ""}, "field.empty"),
        ({"head": b""}, "field.size"),
    ],
)
def test_enrolment(fields: dict[str, Any], code: str) -> None:
    payload = encode_enrolment(statements.enrolment(**fields))
    _refused(lambda: decode_enrolment(payload), code)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"terms": None}, "answer.terms"),
        ({"verdicts": ()}, "answer.terms"),
        ({"verdicts": (statements.refusal(),)}, "answer.terms"),
        ({"terms": statements.terms(wind_down_ms=600_001)}, "answer.terms"),
        ({"terms": statements.terms(renew_after_ms=600_001)}, "answer.terms"),
        ({"verdicts": (statements.ceiling(), statements.refusal())}, "field.duplicate"),
        ({"verdicts": (statements.ceiling(2**63),)}, "field.range"),
        (
            {"verdicts": (statements.refusal(reason=""),), "terms": None},
            "field.empty",
        ),
        (
            {"verdicts": (statements.refusal(order_digest=bytes(31)),), "terms": None},
            "field.size",
        ),
        (
            {"verdicts": tuple(statements.ceiling(workload=f"{n}") for n in range(65))},
            "field.oversized",
        ),
        ({"scopes": (EVERYTHING,) * 65}, "field.oversized"),
        ({"scopes": (Scope(ScopeKind.EVERYTHING, "id"),)}, "scope.id"),
        ({"scopes": (Scope(ScopeKind.SITE),)}, "scope.id"),
        ({"pauses": (bytes(31),)}, "field.size"),
        ({"pauses": (bytes(32),) * 65}, "field.oversized"),
        ({"request_digest": b""}, "field.size"),
    ],
)
def test_answer(fields: dict[str, Any], code: str) -> None:
    payload = encode_answer(statements.answer(**fields))
    _refused(lambda: decode_answer(payload), code)


def test_verdict_that_neither_grants_nor_refuses() -> None:
    message = pb.Answer()
    message.ParseFromString(encode_answer(statements.answer(verdicts=(), terms=None)))
    message.verdicts.add(workload="run-7")
    payload = message.SerializeToString(deterministic=True)
    _refused(lambda: decode_answer(payload), "answer.verdict")


ONE = (0,)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (orders.policy(lifetime_ms=125_000), "policy.lifetime"),
        (orders.policy(budgets=(Budget(scope=EVERYTHING, cap_tflop=1),) * 2), "field.duplicate"),
        (orders.policy(drift_ppm=2**63), "field.range"),
        (
            orders.policy(
                phases=(PhaseRule(scope=EVERYTHING, phase=Phase.WARN, from_unix_ms=0),) * 257
            ),
            "field.oversized",
        ),
        (orders.trust_root(keys=(orders.trust_root().keys[0],) * 2), "field.duplicate"),
        (orders.trust_root(roles=(Role(name="a", threshold=1, keys=(3,)),)), "trust-root.role"),
        (orders.trust_root(roles=(Role(name="a", threshold=2, keys=ONE),)), "trust-root.role"),
        (orders.trust_root(roles=(Role(name="a", threshold=0, keys=ONE),)), "trust-root.role"),
        (orders.trust_root(roles=(Role(name="a", threshold=1, keys=(0, 0)),)), "field.duplicate"),
        (orders.trust_root(roles=(Role(name="a", threshold=1, keys=ONE),) * 2), "field.duplicate"),
        (orders.trust_root(roles=(Role(name="", threshold=1, keys=ONE),)), "field.empty"),
        (orders.trust_root(nonce=b""), "trust-root.nonce"),
        (replace(orders.trust_root(), authority_id=bytes(32)), "field.size"),
        (replace(orders.trust_root(version=2), authority_id=bytes(31)), "field.size"),
        (replace(orders.pause(), authority_id=b""), "field.size"),
        (replace(further_orders.seats(), authority_id=bytes(31)), "field.size"),
        (orders.delegation(permit_spki=bytes(4097)), "field.oversized"),
        (orders.pause(nonce=b""), "field.size"),
        (orders.pause(reason=""), "field.empty"),
        (orders.pause(scope=Scope(ScopeKind.EVERYTHING, "x")), "scope.id"),
        (orders.resume(lifts=()), "resume.empty"),
        (orders.resume(lifts=(bytes(31),)), "field.size"),
        (orders.resume(lifts=(bytes(32),) * 65), "field.oversized"),
        (orders.reconciliation(batch_number=2**63), "field.range"),
        (orders.ruling(clusters=("alpha",)), "ruling.clusters"),
        (orders.ruling(clusters=(), apart=True), "ruling.clusters"),
        (orders.ruling(clusters=("alpha", "alpha")), "field.duplicate"),
        (orders.ruling(clusters=("alpha", "")), "field.empty"),
        (orders.ruling(clusters=tuple(map(str, range(1025)))), "field.oversized"),
        (orders.policy(cluster_link_mbit_per_s=2**63), "field.range"),
        (orders.policy(loosening_delay_ms=2**63), "field.range"),
        (further_orders.veto(order_digest=bytes(31)), "field.size"),
        (further_orders.veto(reason=""), "field.empty"),
        (further_orders.confirmation(pauses=()), "confirmation.empty"),
        (further_orders.confirmation(pauses=(bytes(32),) * 65), "field.oversized"),
        (further_orders.revocation(key_digest=b""), "field.size"),
        (further_orders.adoption(head=b""), "field.size"),
        (further_orders.closure(host_id=b""), "field.size"),
        (further_orders.relief(amount_tflop=0), "relief.empty"),
        (further_orders.relief(workload=""), "field.empty"),
        (further_orders.seats(seats=further_orders.seats().seats * 2), "field.duplicate"),
    ],
)
def test_order(order: Order, code: str) -> None:
    payload_type, payload = encode_order(order)
    _refused(lambda: decode_order(payload_type, payload), code)


def test_chip_row() -> None:
    many = statements.chip_row(counters=(("c", 1),) * 33)
    _refused(lambda: decode_chip_row(encode_chip_row(many)), "field.oversized")
    wide = bytes(limits.SALTED_ROW_BYTES_MAX + 1)
    assert isinstance(_refused(lambda: decode_chip_row(wide), "message.oversized"), OversizedError)


def test_chip_row_tells_unknown_energy_from_zero() -> None:
    rows = [statements.chip_row(energy_mj=energy_mj) for energy_mj in (None, 0)]
    assert [decode_chip_row(encode_chip_row(row)) for row in rows] == rows


REPORT = encode_report(statements.report())
ASSURANCE = b"\x78\x01"  # field 15, software
NEWER = b"\x08\x02" + REPORT[2:]


@pytest.mark.parametrize("member", [b"", b"\x78\x63"], ids=["unspecified", "unknown"])
def test_member_that_no_enum_has(member: bytes) -> None:
    assert REPORT.count(ASSURANCE) == 1
    payload = REPORT.replace(ASSURANCE, member)
    _refused(lambda: decode_report(payload), "field.enum")


@pytest.mark.parametrize("payload", [b"", REPORT[2:], NEWER], ids=["empty", "missing", "two"])
def test_format_other_than_one(payload: bytes) -> None:
    error = _refused(lambda: decode_report(payload), "message.format")
    assert isinstance(error, UnknownVersionError)


@pytest.mark.parametrize(
    "payload",
    [
        REPORT + b"\xf8\x07\x01",
        b"\x08\x01" + REPORT,
        REPORT[2:] + REPORT[:2],
        b"\x08\x81\x00" + REPORT[2:],
        REPORT + b"\x98\x01\x00",
    ],
    ids=["unknown field", "field twice", "other order", "long number", "default spelt out"],
)
def test_payload_that_is_not_canonical(payload: bytes) -> None:
    _refused(lambda: decode_report(payload), "message.not-canonical")


def test_a_field_cannot_hide_in_the_bytes_that_unpacked_lists_save() -> None:
    """Of the same length as the canonical form, so a comparison of lengths does not see it."""
    key = pb.Key(name="k", spki=b"x")
    roles = [pb.Role(name=name, threshold=1, keys=[0]) for name in "pq"]
    honest = pb.TrustRoot(
        format=1, authority="a", version=1, keys=[key], roles=roles, nonce=bytes(16)
    )
    payload = honest.SerializeToString(deterministic=True)
    decode_order(PayloadType.TRUST_ROOT, payload)
    unpacked = payload.replace(b"\x2a\x08", b"\x2a\x07").replace(b"\x1a\x01\x00", b"\x18\x00")
    hidden = unpacked + b"\x78\x01"
    assert len(hidden) == len(payload)
    _refused(lambda: decode_order(PayloadType.TRUST_ROOT, hidden), "message.not-canonical")


def test_payload_that_is_no_message() -> None:
    _refused(lambda: decode_report(REPORT[:-1]), "message.malformed")
    _refused(lambda: decode_report(REPORT + b"\xff"), "message.malformed")


def test_payload_above_its_limit_is_refused_unread() -> None:
    payload = bytes(limits.PAYLOAD_BYTES_MAX + 1)
    assert isinstance(_refused(lambda: decode_report(payload), "message.oversized"), OversizedError)


def test_order_of_an_unknown_type() -> None:
    for payload_type in ("", "text/plain", PayloadType.REPORT):
        with pytest.raises(UnknownVersionError, match=r"order\.type\.unknown"):
            decode_order(payload_type, b"")


def test_transport_messages_let_unknown_fields_pass() -> None:
    data = pb.LinkUp(hello=pb.Hello(host_ids=[b"a"])).SerializeToString() + b"\xf8\x07\x01"
    assert parse_message(pb.LinkUp(), data).hello.host_ids == [b"a"]


def test_transport_message_out_of_bounds() -> None:
    _refused(lambda: parse_message(pb.LinkUp(), b"\xff"), "message.malformed")
    _refused(lambda: parse_message(pb.LinkUp(), bytes(11), 10), "message.oversized")
    assert parse_message(pb.LinkUp(), b"", 0) == pb.LinkUp()


def test_statements_at_their_limits_are_taken() -> None:
    """Every list as long as it may be, at once, still fits into one payload."""
    name = "x" * 32
    full = statements.report(
        lanes=tuple(
            lane(workload=f"{n}".rjust(32, "w"), chips=(n,), stop_reason=name)
            for n in range(limits.LANES_MAX)
        ),
        quotes=tuple(
            Quote(authority=f"{n}", answer_digest=bytes(32), grant=bytes(32))
            for n in range(limits.QUOTES_MAX)
        ),
        findings=(replace(FINDING, detail="d" * limits.TEXT_BYTES_MAX),) * limits.FINDINGS_MAX,
        chip_count=limits.CHIPS_MAX,
        request=None,
    )
    payload = encode_report(full)
    assert decode_report(payload) == full
    assert len(payload) < limits.PAYLOAD_BYTES_MAX
    batch = statements.batch_root(batch_number=limits.COUNT_MAX, tree_size=limits.COUNT_MAX)
    assert decode_batch_root(encode_batch_root(batch)) == batch
    policy = orders.policy(
        budgets=tuple(
            Budget(scope=Scope(ScopeKind.WORKLOAD, f"{n}"), cap_tflop=limits.COUNT_MAX)
            for n in range(limits.BUDGETS_MAX)
        )
    )
    assert decode_order(*encode_order(policy)) == policy
    keys = tuple(
        replace(orders.trust_root().keys[0], spki=bytes([n])) for n in range(limits.KEYS_MAX)
    )
    root = orders.trust_root(keys=keys)
    assert decode_order(*encode_order(root)) == root


def test_fixtures_are_what_the_tests_above_change() -> None:
    """Otherwise a refusal could have another cause than the changed field."""
    assert decode_report(REPORT) == statements.report()
    enrolment, answer = statements.enrolment(), statements.answer()
    assert decode_enrolment(encode_enrolment(enrolment)) == enrolment
    assert decode_answer(encode_answer(answer)) == answer
    for order in (orders.policy(), orders.trust_root(), orders.pause(), orders.resume()):
        assert decode_order(*encode_order(order)) == order
