"""Trust roots and orders: pins, thresholds, roles, versions."""

from dataclasses import replace

import pytest

from flopgate_proto.codec import PayloadType, encode_order
from flopgate_proto.envelope import Envelope, cosign, seal
from flopgate_proto.errors import (
    FlopgateError,
    ForgedError,
    HistoryError,
    MalformedError,
    MisdirectedError,
    UnknownVersionError,
)
from flopgate_proto.keys import SigningKey
from flopgate_proto.trust import ROLE_OF, Trust
from flopgate_proto.values import Key, Order, Role, TrustRoot
from tests.support import further_orders, orders, statements
from tests.support.fixed import AUTHORITY, OFFICER_KEYS, STRANGER_KEY
from tests.support.orders import TRUST_ROOT_DIGEST, TRUST_ROOT_ENVELOPE, sealed_order, trust

NEW_KEYS = tuple(SigningKey.from_scalar(0x6001 + n) for n in range(3))


def _successor(version: int = 2, **fields: object) -> TrustRoot:
    keys = tuple(Key(name=f"new-{n}", spki=key.spki) for n, key in enumerate(NEW_KEYS))
    return orders.trust_root(version=version, keys=keys, nonce=b"", **fields)


def _code(trust_of: Trust, envelope: Envelope, error: type[FlopgateError]) -> str:
    with pytest.raises(error) as caught:
        trust_of.verify(envelope)
    return caught.value.code


def test_pinned_root_is_taken() -> None:
    accepted = Trust.pinned(TRUST_ROOT_ENVELOPE, TRUST_ROOT_DIGEST)
    assert (accepted.authority, accepted.digest) == (AUTHORITY, TRUST_ROOT_DIGEST)
    assert accepted.root == orders.trust_root()


def test_a_root_of_before_authorities_had_an_id_says_what_to_do() -> None:
    root = seal(*encode_order(replace(orders.trust_root(), nonce=b"")), OFFICER_KEYS)
    with pytest.raises(MalformedError, match=r"trust-root.nonce.*flopgate-governor init"):
        Trust.stored(root)


def test_another_root_than_the_pinned_one_is_refused() -> None:
    with pytest.raises(MisdirectedError, match=r"trust-root\.pin"):
        Trust.pinned(sealed_order(orders.trust_root(version=2)), TRUST_ROOT_DIGEST)


def test_pinned_root_below_its_own_threshold_is_refused() -> None:
    """The digest does not cover signatures, so the pin alone proves no quorum."""
    alone = sealed_order(orders.trust_root(), OFFICER_KEYS[:1])
    assert alone.digest == TRUST_ROOT_DIGEST
    with pytest.raises(ForgedError, match=r"envelope\.quorum"):
        Trust.pinned(alone, TRUST_ROOT_DIGEST)
    with pytest.raises(ForgedError, match=r"envelope\.quorum"):
        Trust.stored(alone)


def test_pinned_statement_that_is_no_root_is_refused() -> None:
    policy = sealed_order(orders.policy())
    with pytest.raises(MalformedError):
        Trust.pinned(policy, policy.digest)


def test_root_bytes_under_another_type_are_no_root() -> None:
    _, payload = encode_order(orders.trust_root())
    disguised = seal(PayloadType.POLICY, payload, OFFICER_KEYS)
    with pytest.raises(UnknownVersionError, match=r"trust-root\.type"):
        Trust.pinned(disguised, disguised.digest)


def test_root_without_a_root_role_cannot_speak_for_itself() -> None:
    roles = tuple(role for role in orders.trust_root().roles if role.name != "root")
    envelope = sealed_order(orders.trust_root(roles=roles))
    with pytest.raises(ForgedError, match=r"order\.role"):
        Trust.pinned(envelope, envelope.digest)


def test_root_with_a_key_that_does_not_load_is_refused() -> None:
    keys = (*orders.trust_root().keys, Key(name="junk", spki=b"junk"))
    envelope = sealed_order(orders.trust_root(keys=keys))
    with pytest.raises(MalformedError, match=r"key\.malformed"):
        Trust.pinned(envelope, envelope.digest)


def test_successor_signed_by_both_quorums_is_taken_and_rules() -> None:
    envelope = sealed_order(_successor(), [*OFFICER_KEYS[:2], *NEW_KEYS[:2]])
    new = trust().successor(envelope)
    assert new.root.version == 2
    pause = sealed_order(orders.pause(), OFFICER_KEYS[:1])
    assert _code(new, pause, ForgedError) == "envelope.quorum"
    assert new.verify(sealed_order(orders.pause(), NEW_KEYS[:1])).order == orders.pause()


@pytest.mark.parametrize(
    "signers",
    [
        OFFICER_KEYS[:2],
        NEW_KEYS[:2],
        (*OFFICER_KEYS[:1], *NEW_KEYS[:2]),
        (*OFFICER_KEYS[:2], *NEW_KEYS[:1]),
    ],
    ids=["old only", "new only", "old short of one", "new short of one"],
)
def test_successor_needs_both_thresholds(signers: tuple[SigningKey, ...]) -> None:
    with pytest.raises(ForgedError, match=r"envelope\.quorum"):
        trust().successor(sealed_order(_successor(), signers))


