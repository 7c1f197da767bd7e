"""Messages that cost the receiver far more than the sender."""

import asyncio
import datetime as dt
import tracemalloc
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from flopgate_governor.commit import Committer
from flopgate_governor.pki import CertificateAuthority, new_authority
from flopgate_governor.service.greeting import GREETING_BYTES_MAX, greetings
from flopgate_governor.service.guard import Calls
from flopgate_governor.service.registration import (
    ENROLMENTS_MAX,
    OF_ADDRESS_MAX,
    RegistrationService,
)
from flopgate_governor.state import State
from flopgate_proto.codec import envelope_from_wire, envelope_to_wire
from flopgate_proto.errors import MalformedError
from flopgate_proto.limits import MESSAGE_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.governor import AUTHORITY, FakeHost, LocalGovernor, signed
from tests.support.governor_steps import pause


def test_signatures_are_counted_before_they_are_read() -> None:
    bomb = pb.Envelope(payload=b"x", payload_type="t")
    bomb.MergeFromString(b"\x1a\x00" * 100_000)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedError, match=r"envelope\.signatures"):
            envelope_from_wire(bomb)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000


def test_a_flood_of_pauses_still_greets_every_host() -> None:
    one = pb.SignedOrder(envelope=envelope_to_wire(signed(pause())))
    orders = [one] * (3 * MESSAGE_BYTES_MAX // one.ByteSize())
    messages = greetings(orders)
    assert [order for message in messages for order in message.orders] == orders
    assert max(message.ByteSize() for message in messages) < 2 * GREETING_BYTES_MAX
    assert len(greetings([])) == 1


class Refused(Exception):
    """What a context's abort raises."""


class Caller:
    """As much of a gRPC context as an unary call needs."""

    def __init__(self, address: int = 0) -> None:
        self.code = ""
        self._address = address

    def peer(self) -> str:
        """From where it calls."""
        return f"ipv4:192.0.2.{self._address}:4242"

    async def abort(self, code: Any, _detail: str) -> None:
        """End the call."""
        self.code = code.name
        raise Refused


def test_enrolments_do_not_pile_up_before_the_writer(tmp_path: Path) -> None:
    callers: list[Any] = [Caller(number) for number in range(ENROLMENTS_MAX + 5)]
    assert enrolled(tmp_path, callers, ENROLMENTS_MAX) == ENROLMENTS_MAX
    assert [caller.code for caller in callers] == [""] * ENROLMENTS_MAX + ["RESOURCE_EXHAUSTED"] * 5


def test_who_asks_without_end_leaves_room_for_others(tmp_path: Path) -> None:
    callers: list[Any] = [*[Caller(1)] * OF_ADDRESS_MAX, *[Caller(1) for _ in range(20)], Caller(2)]
    assert enrolled(tmp_path, callers, OF_ADDRESS_MAX, last=1) == OF_ADDRESS_MAX + 1
    codes = [caller.code for caller in callers]
    assert codes == [""] * OF_ADDRESS_MAX + ["RESOURCE_EXHAUSTED"] * 20 + [""]


def enrolled(folder: Path, callers: list[Any], first: int, last: int = 0) -> int:
    """All call at once; all but the first ones and the last ones are refused. How many replies."""
    governor = LocalGovernor.make(folder / "g.sqlite")
    envelope = FakeHost(1).enrolment(governor.token())
    governor.state.store.close()
    request = pb.EnrollRequest(enrolment=envelope_to_wire(envelope))

    async def flood() -> int:
        committer = Committer(lambda: _reopened(governor))
        await committer.start()
        counted = Calls()
        service = RegistrationService(committer, counted, _tls(), AUTHORITY)
        free = Event()
        busy = asyncio.ensure_future(committer.call(lambda _: free.wait()))
        calls = [asyncio.ensure_future(service.Enroll(request, caller)) for caller in callers]
        for call in calls[first : len(calls) - last]:
            with pytest.raises(Refused):
                await call
        # What `status` tells of calls that were too many.
        assert counted.refused == len(calls) - first - last
        free.set()
        await busy
        done = await asyncio.gather(*calls, return_exceptions=True)
        await committer.close()
        return sum(isinstance(reply, pb.EnrollReply) for reply in done)

    return asyncio.run(asyncio.wait_for(flood(), 20))


def _reopened(governor: LocalGovernor) -> State:
    governor.reopen()
    return governor.state


def _tls() -> CertificateAuthority:
    return CertificateAuthority(new_authority("test", dt.datetime.now(dt.UTC)))
