"""What a gate hands back of an authority's orders, when there is more than one message takes."""

from __future__ import annotations

from dataclasses import replace

from flopgate_proto.envelope import Signature
from flopgate_proto.limits import HELD_ORDERS_MAX
from flopgate_proto.values import Veto
from tests.support import orders
from tests.support.fixed import OFFICER_KEYS
from tests.support.gate_rig import GateRig


def test_law_6_no_officer_pushes_out_what_another_ordered_by_many_of_his_own() -> None:
    rig = GateRig()
    rig.enrol()
    pause = rig.authority.pause()
    rig.order(pause)
    vetoes = [
        orders.sealed_order(
            Veto(
                authority=rig.authority.name,
                order_digest=bytes([number]) * 32,
                nonce=bytes(16),
                reason="no",
            ),
            OFFICER_KEYS[2:3],
        )
        for number in range(HELD_ORDERS_MAX + 1)
    ]
    for number, veto in enumerate(vetoes):
        added = Signature(key_id=bytes([number] * 32).hex(), sig=bytes(8))
        rig.order(replace(veto, signatures=(*veto.signatures, added)))
    held = rig.core.authorities[rig.authority.name].held_orders(rig.core.running_ms)
    digests = [one.digest for one in held]
    assert pause.digest in digests
    assert len(digests) == HELD_ORDERS_MAX
    # The newest, as they came.
    kept = [one.digest for one in vetoes if one.digest in digests]
    assert kept == [one.digest for one in vetoes[-len(kept) :]]
    assert [one for one in digests if one in set(kept)] == kept
