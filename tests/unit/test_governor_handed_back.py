"""Law 6: what a store put back from a backup lost, hosts hand back."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.orders.accepting import accept_order, ripen
from flopgate_governor.orders.handed_back import held_in, take_back
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import OversizedError
from flopgate_proto.limits import HELD_ORDERS_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Confirmation, Order, Policy
from tests.support.fixed import STRANGER_KEY
from tests.support.governor import AUTHORITY, OFFICERS, LocalGovernor, joined, signed
from tests.unit.test_governor_waiting import (
    DAY_MS,
    EVERYTHING,
    POLICY,
    pause,
    raised,
    resume,
    revoke,
    veto,
)


@pytest.fixture
def governor_policy() -> Policy:
    return POLICY


def backup(governor: LocalGovernor) -> Path:
    """A copy of the store as it stands."""
    copy = governor.path.with_name("backup.sqlite")
    governor.state.store.close()
    shutil.copy(governor.path, copy)
    governor.reopen()
    return copy


def one(order: Order) -> Envelope:
    return signed(order, OFFICERS[:1])


def test_pauses_vetoes_and_revocations_that_a_backup_lacks_come_back(
    governor: LocalGovernor,
) -> None:
    copy = backup(governor)
    wide = one(pause(EVERYTHING))
    confirmation = Confirmation(
        authority=AUTHORITY, pauses=(wide.digest,), nonce=bytes(16), reason="looked into"
    )
    accept_order(governor.state, wide)
    accept_order(governor.state, signed(confirmation))
    revoke(governor, OFFICERS[0], OFFICERS[1:])
    book = governor.state.book
    held = [wide, *(told.envelope for told in book.told)]
    governor.reopen(copy)
    assert not governor.state.book.orders.pauses
    # The revoked key's pause comes before its revocation, as the host took them.
    assert len(take_back(governor.state, held)) == 3
    assert governor.state.book.orders.pauses == tuple(
        replace(before, since_ms=governor.clock()) for before in book.orders.pauses
    )
    assert governor.state.book.orders.trust.revoked == book.orders.trust.revoked
    assert take_back(governor.state, held) == []
    governor.reopen()
    assert [found.digest for found in governor.state.book.orders.pauses] == [wide.digest]


def test_what_is_known_forged_or_loosens_is_not_taken(governor: LocalGovernor) -> None:
    lifted = one(pause())
    accept_order(governor.state, lifted)
    governor.order(replace(POLICY, version=2, loosening_delay_ms=0), OFFICERS)
    governor.clock.unix_ms += DAY_MS
    governor.order(resume(lifted.digest))
    forged = signed(pause(nonce=9), [STRANGER_KEY])
    before = governor.state.book
    looser = signed(replace(raised(3), loosening_delay_ms=0))
    assert take_back(governor.state, [lifted, forged, looser, signed(resume(bytes(32)))]) == []
    assert governor.state.book is before


def test_law_6_a_veto_holds_although_its_order_was_due_before_any_host_spoke(
    governor: LocalGovernor,
) -> None:
    policy = signed(raised())
    accept_order(governor.state, policy)
    copy = backup(governor)
    ended = one(veto(policy.digest))
    accept_order(governor.state, ended)
    governor.clock.unix_ms += 2 * DAY_MS
    governor.reopen(copy)
    ripen(governor.state)
    assert governor.state.book.orders.policy_version == 1, "a host may hold a veto"
    pushed = one(pause(nonce=7))
    assert len(take_back(governor.state, [pushed, ended])) == 2
    governor.clock.unix_ms += DAY_MS
    governor.reopen()
    governor.clock.unix_ms += POLICY.lifetime_ms
    ripen(governor.state)
    assert governor.state.book.orders.policy_version == 1


def test_what_nobody_vetoed_comes_into_force_a_lifetime_after_the_start(
    governor: LocalGovernor,
) -> None:
    accept_order(governor.state, signed(raised()))
    governor.clock.unix_ms += 2 * DAY_MS
    governor.reopen()
    governor.clock.unix_ms += POLICY.lifetime_ms - 1
    ripen(governor.state)
    assert governor.state.book.orders.policy_version == 1
    governor.clock.unix_ms += 1
    ripen(governor.state)
    assert governor.state.book.orders.policy_version == 2


def test_more_than_a_host_may_hand_back_is_refused() -> None:
    wire = pb.SignedOrder(envelope=envelope_to_wire(one(pause())))
    assert len(held_in([wire] * HELD_ORDERS_MAX)) == HELD_ORDERS_MAX
    with pytest.raises(OversizedError, match=r"link\.held-orders"):
        held_in([wire] * (HELD_ORDERS_MAX + 1))


def test_what_was_in_force_stays_so_over_a_restart(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    accept_order(governor.state, signed(raised()))
    governor.clock.unix_ms += 2 * DAY_MS
    host.accept(governor.send(host.report()))
    assert governor.state.book.orders.policy_version == 2
    governor.reopen()
    ripen(governor.state)
    assert governor.state.book.orders.policy_version == 2
