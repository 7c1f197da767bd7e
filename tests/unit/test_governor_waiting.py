"""Law 6 at the governor: what loosens waits, and one officer's veto ends it meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_governor.commands.status import lines_of
from flopgate_governor.service.overview import overview
from flopgate_proto.codec import decode_order
from flopgate_proto.errors import FlopgateError, ForgedError, HistoryError
from flopgate_proto.keys import SigningKey
from flopgate_proto.values import (
    Confirmation,
    Key,
    Pause,
    Policy,
    Resume,
    Revocation,
    Scope,
    ScopeKind,
    Seat,
    Seats,
    Standing,
    TrustRoot,
    Veto,
)
from tests.support.governor import (
    AUTHORITY,
    AUTHORITY_ID,
    OFFICERS,
    LocalGovernor,
    cluster_policy,
    signed,
    trust_root,
)

DAY_MS = 86_400_000
POLICY = replace(cluster_policy(10**9), loosening_delay_ms=DAY_MS)
CLUSTER = Scope(ScopeKind.CLUSTER, "c1")
EVERYTHING = Scope(ScopeKind.EVERYTHING)


@pytest.fixture
def governor_policy() -> Policy:
    return POLICY


def pause(scope: Scope = CLUSTER, nonce: int = 1) -> Pause:
    return Pause(
        authority=AUTHORITY,
        scope=scope,
        nonce=bytes([nonce]) * 16,
        reason="test",
        emergency=False,
        lapse_ms=None if scope == CLUSTER else 72 * 3_600_000,
    )


def resume(*lifts: bytes) -> Resume:
    return Resume(authority=AUTHORITY, lifts=lifts, nonce=bytes(16), reason="test")


def veto(order: bytes) -> Veto:
    return Veto(authority=AUTHORITY, order_digest=order, nonce=bytes(16), reason="not yet")


def raised(version: int = 2) -> Policy:
    return replace(cluster_policy(10**10, version), loosening_delay_ms=DAY_MS)


def paused(governor: LocalGovernor) -> int:
    return len(governor.state.book.ripe(governor.clock()).orders.pauses)


def cap(governor: LocalGovernor) -> int:
    (budget,) = (governor.state.book.ripe(governor.clock()).orders.policy or POLICY).budgets
    return budget.cap_tflop


def test_law_6_a_resume_waits_its_delay(governor: LocalGovernor) -> None:
    digest = governor.order(pause(), OFFICERS[:1])
    governor.order(resume(digest))
    governor.clock.unix_ms += DAY_MS - 1
    assert paused(governor) == 1
    governor.clock.unix_ms += 1
    assert paused(governor) == 0


def test_law_6_one_officers_veto_ends_what_waits_for_good(governor: LocalGovernor) -> None:
    digest = governor.order(pause(), OFFICERS[:1])
    lifted = governor.order(resume(digest))
    governor.order(veto(lifted), OFFICERS[2:])
    governor.clock.unix_ms += 9 * DAY_MS
    assert paused(governor) == 1
    (fallen,) = governor.state.book.orders.fallen
    assert (fallen.digest, fallen.code) == (lifted, "order.vetoed")
    assert "officer-3" in fallen.detail


def test_law_6_a_veto_that_comes_first_holds_too(governor: LocalGovernor) -> None:
    order = signed(raised())
    governor.order(veto(order.digest), OFFICERS[:1])
    with pytest.raises(HistoryError, match=r"order\.vetoed"):
        governor.order(raised())


def test_law_6_a_veto_of_what_is_in_force_is_no_success(governor: LocalGovernor) -> None:
    order = governor.order(pause(), OFFICERS[:1])
    with pytest.raises(HistoryError, match=r"veto\.late"):
        governor.order(veto(order), OFFICERS[:1])


def test_law_6_a_cap_raised_waits_and_one_lowered_does_not(governor: LocalGovernor) -> None:
    governor.order(raised())
    assert cap(governor) == 10**9
    governor.order(replace(POLICY, version=3, budgets=cluster_policy(5).budgets))
    assert cap(governor) == 5
    # The newer one rules: what waited before it never comes.
    governor.clock.unix_ms += 2 * DAY_MS
    assert cap(governor) == 5
    assert governor.state.book.ripe(governor.clock()).orders.fallen[-1].code == "order.version"


def test_law_6_the_delay_cannot_be_shortened_at_once(governor: LocalGovernor) -> None:
    governor.order(replace(POLICY, version=2, loosening_delay_ms=0))
    governor.order(raised(3))
    assert cap(governor) == 10**9
    governor.clock.unix_ms += DAY_MS
    assert cap(governor) == 10**10


def test_law_6_what_waits_is_the_same_after_a_restart(governor: LocalGovernor) -> None:
    digest = governor.order(pause(), OFFICERS[:1])
    governor.order(resume(digest))
    governor.order(raised())
    before = governor.state.book.orders.waiting
    governor.reopen()
    assert governor.state.book.orders.waiting == before
    governor.clock.unix_ms += DAY_MS
    governor.reopen()
    assert (paused(governor), cap(governor)) == (0, 10**10)


def governor_root() -> TrustRoot:
    """The root that every test's governor begins with."""
    envelope = trust_root()
    order = decode_order(envelope.payload_type, envelope.payload)
    if not isinstance(order, TrustRoot):
        raise TypeError
    return order


def test_law_6_signers_who_lost_their_say_while_it_waited_do_not_count(
    governor: LocalGovernor,
) -> None:
    governor.order(raised())
    revoke(governor, OFFICERS[0], OFFICERS[1:])
    governor.clock.unix_ms += DAY_MS
    assert cap(governor) == 10**9
    assert governor.state.book.ripe(governor.clock()).orders.fallen[-1].code == "envelope.quorum"


