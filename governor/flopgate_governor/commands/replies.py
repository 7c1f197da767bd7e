"""What an order on record does now, and what whoever signed it looks at next."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flopgate_governor.desk.client import status
from flopgate_governor.files import Layout
from flopgate_governor.views.scope_names import Names, Stranger, names_in
from flopgate_governor.wiring import opened
from flopgate_proto.amounts import counted, span_text
from flopgate_proto.codec.common import scope_of
from flopgate_proto.errors import FlopgateError
from flopgate_proto.keys import key_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import Scope, ScopeKind
from flopgate_proto.values.orders import (
    Adoption,
    Closure,
    ClusterRuling,
    Order,
    Pause,
    Policy,
    Registration,
    Relief,
    Resume,
    Revocation,
    Seats,
    TrustRoot,
    Veto,
)

SHOWN = 8
"""Of the digest so many digits, and of pauses that still stand so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Lines for people, and what is added to the document for programs."""

    lines: list[str] = field(default_factory=list)
    document: dict[str, Any] = field(default_factory=dict)


def strangers(layout: Layout, named: Iterable[Scope]) -> list[Stranger]:
    """Those scopes of which no host is here.

    Raises:
        ConfigError, StorageError: what is known here cannot be read.
    """
    with opened(layout) as state:
        names = names_in(state)
    return [found for found in map(names.stranger, named) if found is not None]


def named(order: Order) -> list[Scope]:
    """What an order names that may be a slip of the pen. Others' names are refused, or remarked."""
    match order:
        case Pause(scope=scope):
            return [scope]
        case Registration(custodian=name):
            return [Scope(ScopeKind.CUSTODIAN, name)]
        case _:
            return []


def after(layout: Layout, order: Order, digest: bytes, *, waits: bool) -> Reply:
    """What an order that was just taken does, and what comes next.

    It is on record: whatever cannot be read here any more is left out.
    """
    where = f"--dir {layout.root}"
    try:
        match order:
            case Pause():
                with opened(layout) as state:
                    names = names_in(state)
                return _paused(where, order, digest, names, status(layout))
            case Resume():
                return _resumed(where, order, digest, status(layout), waits=waits)
            case _ if waits:
                return Reply(lines=[f"next: {_until_then(where, digest)}"])
            case Revocation():
                with opened(layout) as state:
                    officers = [key_digest(key.spki) for key in state.book.orders.trust.root.keys]
                told = _revoked(where, officer=order.key_digest in officers)
            case _:
                told = _next(where, order)
        return Reply(lines=[f"next: flopgate-governor {told}"])
    except FlopgateError:
        return Reply()


def _paused(
    where: str, order: Pause, digest: bytes, names: Names, reply: pb.GetStatusReply
) -> Reply:
    reached = names.hosts.get(order.scope, frozenset())
    linked = [one.host_id for one in reply.hosts if one.linked and one.host_id in reached]
    away = len(reached) - len(linked)
    lines = [f"pauses {counted(len(reached), 'host')} of {order.scope}, {len(linked)} told at once"]
    if away:
        lines.append(
            f"  {counted(away, 'host')} not linked: each goes on until its permit or license ends, "
            "or somebody carries the order there"
        )
    if not reached:
        lines.append(
            "  it stands all the same and holds whoever comes to it; to lift it: flopgate-governor "
            f"resume {where} --lift {digest.hex()[:SHOWN]} --key KEY ..."
        )
    if order.lapse_ms is not None:
        lines.append(
            f"  lapses after {span_text(order.lapse_ms)} of each gate's running time, unless a "
            f"quorum says no: flopgate-governor order propose confirm {digest.hex()[:SHOWN]} "
            f"{where}"
        )
    lines.append(f"next: flopgate-governor status {where} shows who stands still")
    document = {"hosts": len(reached), "hosts_linked": len(linked), "lapse_ms": order.lapse_ms}
    return Reply(lines=lines, document=document)


def _resumed(
    where: str, order: Resume, digest: bytes, reply: pb.GetStatusReply, *, waits: bool
) -> Reply:
    standing = [pause for pause in reply.pauses if pause.digest not in order.lifts]
    document = {
        "lifts": [one.hex() for one in order.lifts],
        "standing": [pause.digest.hex() for pause in standing],
    }
    if waits:
        return Reply(lines=[f"next: {_until_then(where, digest)}"], document=document)
    lines = [f"lifts {counted(len(order.lifts), 'pause')}, {_rest(standing)}"]
    lines.append(f"next: flopgate-governor status {where} shows who runs again, and why not")
    return Reply(lines=lines, document=document)


def _until_then(where: str, digest: bytes) -> str:
    veto = f"flopgate-governor order propose veto {digest.hex()[:SHOWN]} {where}"
    return f"one officer ends it until then: {veto}"


def _revoked(where: str, *, officer: bool) -> str:
    if officer:
        return f"order trust {where}, as the form of a root that leaves the key out for good"
    return f"status {where} tells whether the governor still answers: an online key was revoked"


def _next(where: str, order: Order) -> str:
    """What whoever signed it looks at or does."""
    match order:
        case Policy():
            return f"policy show {where}"
        case TrustRoot():
            return f"order trust {where}; who joins from now on needs a new token: token create"
        case Veto() | Seats():
            return f"order list {where}"
        case Adoption(host_id=host) | Closure(host_id=host):
            return f"host show {host.hex()[:SHOWN]} {where}"
        case Relief():
            return f"budget list {where}"
        case Registration():
            # The operator's own word, in a line that is there to be pasted into a shell.
            return f"workload show {shlex.quote(order.workload)} {where}"
        case ClusterRuling():
            return f"cluster list {where}"
        case _:
            return f"status {where}"


def _rest(standing: Iterable[pb.PauseStatus]) -> str:
    told = [f"{one.digest.hex()[:SHOWN]} of {scope_of(one.scope)}" for one in standing]
    if not told:
        return "none is left"
    more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return f"{counted(len(told), 'pause')} left: {', '.join(told[:SHOWN])}{more}"