@pytest.mark.parametrize("version", [0, 1])
def test_root_of_no_higher_version_is_refused(version: int) -> None:
    envelope = sealed_order(_successor(version), [*OFFICER_KEYS[:2], *NEW_KEYS[:2]])
    with pytest.raises(HistoryError, match=r"trust-root\.version"):
        trust().successor(envelope)


def test_successor_of_another_authority_is_refused() -> None:
    envelope = sealed_order(_successor(authority="other"), [*OFFICER_KEYS[:2], *NEW_KEYS[:2]])
    with pytest.raises(MisdirectedError, match=r"order\.authority"):
        trust().successor(envelope)


def test_what_is_signed_for_an_authority_founded_anew_is_not_of_this_one() -> None:
    """The same name, officers, keys and roles: only the nonce differs."""
    again = sealed_order(orders.trust_root(nonce=bytes(16)))
    other = Trust.pinned(again, again.digest)
    assert other.authority_id == again.digest != trust().authority_id == TRUST_ROOT_DIGEST
    later = sealed_order(orders.trust_root(version=2, authority_id=other.authority_id))
    assert other.successor(later).authority_id == other.authority_id
    pause = sealed_order(orders.pause(authority_id=other.authority_id), OFFICER_KEYS[:1])
    assert other.verify(pause).digest != sealed_order(orders.pause()).digest
    for foreign in (again, later, pause):
        assert _code(trust(), foreign, MisdirectedError) == "order.other-authority"


def test_a_later_root_cannot_be_pinned_as_the_first_one() -> None:
    """Anybody could found an authority that bears another's id, and have its officers' orders."""
    later = sealed_order(orders.trust_root(version=2))
    with pytest.raises(MisdirectedError, match=r"trust-root\.first"):
        Trust.pinned(later, later.digest)
    with pytest.raises(MisdirectedError, match=r"trust-root\.first"):
        Trust.stored(later)


def test_order_that_is_no_root_cannot_succeed_one() -> None:
    with pytest.raises(MalformedError):
        trust().successor(sealed_order(orders.policy()))


@pytest.mark.parametrize(
    ("order", "quorum"),
    [
        (orders.delegation(), 2),
        (orders.policy(), 2),
        (orders.pause(), 1),
        (orders.resume(), 2),
        (orders.reconciliation(), 2),
        (orders.ruling(), 2),
    ],
    ids=["delegation", "policy", "pause", "resume", "reconciliation", "ruling"],
)
def test_order_holds_from_its_quorum_on(order: Order, quorum: int) -> None:
    verified = trust().verify(sealed_order(order, OFFICER_KEYS[:quorum]))
    assert verified.order == order
    assert verified.signers == {key.key_id for key in OFFICER_KEYS[:quorum]}
    short = [*OFFICER_KEYS[: quorum - 1], STRANGER_KEY]
    assert _code(trust(), sealed_order(order, short), ForgedError) == "envelope.quorum"


def test_one_officer_who_signs_twice_is_one() -> None:
    envelope = sealed_order(orders.resume(), OFFICER_KEYS[:1])
    twice = cosign(envelope, OFFICER_KEYS[0])
    assert len(twice.signatures) == 2
    assert _code(trust(), twice, ForgedError) == "envelope.quorum"


def test_pause_under_the_type_of_a_resume_is_refused() -> None:
    """One officer may pause; his signature must not pass for anything dearer."""
    pause = sealed_order(orders.pause(), OFFICER_KEYS)
    disguised = replace(pause, payload_type=PayloadType.RESUME.value)
    assert _code(trust(), disguised, ForgedError) == "envelope.quorum"


def test_order_of_another_authority_is_refused() -> None:
    envelope = sealed_order(orders.pause(authority="other.example"), OFFICER_KEYS[:1])
    assert _code(trust(), envelope, MisdirectedError) == "order.authority"


def test_statement_that_is_no_order_is_refused() -> None:
    report = statements.sealed_report(statements.report(), OFFICER_KEYS[0])
    assert _code(trust(), report, UnknownVersionError) == "order.type.unknown"


def test_order_of_a_role_that_the_root_does_not_name_is_refused() -> None:
    only_root = (Role(name="root", threshold=1, keys=(0,)),)
    envelope = sealed_order(orders.trust_root(roles=only_root))
    bare = Trust.pinned(envelope, envelope.digest)
    assert _code(bare, sealed_order(orders.pause(), OFFICER_KEYS), ForgedError) == "order.role"


def test_every_kind_of_order_has_a_role() -> None:
    kinds = {
        encode_order(order)[0]
        for order in (
            orders.trust_root(),
            orders.delegation(),
            orders.policy(),
            orders.pause(),
            orders.resume(),
            orders.reconciliation(),
            orders.ruling(),
            *further_orders.ALL,
        )
    }
    assert kinds == set(ROLE_OF)
