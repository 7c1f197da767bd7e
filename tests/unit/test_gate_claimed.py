"""What says of itself whose it is selects keys; it is taken for nothing until they verified it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from flopgate_agent.gate.authorities.claimed import claimed_authority
from flopgate_agent.gate_process import inbox
from flopgate_proto.codec import (
    PayloadType,
    encode_admission,
    encode_opening,
    encode_order,
    encode_trusted_time,
    envelope_to_wire,
)
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import MisdirectedError, PeerError, UnknownVersionError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.licenses import ReserveOpening, TrustedTime
from tests.support import orders, statements
from tests.support.fixed import OFFICER_KEYS
from tests.support.gate_picture import picture
from tests.support.gate_rig import running

STATEMENTS: Final[dict[PayloadType, Callable[[str], bytes]]] = {
    PayloadType.ADMISSION: lambda name: encode_admission(statements.admission(authority=name)),
    PayloadType.RESERVE_OPENING: lambda name: encode_opening(
        ReserveOpening(authority=name, approval=bytes(32), nonce=bytes(16), reason="cut off")
    ),
    PayloadType.TRUSTED_TIME: lambda name: encode_trusted_time(
        TrustedTime(authority=name, governor_unix_ms=1)
    ),
    PayloadType.PAUSE: lambda name: encode_order(orders.pause(authority=name))[1],
}


@pytest.mark.parametrize("kind", STATEMENTS)
def test_a_statement_says_whose_it_is(kind: PayloadType) -> None:
    assert claimed_authority(kind, STATEMENTS[kind]("named.example")) == "named.example"


@pytest.mark.parametrize("kind", STATEMENTS)
@pytest.mark.parametrize("data", [b"\x00", b"\xff" * 64])
def test_rubbish_says_nothing(kind: PayloadType, data: bytes) -> None:
    with pytest.raises(PeerError):
        claimed_authority(kind, data)


def brought_as_order(envelope: Envelope) -> PeerError:
    """Why a running gate refuses it; nothing has changed."""
    rig = running()
    rig.core.handle_timer(rig.now)
    before = picture(rig.core)
    with pytest.raises(PeerError) as error:
        inbox.take_order(rig.core, pb.SignedOrder(envelope=envelope_to_wire(envelope)), rig.now)
    assert picture(rig.core) == before
    return error.value


@pytest.mark.parametrize("kind", sorted(STATEMENTS.keys() - {PayloadType.PAUSE}))
def test_what_is_no_order_is_taken_for_none_whoever_signed_it(kind: PayloadType) -> None:
    name = running().authority.name
    error = brought_as_order(seal(kind, STATEMENTS[kind](name), OFFICER_KEYS))
    assert isinstance(error, UnknownVersionError)
    assert error.code == "order.type.unknown"


def test_an_order_in_the_name_of_a_stranger_is_refused() -> None:
    order = seal(PayloadType.PAUSE, STATEMENTS[PayloadType.PAUSE]("named.example"), OFFICER_KEYS)
    assert isinstance(brought_as_order(order), MisdirectedError)
