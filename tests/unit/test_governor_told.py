"""What hosts are told again, however long ago it was ordered: no more than they can need."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_governor.core import orders as core_orders
from flopgate_governor.orders.accepting import orders_for
from flopgate_proto.codec import envelope_from_wire
from flopgate_proto.values import Confirmation, Policy, Seat, Seats, Standing, Veto
from tests.support.governor import AUTHORITY, OFFICERS, LocalGovernor, cluster_policy
from tests.unit.test_governor_waiting import EVERYTHING, governor_root, pause, resume, revoke


@pytest.fixture
def governor_policy() -> Policy:
    return cluster_policy(10**9)


def told(governor: LocalGovernor) -> set[bytes]:
    wires = orders_for(governor.state, None)
    return {envelope_from_wire(one.envelope).digest for one in wires}


def test_of_seats_only_the_newest_are_told(governor: LocalGovernor) -> None:
    seats = Seats(
        authority=AUTHORITY,
        version=1,
        seats=(Seat(authority="other", standing=Standing.REQUIRED),),
        reason="test",
    )
    first, second = (governor.order(replace(seats, version=version)) for version in (1, 2))
    assert told(governor) & {first, second} == {second}


def test_a_confirmation_is_told_until_its_pauses_are_lifted(governor: LocalGovernor) -> None:
    wide = governor.order(pause(EVERYTHING), OFFICERS[:1])
    confirmation = Confirmation(
        authority=AUTHORITY, pauses=(wide,), nonce=bytes(16), reason="looked into"
    )
    digest = governor.order(confirmation)
    assert digest in told(governor)
    governor.order(resume(wide))
    other = governor.order(pause(EVERYTHING, nonce=2), OFFICERS[:1])
    governor.order(replace(confirmation, pauses=(other,)))
    assert digest not in told(governor)


def test_a_revocation_is_told_while_a_root_names_its_key(governor: LocalGovernor) -> None:
    known = told(governor)
    revoke(governor, OFFICERS[0], OFFICERS[1:])
    (digest,) = told(governor) - known
    root = governor_root()
    roles = tuple(replace(role, keys=(0, 1)) for role in root.roles)
    governor.order(replace(root, version=2, keys=root.keys[1:], roles=roles), OFFICERS[1:])
    assert digest not in told(governor)
    roles = tuple(replace(role, keys=(0, 1, 2)) for role in root.roles)
    governor.order(replace(root, version=3, roles=roles), OFFICERS[1:])
    assert digest in told(governor), "that root names it again, and it counts for nothing"


def test_law_6_only_so_many_vetoes_are_told(
    governor: LocalGovernor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_orders, "VETOES_KEPT", 3)
    veto = Veto(authority=AUTHORITY, order_digest=bytes(32), nonce=bytes(16), reason="no")
    digests = [
        governor.order(replace(veto, order_digest=bytes([number]) * 32), OFFICERS[:1])
        for number in range(1, 6)
    ]
    assert [one for one in digests if one in told(governor)] == digests[2:]
    governor.reopen()
    assert [one for one in digests if one in told(governor)] == digests[2:]


def test_law_6_no_officer_pushes_out_anothers_veto_by_many_of_his_own(
    governor: LocalGovernor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_orders, "VETOES_KEPT", 3)
    veto = Veto(authority=AUTHORITY, order_digest=bytes(32), nonce=bytes(16), reason="no")
    honest = governor.order(replace(veto, order_digest=bytes([99]) * 32), OFFICERS[1:2])
    for number in range(1, 6):
        governor.order(replace(veto, order_digest=bytes([number]) * 32), OFFICERS[:1])
    assert honest in told(governor)
    governor.reopen()
    assert honest in told(governor)
