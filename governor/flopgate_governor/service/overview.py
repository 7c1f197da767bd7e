"""The figures of GetStatus, read from the store."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, and_, func, select

from flopgate_governor.clusters.status import cluster_statuses, merge_statuses
from flopgate_governor.core.facts import ENDED, host_scopes
from flopgate_governor.core.orders import Mandate
from flopgate_governor.joining import tpm_quotes
from flopgate_governor.orders.accepting import ripen
from flopgate_governor.policies.bounds import KILL_MS
from flopgate_governor.service.standings import license_statuses
from flopgate_governor.silences import look
from flopgate_governor.state import State
from flopgate_governor.store import schema
from flopgate_governor.store.budgets import load_books
from flopgate_governor.store.prepared import Query
from flopgate_governor.store.topologies import load_topologies, summary
from flopgate_proto.codec import decode_report, encode_order
from flopgate_proto.codec.common import scope_to
from flopgate_proto.codec.reports import lane_to
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.orders.held import Waiting
from flopgate_proto.phases import phase_at
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.orders import Policy

_WORKLOADS: Final = Query(
    select(schema.lane.c.host_id, func.count()).group_by(schema.lane.c.host_id)
)


_UNSIGNED: Final = {
    Mandate.GIVEN: "",
    Mandate.MISSING: "delegation.missing: run `flopgate-governor delegate`",
    Mandate.REVOKED: "delegation.revoked: officers revoked the key that this governor signs with; "
    "delegate a new one by `flopgate-governor delegate --permit-key`, and start with it",
}


def tolerated_outage_ms(policy: Policy) -> int:
    """How long hosts go on without their governor, from the renewal that they missed."""
    stop_ms = policy.wind_down_ms + policy.drain_ms + KILL_MS
    return max(0, policy.lifetime_ms - stop_ms - policy.renew_after_ms)


def overview(state: State, linked: Collection[bytes]) -> pb.GetStatusReply:
    """Where everything stands. ``linked``: hosts with an open stream now."""
    ripen(state)
    book, policy = state.book, state.book.orders.policy
    outage_ms = 0 if policy is None else tolerated_outage_ms(policy)
    with state.store.transaction() as connection:
        hosts = _hosts(connection, state, linked)
        budgets = _budgets(connection, state)
        licenses = license_statuses(connection)
    return pb.GetStatusReply(
        authority=state.authority,
        governor_unix_ms=state.now_ms(),
        policy_version=book.orders.policy_version,
        batch_number=state.batch_number,
        log_size=state.frontier.size,
        tolerated_outage_ms=outage_ms,
        halted_reason=_halted_reason(state),
        clusters=cluster_statuses(state, hosts),
        budgets=budgets,
        pauses=[
            pb.PauseStatus(
                digest=held.digest,
                scope=scope_to(held.pause.scope),
                reason=held.pause.reason,
                emergency=held.pause.emergency,
                accepted_unix_ms=held.since_ms,
                lapse_ms=held.lapse_ms or 0,
                confirmed=held.confirmed,
                suspected=held.suspected(book.orders.trust.revoked),
            )
            for held in book.orders.pauses
        ],
        hosts=hosts,
        waiting=[waiting_to(held) for held in book.orders.waiting],
        fallen=[
            pb.FallenOrder(digest=one.digest, reason=one.code, detail=one.detail)
            for one in book.orders.fallen
        ],
        merges=merge_statuses(state.clusters),
        threshold_tflop_per_s=0 if policy is None else policy.threshold_tflop_per_s,
        capacity_basis=pb.CapacityBasis.ValueType(0 if policy is None else policy.capacity_basis),
        cluster_link_mbit_per_s=state.clusters.link_mbit_per_s,
        delegation=_delegation(state),
        seats=_seats(state),
        licenses=licenses,
        held_clock=_held_clock(state),
        doors=pb.DoorStatus(held_back_ms=sum(state.volumes.held_ms.values())),
    )


def _held_clock(state: State) -> pb.HeldClock | None:
    time = state.keeper.time
    if not time.held_ms:
        return None
    return pb.HeldClock(
        wall_unix_ms=max(0, time.wall_unix_ms), follows_unix_ms=time.unix_ms + time.follows_in_ms
    )


def _seats(state: State) -> pb.Seats | None:
    seats = state.book.orders.seats
    return None if seats is None else pb.Seats.FromString(encode_order(seats)[1])


def _delegation(state: State) -> pb.DelegationStatus | None:
    held = state.book.delegation_of(state.permit_id) or state.book.delegation
    if held is None:
        return None
    return pb.DelegationStatus(
        serial=held.delegation.serial,
        accepted_unix_ms=held.since_ms,
        span_ms=held.delegation.span_ms,
        until_unix_ms=min(held.until_ms, COUNT_MAX),
    )


def waiting_to(held: Waiting) -> pb.WaitingOrder:
    """What is told of an order that is not in force yet."""
    return pb.WaitingOrder(
        digest=held.digest,
        payload_type=held.envelope.payload_type,
        accepted_unix_ms=held.since_ms,
        due_unix_ms=held.due_ms,
        loosens=held.why,
    )


def _halted_reason(state: State) -> str:
    """A stable id, a colon, what is known and the way back; empty while grants flow."""
    halt = state.book.halt
    if halt is not None:
        return (
            f"governor.rolled-back: host {halt.host_id.hex()[:16]} quotes batch "
            f"{halt.quoted_batch}, this governor is sure of {halt.own_batch}; if its store was set "
            f"back, run `flopgate-governor reconcile --batch {halt.quoted_batch}`"
        )
    if state.book.orders.policy is None:
        return "policy.missing: run `flopgate-governor policy apply`"
    return _UNSIGNED[state.mandate]


def _budgets(connection: Connection, state: State) -> list[pb.BudgetStatus]:
    policy = state.book.orders.policy
    if policy is None:
        return []
    books = load_books(connection, state.budgets)
    unix_ms = state.now_ms()
    silence = look(connection, state, unix_ms)
    return [
        pb.BudgetStatus(
            scope=scope_to(budget.scope),
            cap_tflop=budget.cap_tflop,
            settled_tflop=min(books.of(str(budget.scope)).settled_tflop, COUNT_MAX),
            outstanding_tflop=min(books.of(str(budget.scope)).outstanding_tflop, COUNT_MAX),
            unaccounted_tflop=min(books.of(str(budget.scope)).unaccounted_tflop, COUNT_MAX),
            silent_tflop=min(silence.charged_tflop(str(budget.scope), unix_ms), COUNT_MAX),
        )
        for budget in policy.budgets
    ]


def _hosts(connection: Connection, state: State, linked: Collection[bytes]) -> list[pb.HostStatus]:
    policy, unix_ms, kin = state.book.orders.policy, state.now_ms(), state.clusters.kin
    host, report = schema.host.c, schema.report.c
    newest = and_(report.host_id == host.host_id, report.sequence == host.sequence)
    rows = connection.execute(
        select(
            host.host_id,
            host.cluster,
            host.sequence,
            host.last_seen_unix_ms,
            host.refused_reason,
            report.envelope,
            host.jurisdiction,
            host.custodian,
            host.site,
        )
        .outerjoin(schema.report, newest)
        .order_by(host.cluster, host.host_id)
    )
    topologies = load_topologies(connection)
    quotes = tpm_quotes.load(connection)
    workloads = dict(_WORKLOADS.run(connection))
    volumes = state.volumes
    rules = () if policy is None else policy.phases
    return [
        pb.HostStatus(
            host_id=row[0],
            cluster=row[1],
            sequence=row[2],
            last_seen_unix_ms=row[3],
            refused_reason=row[4],
            linked=row[0] in linked,
            lanes=[] if row[4] in ENDED else _lanes(row[5]),
            assurance=pb.ASSURANCE_TPM if row[0] in quotes else pb.ASSURANCE_SOFTWARE,
            tpm=quotes.get(row[0]),
            held_back_ms=volumes.held_ms.get(row[0], 0),
            held_back_until_unix_ms=volumes.held_until_ms(row[0]),
            workloads=workloads.get(row[0], 0),
            topology=summary(*topologies[row[0]]) if row[0] in topologies else None,
            phase=pb.Phase.ValueType(
                phase_at(rules, host_scopes(*row[6:9], row[1], kin.get(row[1], ())), unix_ms)
            ),
        )
        for row in rows
    ]


def _lanes(envelope: bytes | None) -> list[pb.LaneReport]:
    if envelope is None:
        return []
    report = decode_report(pb.Envelope.FromString(envelope).payload)
    return [lane_to(lane) for lane in report.lanes]
