"""What an officer is told of those that an order names by a digest, before he signs it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flopgate_governor.orders.drafts import encoded
from flopgate_governor.orders.known import known_lines, officer_of
from flopgate_proto.errors import MisuseError
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.values import (
    Closure,
    Confirmation,
    Key,
    Order,
    Policy,
    Revocation,
    Role,
    Veto,
)
from tests.support import orders
from tests.support.governor import (
    AUTHORITY,
    AUTHORITY_ID,
    OFFICERS,
    PERMIT,
    LocalGovernor,
    delegation,
    joined,
    ours,
)
from tests.support.governor_licenses import approval_of, asking, carry
from tests.unit.test_governor_waiting import POLICY, governor_root, pause, resume

STRANGER = SigningKey.from_scalar(9_000)
SAID: Any = {"authority": AUTHORITY, "nonce": bytes(16), "reason": "test"}


@pytest.fixture
def governor_policy() -> Policy:
    return POLICY


def known(governor: LocalGovernor, order: Order) -> list[str]:
    whole = ours(order)
    role, *named = known_lines(encoded(whole)[0], whole, governor.state)
    assert role.startswith("role ")
    return named


def revocation(key: SigningKey) -> Revocation:
    return Revocation(key_digest=key_digest(key.spki), **SAID)


def test_a_key_that_is_revoked_has_an_officers_name(governor: LocalGovernor) -> None:
    (told,) = known(governor, revocation(OFFICERS[1]))
    name = governor_root().keys[1].name
    assert told.startswith(f"key {OFFICERS[1].key_id[:16]}: officer {name}'s, of the roles ")
    assert "resume" in told
    (online,) = known(governor, revocation(PERMIT))
    assert online.endswith(": online key, delegation 1, this governor signs with it")
    (stranger,) = known(governor, revocation(STRANGER))
    assert stranger.endswith("of no officer, and never an online key here")


def test_the_online_key_that_a_governor_signs_with_is_told_from_others(
    governor: LocalGovernor,
) -> None:
    """Not the one that was delegated last: until it is installed, to revoke the first halts all."""
    governor.order(replace(delegation(), serial=2, permit_spki=STRANGER.spki))
    (signs,) = known(governor, revocation(PERMIT))
    assert signs.endswith("delegation 1, this governor signs with it")
    (other,) = known(governor, revocation(STRANGER))
    assert other.endswith("delegation 2, this governor does not sign with it")


def test_pauses_that_are_lifted_have_scope_officer_and_reason(governor: LocalGovernor) -> None:
    digest = governor.order(pause(), OFFICERS[:1])
    name = governor_root().keys[0].name
    shown = f"pause {digest.hex()[:16]}: of cluster:c1, by {name}: test"
    for order in (resume(digest), Confirmation(pauses=(digest,), **SAID)):
        assert known(governor, order) == [shown]
    assert known(governor, resume(bytes(32))) == [f"pause {'0' * 16}: not in force here"]


def test_what_a_veto_ends_is_told_in_its_own_words(governor: LocalGovernor) -> None:
    latched = governor.order(pause(), OFFICERS[:1])
    waits = governor.order(resume(latched))
    first, *words = known(governor, Veto(order_digest=waits, **SAID))
    assert first.startswith(f"order {waits.hex()[:16]}: in force from ")
    assert words[:2] == [
        f"  Lift pauses, for {AUTHORITY}, whose id is {AUTHORITY_ID.hex()}",
        f"  pause {latched.hex()}",
    ]
    (none,) = known(governor, Veto(order_digest=bytes(32), **SAID))
    assert none.endswith("does not wait here")


def test_a_host_has_a_cluster_and_a_custodian(governor: LocalGovernor) -> None:
    host = joined(governor, 1)[0]
    (told,) = known(governor, Closure(host_id=host.host_id, **SAID))
    assert told.startswith(f"host {host.host_id.hex()[:16]}: of cluster ")
    (stranger,) = known(governor, Closure(host_id=bytes(32), **SAID))
    assert stranger.endswith("not on record here")


def test_a_delegation_says_whether_this_governor_has_the_key(governor: LocalGovernor) -> None:
    (own,) = known(governor, replace(delegation(), serial=2))
    assert own.endswith("this governor signs with it")
    (other,) = known(governor, replace(delegation(), serial=2, permit_spki=STRANGER.spki))
    assert other.endswith("this governor does not sign with it")


def test_a_root_says_whose_keys_come_and_go(governor: LocalGovernor) -> None:
    root = governor_root()
    assert known(governor, replace(root, version=2)) == ["the keys are those of the root in force"]
    keys = (*root.keys[:2], Key(name="dora", spki=STRANGER.spki))
    told = known(governor, replace(root, version=2, keys=keys))
    assert told == [
        f"left out: {root.keys[2].name}'s key {OFFICERS[2].key_id[:16]}",
        f"new: dora's key {STRANGER.key_id[:16]}",
    ]


def test_a_policy_says_what_changes(governor: LocalGovernor) -> None:
    (told,) = known(governor, replace(POLICY, version=2, drift_ppm=POLICY.drift_ppm + 1))
    assert told.split()[1] == "drift_ppm:"


def test_who_signs_is_named_by_the_root(governor: LocalGovernor) -> None:
    trust = governor.state.book.orders.trust
    assert officer_of(OFFICERS[0].spki, trust) == f"officer {governor_root().keys[0].name}"
    assert officer_of(STRANGER.spki, trust).endswith("of no officer in the trust root")
    assert officer_of(STRANGER.spki, None) == f"key {STRANGER.key_id[:16]}"


def test_law_6_what_reads_otherwise_than_it_was_meant_is_not_signed() -> None:
    """Officers see an order, and sign bytes: a difference between both is ours, and no order."""
    root = orders.trust_root()
    listed = [Role(name=role.name, threshold=role.threshold, keys=role.keys) for role in root.roles]
    with pytest.raises(MisuseError, match=r"order\.codec"):
        encoded(replace(root, roles=listed))  # type: ignore[arg-type]


def test_law_5_requests_of_an_approval_have_hosts_and_what_they_ask_for(
    governor: LocalGovernor,
) -> None:
    host = joined(governor)[0]
    request = asking(host, ask_tflop=5_000_000, span_ms=86_400_000)
    carry(governor, request)
    approval = replace(approval_of(governor, request), requests=(request.digest, bytes(32)))
    asked, whose, unknown = known(governor, approval)
    assert asked == f"request {request.digest.hex()[:16]}: a license for 1d, 5e18 FLOP of w1"
    assert whose.strip().startswith(f"host {host.host_id.hex()[:16]}: of cluster c1, custodian cu")
    assert unknown == f"request {bytes(8).hex()}: not on record here"
    many = tuple(bytes([1, number]) * 16 for number in range(70))
    assert known(governor, replace(approval, requests=many))[-1] == "and 6 requests more"