def revoke(governor: LocalGovernor, key: SigningKey, signers: list[SigningKey]) -> None:
    digest = bytes.fromhex(key.key_id)
    order = Revocation(authority=AUTHORITY, key_digest=digest, nonce=bytes(16), reason="stolen")
    governor.order(order, signers)


def test_law_6_a_revoked_key_pauses_nobody_and_its_pauses_are_lifted_at_once(
    governor: LocalGovernor,
) -> None:
    suspect = governor.order(pause(EVERYTHING), OFFICERS[:1])
    revoke(governor, OFFICERS[0], OFFICERS[1:])
    with pytest.raises(ForgedError):
        governor.order(pause(nonce=9), OFFICERS[:1])
    governor.order(resume(suspect), OFFICERS[1:])
    assert paused(governor) == 0


def test_law_6_a_confirmed_pause_is_nobodys_alone(governor: LocalGovernor) -> None:
    """Revoking who signed it first is no short cut past the delay."""
    confirmed = governor.order(pause(), OFFICERS[:1])
    confirmation = Confirmation(
        authority=AUTHORITY, pauses=(confirmed,), nonce=bytes(16), reason="looked into"
    )
    governor.order(confirmation, OFFICERS[1:])
    revoke(governor, OFFICERS[0], OFFICERS[1:])
    governor.order(resume(confirmed), OFFICERS[1:])
    assert paused(governor) == 1


def test_law_9_a_clock_set_back_brings_no_order_before_the_one_that_allows_it(
    governor: LocalGovernor,
) -> None:
    """Else a start anew would refuse what was accepted, and the governor would stand."""
    newcomer = SigningKey.from_scalar(4000)
    old = governor_root()
    governor.order(
        replace(
            old,
            version=2,
            keys=(*old.keys, Key(name="officer-4", spki=newcomer.spki)),
            roles=tuple(replace(role, keys=(*role.keys, 3)) for role in old.roles),
        )
    )
    governor.clock.unix_ms += DAY_MS
    overview(governor.state, ())
    governor.clock.unix_ms -= 5_000
    governor.order(pause(), [newcomer])
    governor.reopen()
    assert paused(governor) == 1


def test_law_6_a_revoked_officer_still_vetoes(governor: LocalGovernor) -> None:
    """Else a quorum could silence an officer and loosen before he can object."""
    revoke(governor, OFFICERS[0], OFFICERS[1:])
    order = signed(raised(), OFFICERS[1:])
    governor.order(raised(), OFFICERS[1:])
    governor.order(veto(order.digest), OFFICERS[:1])
    governor.clock.unix_ms += DAY_MS
    assert cap(governor) == 10**9


def test_law_6_no_revocation_leaves_too_few_for_the_next_root(governor: LocalGovernor) -> None:
    revoke(governor, OFFICERS[0], OFFICERS[1:])
    with pytest.raises(HistoryError, match=r"revocation\.root"):
        revoke(governor, OFFICERS[1], OFFICERS[1:])


@pytest.mark.parametrize("first", ["pause", "confirmation"])
def test_law_6_a_confirmed_pause_does_not_lapse(governor: LocalGovernor, first: str) -> None:
    order = signed(pause(EVERYTHING), OFFICERS[:1])
    confirmation = Confirmation(
        authority=AUTHORITY, pauses=(order.digest,), nonce=bytes(16), reason="looked into"
    )
    if first == "confirmation":
        governor.order(confirmation)
    governor.order(pause(EVERYTHING), OFFICERS[:1])
    if first == "pause":
        assert governor.state.book.orders.pauses[0].lapse_ms is not None
        governor.order(confirmation)
    assert governor.state.book.orders.pauses[0].lapse_ms is None


def test_law_6_a_lower_version_of_the_seats_is_refused(governor: LocalGovernor) -> None:
    seats = Seats(
        authority=AUTHORITY,
        version=2,
        seats=(Seat(authority="other", standing=Standing.REQUIRED),),
        reason="test",
        authority_id=AUTHORITY_ID,
    )
    governor.order(seats)
    with pytest.raises(FlopgateError, match=r"order\.version"):
        governor.order(replace(seats, version=1))
    assert governor.state.book.orders.seats == seats


def test_law_6_an_officer_added_signs_nothing_before_the_delay(governor: LocalGovernor) -> None:
    new = SigningKey.from_scalar(77)
    root = governor_root()
    keys = (*root.keys, Key(name="new", spki=new.spki))
    roles = tuple(replace(role, keys=(*role.keys, 3)) for role in root.roles)
    governor.order(replace(root, version=2, keys=keys, roles=roles))
    with pytest.raises(ForgedError):
        governor.order(pause(), [new])
    governor.clock.unix_ms += DAY_MS
    governor.order(pause(), [new])
    assert paused(governor) == 1


def test_status_tells_what_waits_and_when_a_pause_lapses(governor: LocalGovernor) -> None:
    digest = governor.order(pause(EVERYTHING), OFFICERS[:1])
    lifted = governor.order(resume(digest))
    said = "\n".join(lines_of(overview(governor.state, ())))
    assert f"pause {digest.hex()}  everything  lapses after 3d of gate running time" in said
    assert f"waits {lifted.hex()}  resume  in force from 2027-01-16" in said
    assert "loosens: 1 pause is lifted" in said
    revoke(governor, OFFICERS[0], OFFICERS[1:])
    assert "signed by revoked keys alone" in "\n".join(lines_of(overview(governor.state, ())))
