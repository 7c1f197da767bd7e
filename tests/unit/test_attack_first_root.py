"""A courier that brings a new host a trust root that a quorum signed and an officer vetoed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_proto.codec import PayloadType, decode_admission, encode_admission
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import ForgedError
from flopgate_proto.keys import SigningKey
from flopgate_proto.values import Key
from tests.support import orders
from tests.support.fixed import OFFICER_KEYS
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import GateRig

USURPERS = tuple(SigningKey.from_scalar(0x7100 + number) for number in range(3))
THEIR_PERMIT = SigningKey.from_scalar(0x7200)


def usurping(authority: GateAuthority) -> Envelope:
    """The next root, of other officers, under the old quorum and the new one."""
    keys = tuple(Key(name=f"usurper-{n}", spki=key.spki) for n, key in enumerate(USURPERS))
    root = orders.trust_root(authority=authority.name, version=2, keys=keys)
    return orders.sealed_order(root, (*OFFICER_KEYS[:2], *USURPERS[:2]))


def theirs(authority: GateAuthority) -> list[Envelope]:
    """What lets their own key sign."""
    delegation = orders.delegation(
        authority=authority.name, serial=2, permit_spki=THEIR_PERMIT.spki
    )
    return [orders.sealed_order(delegation, USURPERS[:2])]


def joining() -> tuple[GateRig, GateAuthority, Envelope]:
    """A host that asks, and the authority's honest admission."""
    authority = GateAuthority()
    rig = GateRig(authority)
    return rig, authority, authority.admission(rig.ask(authority))


def root_version(rig: GateRig, authority: GateAuthority) -> int:
    held = rig.core.authorities[authority.name].orders
    assert held is not None
    return held.trust.root.version


def test_law_6_a_root_that_the_token_does_not_name_admits_nobody() -> None:
    rig, authority, honest = joining()
    root = usurping(authority)
    said = replace(decode_admission(honest.payload), trust_root_digest=root.digest)
    forged = seal(PayloadType.ADMISSION, encode_admission(said), [THEIR_PERMIT])
    brought = [*authority.first_orders()[:1], root, *theirs(authority)]
    with pytest.raises(ForgedError, match=r"admission\.trust-root"):
        rig.core.admission(authority.name, forged, brought, rig.now)
    assert root_version(rig, authority) == 1
    assert not rig.core.authorities[authority.name].admitted


def test_law_6_nor_does_it_come_in_beside_the_admission() -> None:
    """Before any policy nothing waits: handed over as an order it would be in force at once."""
    rig, authority, honest = joining()
    first, root = authority.first_orders(), usurping(authority)
    with pytest.raises(ForgedError):
        rig.core.admission(authority.name, honest, first[:1], rig.now)
    with pytest.raises(ForgedError, match=r"admission\.trust-root"):
        rig.core.order(authority.name, root, rig.now)
    assert root_version(rig, authority) == 1
    rig.carry_out(rig.core.admission(authority.name, honest, first, rig.now))
    assert rig.core.authorities[authority.name].admitted


def test_law_6_an_older_policy_without_a_delay_admits_nobody() -> None:
    """Under it the root would be in force at once after the admission."""
    rig, authority, _ = joining()
    older = authority.first_orders()
    newer = authority.policy_order(loosening_delay_ms=3_600_000)
    honest = authority.admission(rig.ask(authority), policy_digest=newer.digest)
    with pytest.raises(ForgedError, match=r"admission\.policy"):
        rig.core.admission(authority.name, honest, older, rig.now)
    assert not rig.core.authorities[authority.name].admitted
    rig.carry_out(rig.core.admission(authority.name, honest, [*older, newer], rig.now))
    assert rig.core.authorities[authority.name].admitted


def test_a_root_that_waits_at_the_authority_keeps_nobody_out_and_waits_here() -> None:
    authority = GateAuthority()
    authority.policy = replace(authority.policy, loosening_delay_ms=60_000)
    rig = GateRig(authority)
    honest, root = authority.admission(rig.ask(authority)), usurping(authority)
    rig.carry_out(
        rig.core.admission(authority.name, honest, [*authority.first_orders(), root], rig.now)
    )
    assert rig.core.authorities[authority.name].admitted
    rig.order(root)
    assert root_version(rig, authority) == 1
    rig.run(61_000)
    assert root_version(rig, authority) == 2


@pytest.mark.parametrize("by_admission", [True, False])
def test_a_courier_keeps_no_host_out_by_a_policy_that_it_makes_wait(*, by_admission: bool) -> None:
    """It brings the one in force as if it waited behind an older one, before the admission."""
    rig, authority, _ = joining()
    stricter = authority.policy_order(loosening_delay_ms=3_600_000)
    looser = authority.policy_order(version=9, loosening_delay_ms=0)
    first = [*authority.first_orders()[:-1], stricter]
    honest = authority.admission(rig.ask(authority), policy_digest=looser.digest)
    said = replace(decode_admission(honest.payload), policy_digest=stricter.digest)
    forged = seal(PayloadType.ADMISSION, encode_admission(said), [THEIR_PERMIT])
    with pytest.raises(ForgedError):
        rig.core.admission(
            authority.name, forged, [*first, looser] if by_admission else first, rig.now
        )
    if not by_admission:
        rig.order(looser)
    assert not rig.core.authorities[authority.name].admitted
    rig.carry_out(rig.core.admission(authority.name, honest, [*first, looser], rig.now))
    assert rig.core.authorities[authority.name].admitted
