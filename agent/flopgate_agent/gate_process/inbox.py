"""What couriers bring, as calls of the core. Routing only: belief comes after checking.

The name of the authority is read from bytes that nobody has verified yet; it merely selects whose
keys must have signed them.
"""

from __future__ import annotations

from flopgate_agent.gate.actions import Action, KeepQuote
from flopgate_agent.gate.authorities.claimed import claimed_authority
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.licenses.checking import LicenseFile
from flopgate_agent.gate.settings import Now
from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.codec import (
    PayloadType,
    envelope_from_wire,
    parse_message,
)
from flopgate_proto.codec.licenses import wish_of
from flopgate_proto.errors import MalformedError, PeerError
from flopgate_proto.limits import REPORTS_PER_MESSAGE_MAX
from flopgate_proto.quick import maker
from flopgate_proto.v1 import flopgate_pb2 as pb

make_proven_answer = maker(ProvenAnswer)

ORDERS_MAX = 1024
"""Orders in force, in one license."""
BESIDE_MAX = 64
"""Statements of one kind in one message; a host has few lanes, one fabric and one cluster."""


def take_answers(
    core: GateCore, batch: pb.AnswerBatch, now: Now
) -> tuple[list[Action], list[PeerError]]:
    """Every answer of a batch, each on its own: one that fails stops none of the others.

    They become durable together, before anything follows from one of them: a gate that died between
    two would find neither what it was left nor what its ledger quotes of it.
    """
    if len(batch.answers) > REPORTS_PER_MESSAGE_MAX:
        raise MalformedError(f"batch of {len(batch.answers)} answers", code="answer.batch.size")
    root = envelope_from_wire(batch.batch_root)
    authority = parse_message(pb.BatchRoot(), root.payload).origin
    actions: list[Action] = []
    errors: list[PeerError] = []
    # A slice is a list: protobuf's own lists end each loop with an exception.
    for leaf in batch.answers[:]:
        proven = make_proven_answer(leaf.payload, leaf.index, tuple(leaf.path[:]), root)
        try:
            actions += core.answer(authority, proven, now)
        except PeerError as error:
            errors.append(error)
    errors += _take_beside(core, authority, batch)
    last = next((one for one in reversed(actions) if isinstance(one, KeepQuote)), None)
    if last is not None:
        actions = [last, *(one for one in actions if not isinstance(one, KeepQuote))]
    return actions, errors


def _take_beside(core: GateCore, authority: str, batch: pb.AnswerBatch) -> list[PeerError]:
    """What stands beside the answers, and on which none of them rests."""
    errors: list[PeerError] = []
    for wires, take, name in (
        (batch.neighbours, take_neighbours, "neighbours"),
        (batch.cluster_merges, take_cluster_merge, "cluster-merge"),
    ):
        if len(wires) > BESIDE_MAX:
            errors.append(MalformedError(f"too many of {name}", code=f"{name}.size"))
            continue
        for wire in wires[:]:
            try:
                take(core, authority, wire)
            except PeerError as error:
                errors.append(error)
    return errors


def take_neighbours(core: GateCore, authority: str, wire: pb.Envelope) -> None:
    """What other hosts were charged, heard by the core's own time of the answer before it."""
    known = core.authorities.get(authority)
    if known is not None:
        envelope, own = envelope_from_wire(wire), core.chain.own()
        hear = core.chain.neighbourhood.hear
        hear(known, envelope, own, core.findings, core.running_ms)


def take_cluster_merge(core: GateCore, authority: str, wire: pb.Envelope) -> None:
    """With which clusters this host's own is one, or may be."""
    known = core.authorities.get(authority)
    if known is not None:
        hear = core.chain.cluster_notices.hear
        hear(known, envelope_from_wire(wire), core.findings, core.running_ms)


def take_order(core: GateCore, order: pb.SignedOrder, now: Now) -> list[Action]:
    """One order of officers."""
    envelope = envelope_from_wire(order.envelope)
    authority = claimed_authority(envelope.payload_type, envelope.payload)
    return core.order(authority, envelope, now)


def take_admission(core: GateCore, reply: pb.EnrollReply, now: Now) -> list[Action]:
    """What `Enroll` returned."""
    admission = envelope_from_wire(reply.admission)
    authority = claimed_authority(PayloadType.ADMISSION, admission.payload)
    orders = [envelope_from_wire(order.envelope) for order in reply.orders]
    return core.admission(authority, admission, orders, now)


def take_wish(core: GateCore, message: pb.ToGate, now: Now) -> list[Action]:
    """What the host's own people want."""
    match message.WhichOneof("message"):
        case "retire":
            return core.retire(now)
        case "ask_license":
            return core.ask_license(wish_of(message.ask_license.wish), now)
        case "license":
            return core.license(license_file(message.license), now)
        case "return_license":
            back = message.return_license
            return core.return_license(back.authority, now, reserve=back.reserve)
        case "open_reserve":
            return core.open_reserve(envelope_from_wire(message.open_reserve.opening), now)
        case "tell_time":
            return core.hear_time(envelope_from_wire(message.tell_time.time), now)
        case kind:
            raise MalformedError(f"{kind} is not for the host's own people", code="door.message")


def license_file(wire: pb.HostLicense) -> LicenseFile:
    """One host's part of a license file, with nothing believed yet."""
    if len(wire.answer.answers) != 1:
        raise MalformedError(
            f"a license with {len(wire.answer.answers)} answers, one is taken",
            code="license.answers",
            remedy="Take the license file as the authority made it.",
        )
    if len(wire.orders) > ORDERS_MAX:
        raise MalformedError(
            f"a license with {len(wire.orders)} orders, at most {ORDERS_MAX} are taken",
            code="license.orders",
            remedy="Take the license file as the authority made it.",
        )
    root, leaf = envelope_from_wire(wire.answer.batch_root), wire.answer.answers[0]
    return LicenseFile(
        host_id=wire.host_id,
        authority=wire.authority,
        proven=ProvenAnswer(leaf.payload, leaf.index, tuple(leaf.path), root),
        approval=envelope_from_wire(wire.approval),
        orders=tuple(envelope_from_wire(one.envelope) for one in wire.orders),
    )
