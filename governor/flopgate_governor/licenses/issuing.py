"""Licenses are given (laws 5 and 7), told beforehand, and given once more. See `working_set`."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from flopgate_governor.core.facts import Books
from flopgate_governor.core.licenses.approvals import Approved, check_approval
from flopgate_governor.licenses.working_set import LicenseWork
from flopgate_governor.orders.accepting import orders_for, ripen
from flopgate_governor.state import State
from flopgate_governor.store import license_rows
from flopgate_proto.codec import PayloadType, envelope_from_wire
from flopgate_proto.codec.licenses import decode_approval
from flopgate_proto.envelope import Envelope, statement_digest
from flopgate_proto.errors import HistoryError, MisdirectedError, OversizedError
from flopgate_proto.limits import LICENSED_HOSTS_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.licenses import LicenseApproval

GIVEN_MAX: Final = 32
"""Most licenses of one call: each comes with its approval and the orders in force."""


def issue(state: State, request: pb.IssueLicensesRequest) -> pb.IssueLicensesReply:
    """Give licenses to these requests, tell what would be given, or give them once more.

    Raises:
        PeerError: the approval does not hold, or a request is not on record; nothing was given.
        StorageError: nothing was given.
    """
    ripen(state)
    requests = list(dict.fromkeys(request.requests))
    _check_count(requests, LICENSED_HOSTS_MAX if request.HasField("preview") else GIVEN_MAX)
    if request.HasField("approval"):
        envelope = envelope_from_wire(request.approval)
        return _give(state, _verified(state, envelope, requests), envelope, requests)
    if request.HasField("preview"):
        return _preview(state, request.preview, requests)
    return _again(state, requests)


def _check_count(requests: list[bytes], most: int) -> None:
    if not 0 < len(requests) <= most:
        raise OversizedError(
            f"{len(requests)} requests, from 1 to {most} are taken at once",
            code="license.requests",
            remedy="Send them in parts.",
        )


def _preview(state: State, payload: bytes, requests: list[bytes]) -> pb.IssueLicensesReply:
    digest = statement_digest(PayloadType.LICENSE_APPROVAL, payload)
    approved = _checked(state, decode_approval(payload), digest, requests)
    with state.store.transaction() as connection:
        work = LicenseWork.load(connection, state, approved, requests)
    work.judge(Books({scope: replace(one) for scope, one in state.totals.items()}))
    return pb.IssueLicensesReply(issued=work.issued())


def _give(
    state: State, approved: Approved, envelope: Envelope, requests: list[bytes]
) -> pb.IssueLicensesReply:
    try:
        with state.store.transaction() as connection:
            work = LicenseWork.load(connection, state, approved, requests)
            work.judge(Books(state.totals))
            work.seal(connection, envelope)
    except BaseException:
        # Whether a failed commit took effect is the store's to say.
        state.forget()
        raise
    work.settle_state()
    given = work.given()
    reply = _again(state, given) if given else pb.IssueLicensesReply()
    reply.issued.extend(work.issued())
    return reply


def _again(state: State, requests: list[bytes]) -> pb.IssueLicensesReply:
    with state.store.transaction() as connection:
        licenses = license_rows.load_licenses(connection, requests)
    missing = [digest for digest in requests if digest not in licenses]
    if missing:
        raise HistoryError(
            f"no license was given to request {missing[0].hex()[:16]}",
            code="license.unknown",
            remedy="`flopgate-governor license list` names those that are out.",
        )
    state.know(one.host_id for one in licenses.values())
    reply = pb.IssueLicensesReply()
    for digest in requests:
        one = licenses[digest]
        one.authority = state.authority
        known = state.hosts.get(one.host_id)
        one.orders.extend(orders_for(state, [] if known is None else [known.host]))
        reply.licenses.append(one)
    return reply


def _verified(state: State, envelope: Envelope, requests: list[bytes]) -> Approved:
    order = (
        state.book.orders.trust.verify(envelope).order
        if envelope.payload_type == PayloadType.LICENSE_APPROVAL
        else None
    )
    if not isinstance(order, LicenseApproval):
        raise MisdirectedError(
            f"a statement of type {envelope.payload_type!r} where an approval belongs",
            code="license.approval-type",
            remedy="Give what officers signed with `flopgate-governor license issue`.",
        )
    return _checked(state, order, envelope.digest, requests)


def _checked(
    state: State, approval: LicenseApproval, digest: bytes, requests: list[bytes]
) -> Approved:
    if approval.authority != state.authority:
        raise MisdirectedError(
            f"an approval for {approval.authority!r} where {state.authority!r} answers",
            code="license.approval-authority",
            remedy="Ask the authority that it is for.",
        )
    named = set(approval.requests)
    unnamed = next((one for one in requests if one not in named), None)
    if unnamed is not None:
        raise MisdirectedError(
            f"the approval does not name request {unnamed.hex()[:16]}",
            code="license.approval-requests",
            remedy="Officers approve the requests that are sent.",
        )
    state.book.orders.check_vetoed(digest)
    return check_approval(approval, digest, state.book.orders.policy, state.now_ms())
