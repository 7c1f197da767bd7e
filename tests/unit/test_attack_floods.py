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
from flopgate_governor.service.registration import ENROLMENTS_MAX, RegistrationService
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

    def __init__(self) -> None:
        self.code = ""

    async def abort(self, code: Any, _detail: str) -> None:
        """End the call."""
        self.code = code.name
        raise Refused


def test_enrolments_do_not_pile_up_before_the_writer(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite")
    envelope = FakeHost(1).enrolment(governor.token())
    governor.state.store.close()
    request = pb.EnrollRequest(enrolment=envelope_to_wire(envelope))
    callers: list[Any] = [Caller() for _ in range(ENROLMENTS_MAX + 5)]

    async def flood() -> None:
        committer = Committer(lambda: _reopened(governor))
        await committer.start()
        service = RegistrationService(committer, _tls(), AUTHORITY)
        free = Event()
        busy = asyncio.ensure_future(committer.call(lambda _: free.wait()))
        calls = [asyncio.ensure_future(service.Enroll(request, caller)) for caller in callers]
        for call in calls[ENROLMENTS_MAX:]:
            with pytest.raises(Refused):
                await call
        free.set()
        await busy
        done = await asyncio.gather(*calls, return_exceptions=True)
        await committer.close()
        assert sum(isinstance(reply, pb.EnrollReply) for reply in done) == ENROLMENTS_MAX

    asyncio.run(asyncio.wait_for(flood(), 20))
    assert [caller.code for caller in callers] == [""] * ENROLMENTS_MAX + ["RESOURCE_EXHAUSTED"] * 5


def _reopened(governor: LocalGovernor) -> State:
    governor.reopen()
    return governor.state


def _tls() -> CertificateAuthority:
    return CertificateAuthority(new_authority("test", dt.datetime.now(dt.UTC)))
