"""What a stream is told when it says for which hosts it speaks: their orders, and what is odd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flopgate_governor.orders.accepting import orders_for
from flopgate_governor.state import State
from flopgate_proto.errors import OversizedError
from flopgate_proto.limits import HELLO_HOSTS_MAX, MESSAGE_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb

GREETING_BYTES_MAX: Final = MESSAGE_BYTES_MAX // 4
"""Most bytes of orders in one message; the rest is room for notices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Hosts of a Hello: those that the caller may speak for, and the others."""

    own: tuple[bytes, ...]
    refused: tuple[bytes, ...]


def named_in(hello: pb.Hello, host_id: bytes | None) -> Named:
    """Sort the hosts of a Hello; ``host_id`` is the caller's one host, ``None`` for a relay.

    Raises:
        OversizedError: too many hosts in one message.
    """
    if len(hello.host_ids) > HELLO_HOSTS_MAX:
        raise OversizedError(
            f"{len(hello.host_ids)} hosts in one Hello, at most {HELLO_HOSTS_MAX} are taken",
            code="link.hosts",
            remedy="Say Hello again for the others.",
        )
    return Named(
        own=tuple(named for named in hello.host_ids if host_id in (None, named)),
        refused=tuple(named for named in hello.host_ids if host_id not in (None, named)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """Messages that answer a Hello, and the hosts that are not enrolled."""

    messages: tuple[pb.LinkDown, ...]
    unknown: frozenset[bytes]


def greet(state: State, named: Named) -> Greeting:
    """Orders that these hosts must hold, and notices for those that cannot be served."""
    state.know(named.own)
    hosts = [state.hosts[h].host for h in named.own if h in state.hosts]
    known = {host.host_id for host in hosts}
    unknown = [host_id for host_id in named.own if host_id not in known]
    messages = greetings(orders_for(state, hosts))
    notices = messages[0].notices
    notices.extend(pb.Notice(host_id=h, reason="link.certificate") for h in named.refused)
    notices.extend(pb.Notice(host_id=h, reason="host.unknown") for h in unknown)
    return Greeting(messages=tuple(messages), unknown=frozenset(unknown))


def greetings(orders: Sequence[pb.SignedOrder]) -> list[pb.LinkDown]:
    """Orders in their order, in messages that couriers take; at least one message.

    One officer can sign pauses without end: together they must not lock every host out.
    """
    messages, size = [pb.LinkDown()], 0
    for order in orders:
        size += order.ByteSize()
        if size > GREETING_BYTES_MAX and messages[-1].orders:
            messages.append(pb.LinkDown())
            size = order.ByteSize()
        messages[-1].orders.append(order)
    return messages
