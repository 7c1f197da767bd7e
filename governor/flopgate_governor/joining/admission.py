"""Enrolment: a host joins with a token, or comes back for a courier certificate. Idempotent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, bindparam, insert, select, tuple_, update

from flopgate_governor.core.capacity import peaks_of
from flopgate_governor.core.decide import FLOP_PER_TFLOP
from flopgate_governor.core.facts import ENDED, Host, LaneFacts
from flopgate_governor.joining import tpm_quotes
from flopgate_governor.joining.tokens import PLACES, check_token
from flopgate_governor.orders.accepting import orders_for, ripen
from flopgate_governor.orders.rulings import BY_POLICY, Settling, close, closures_left, settle
from flopgate_governor.state import State
from flopgate_governor.store import lanes_beside, schema
from flopgate_governor.store.logbook import write_log
from flopgate_governor.store.prepared import Query, Read, Row, Write
from flopgate_governor.store.records import lane_row
from flopgate_proto.codec import (
    PayloadType,
    decode_admission,
    decode_enrolment,
    encode_admission,
    envelope_to_wire,
)
from flopgate_proto.envelope import Envelope, seal, verify
from flopgate_proto.errors import ForgedError, HistoryError, MalformedError, MisdirectedError
from flopgate_proto.keys import VerifyingKey, key_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.answers import Admission
from flopgate_proto.values.reports import ChipIdentity, Enrolment

_C, _H = schema.chip.c, schema.host.c
_KEYS: Final[BindParameter[Any]] = bindparam("keys", expanding=True)
_UUIDS: Final = Query(
    select(_C.uuid).where(_C.host_id == bindparam("host_id")).order_by(_C.position)
)
_ADMISSION: Final = Query(select(_H.admission).where(_H.host_id == bindparam("host_id")))
_REASON: Final = Query(select(_H.refused_reason).where(_H.host_id == bindparam("host_id")))
_BY_UUID: Final = Read(select(_C.uuid, _C.host_id).where(_C.uuid.in_(_KEYS)))
_BY_BOARD: Final = Read(
    select(_C.vendor, _C.serial, _C.host_id).where(tuple_(_C.vendor, _C.serial).in_(_KEYS)),
    width=2,
)
# The newest answer and the newest quoted one are unknown at first.
_NEW_HOST: Final = Write(
    insert(schema.host), [column.name for column in schema.host.columns if not column.nullable]
)
_SAID_ANEW: Final = Write(
    update(schema.host)
    .where(_H.host_id == bindparam("key"))
    .values(admission=bindparam("admission"))
)
_NEW_CHIP: Final = Write(insert(schema.chip))
_NEW_LANE: Final = Write(insert(schema.lane))


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A host that is enrolled, and the TLS key that its courier asked a certificate for."""

    host_id: bytes
    courier_spki: bytes
    admission: pb.Envelope
    orders: list[pb.SignedOrder]


def admit(state: State, envelope: Envelope, quote: pb.TpmQuote | None = None) -> Admitted:
    """Enroll a host, or recognise one. ``quote`` is of its TPM, where it has one.

    Raises:
        PeerError: it may not join; the detail says why and what to do.
        StorageError: nothing was written.
    """
    # The statement carries its own key: nothing in it counts before that key verified it.
    enrolment = decode_enrolment(envelope.payload)
    key = VerifyingKey(enrolment.host_spki)
    verified = verify(envelope, PayloadType.ENROLMENT, {key.key_id: key})
    if enrolment.authority != state.authority:
        raise MisdirectedError(
            f"enrolment with {enrolment.authority!r} where {state.authority!r} answers",
            code="enrolment.authority",
            remedy="Use the join token of this authority.",
        )
    host_id = key_digest(enrolment.host_spki)
    ripen(state)
    state.book.check_signs(state.permit_id)
    state.know([host_id])
    known = state.hosts.get(host_id)
    if known is None:
        admission = _enroll(state, enrolment, envelope, verified.digest, quote)
        state.know([host_id])
    else:
        admission = _recognise(state, enrolment, host_id)
    return Admitted(
        host_id=host_id,
        courier_spki=enrolment.courier_spki,
        admission=admission,
        orders=orders_for(state, [state.hosts[host_id].host]),
    )


def _recognise(state: State, enrolment: Enrolment, host_id: bytes) -> pb.Envelope:
    with state.store.transaction() as connection:
        ((reason,),) = _REASON.run(connection, host_id=host_id)
        if reason in ENDED:
            raise HistoryError(
                f"this host's chain is over ({reason}), and its key with it",
                code="enrolment.retired",
                remedy="Enrol it anew, with an empty state_dir of the gate and so with a new key.",
            )
        uuids = [row[0] for row in _UUIDS.run(connection, host_id=host_id)]
        if uuids != [identity.uuid for identity in enrolment.chips]:
            raise HistoryError(
                "this host was enrolled with other chips",
                code="enrolment.chips-changed",
                remedy="Ask the oversight body to enroll the host anew.",
            )
        ((stored,),) = _ADMISSION.run(connection, host_id=host_id)
    admission = pb.Envelope.FromString(stored)
    said = decode_admission(admission.payload)
    orders = state.book.orders
    now = replace(said, trust_root_digest=orders.trust.digest, policy_digest=orders.policy_digest)
    ours = [one.keyid for one in admission.signatures] == [state.permit_id]
    # Under a former key, which may be revoked, no gate takes it.
    return admission if now == said and ours else _said_anew(state, now)


def _said_anew(state: State, said: Admission) -> pb.Envelope:
    """The admission of a host that may have missed it, with what is in force now.

    By the old one it would let orders wait that have come into force since.
    """
    envelope = _sealed(state, replace(said, governor_unix_ms=state.now_ms()))
    wire = envelope_to_wire(envelope)
    appended = state.appended([envelope])
    with state.store.transaction() as connection:
        row = {"key": said.host_id, "admission": wire.SerializeToString()}
        _SAID_ANEW.run(connection, [row])
        write_log(connection, appended)
    state.frontier = appended.frontier
    return wire


def _sealed(state: State, said: Admission) -> Envelope:
    return seal(PayloadType.ADMISSION, encode_admission(said), [state.permit])


def _enroll(
    state: State,
    enrolment: Enrolment,
    envelope: Envelope,
    digest: bytes,
    quote: pb.TpmQuote | None,
) -> pb.Envelope:
    said = tpm_quotes.checked(quote, enrolment, digest)
    host_id = key_digest(enrolment.host_spki)
    if not enrolment.token_id:
        raise ForgedError(
            "this host is not enrolled and brings no join token",
            code="token.missing",
            remedy="Ask the oversight body for a join token.",
        )
    if enrolment.sequence == 0 and enrolment.head != host_id:
        raise MalformedError("a new chain starts at the host's own id", code="enrolment.head")
    unix_ms = state.now_ms()
    host = Host(
        host_id=host_id,
        spki=enrolment.host_spki,
        cluster=enrolment.cluster,
        custodian=enrolment.custodian,
        site=enrolment.site,
        jurisdiction=enrolment.jurisdiction,
        chips=tuple(peaks_of(chip.pci_device_id, chip.name) for chip in enrolment.chips),
        enrolled_sequence=enrolment.sequence,
        kin=state.clusters.kin.get(enrolment.cluster, ()),
    )
    orders = state.book.orders
    admission = _sealed(
        state,
        Admission(
            authority=state.authority,
            host_id=host_id,
            enrolment_digest=digest,
            scopes=host.answer_scopes,
            governor_unix_ms=unix_ms,
            trust_root_digest=orders.trust.digest,
            policy_digest=orders.policy_digest,
        ),
    )
    wire = envelope_to_wire(admission)
    appended = state.appended([envelope, admission])
    with state.store.transaction() as connection:
        token = check_token(connection, enrolment, unix_ms)
        closed = _free_chips(connection, state, enrolment, unix_ms)
        _write_host(
            connection,
            host=host,
            enrolment=enrolment,
            digest=digest,
            admission=wire.SerializeToString(),
            unix_ms=unix_ms,
        )
        if said is not None and quote is not None:
            tpm_quotes.write(connection, host_id, said, quote, unix_ms)
        write_log(connection, appended)
    state.frontier = appended.frontier
    if closed:
        settle(state, [Settling(ended=closed, moved=closed)])
        return wire
    # In memory alone: what is on record counts at once, and nothing can come between.
    state.clusters = state.clusters.enrolled(host.cluster, host.custodian, host.site)
    state.capacities.declare(host.cluster, token.capacity_tflop_per_s * FLOP_PER_TFLOP)
    state.capacities.enrol(host.cluster, host.chips)
    return wire


def _free_chips(
    connection: Connection, state: State, enrolment: Enrolment, unix_ms: int
) -> list[bytes]:
    """Close the chains that hold these chips, as far as policy lets that happen by itself.

    A ledger is lost when a host is imaged anew, or has no disk. What keeps it from paying: the old
    chain's ceilings are spent, its silence is charged, and its key is refused from then on.

    Raises:
        HistoryError: a chip is another host's, and officers must close its chain.
    """
    closed: list[bytes] = []
    uuids = {identity.uuid for identity in enrolment.chips}
    for identity, other in _holders(connection, enrolment.chips):
        if other in closed:
            continue
        host = state.read(connection, other)
        (reason,) = _REASON.run(connection, host_id=other)[0]
        # In other places it would leave what is paused there, and what has a budget.
        same = host is not None and all(
            getattr(host, place) == getattr(enrolment, place) for place in PLACES
        )
        # All of its chips: those left behind would be metered by nobody, and silent for nobody.
        whole = {row[0] for row in _UUIDS.run(connection, host_id=other)} <= uuids
        left = closures_left(connection, state, enrolment.custodian, unix_ms)
        if reason or not (same and whole and left):
            raise HistoryError(
                f"chip {identity.uuid} is enrolled under host {other.hex()[:16]}",
                code="enrolment.chip-known",
                remedy="Ask the oversight body to close the old host's chain.",
            )
        close(connection, state, other, by=BY_POLICY, unix_ms=unix_ms)
        closed.append(other)
    return closed


def _holders(
    connection: Connection, chips: tuple[ChipIdentity, ...]
) -> list[tuple[ChipIdentity, bytes]]:
    """Chips that are enrolled already, by UUID or by board, and under which hosts."""
    by_uuid = dict(_BY_UUID.run(connection, [identity.uuid for identity in chips]))
    boards = [(identity.vendor, identity.serial) for identity in chips if identity.serial]
    by_board = {row[:2]: row[2] for row in _BY_BOARD.run(connection, boards)}
    # The two may lead to two hosts: a UUID of one with the serial of the other.
    return [
        (identity, other)
        for identity in chips
        for other in (
            by_uuid.get(identity.uuid),
            by_board.get((identity.vendor, identity.serial)),
        )
        if other is not None
    ]


def _write_host(
    connection: Connection,
    *,
    host: Host,
    enrolment: Enrolment,
    digest: bytes,
    admission: bytes,
    unix_ms: int,
) -> None:
    row: Row = {
        "host_id": host.host_id,
        "spki": host.spki,
        "cluster": host.cluster,
        "custodian": host.custodian,
        "site": host.site,
        "jurisdiction": host.jurisdiction,
        "enrolled_sequence": enrolment.sequence,
        "enrolment_digest": digest,
        "admission": admission,
        "token_id": enrolment.token_id,
        "sequence": enrolment.sequence,
        "head": enrolment.head,
        "run_nonce": b"",
        # made_ms is compared within one boot only, from the enrolment on.
        "boot_id": enrolment.boot_id,
        "made_ms": enrolment.made_ms,
        "running_ms": 0,
        "issued_digest": b"",
        "issued_batch": 0,
        "quoted_digest": b"",
        "quoted_batch": 0,
        "refused_reason": "",
        "topology_sequence": 0,
        "last_seen_unix_ms": unix_ms,
    }
    _NEW_HOST.run(connection, [row])
    rows = [
        {
            "host_id": host.host_id,
            "position": position,
            "vendor": chip.vendor,
            "uuid": chip.uuid,
            "serial": chip.serial,
            "name": chip.name,
            "pci_device_id": chip.pci_device_id,
        }
        for position, chip in enumerate(enrolment.chips)
    ]
    _NEW_CHIP.run(connection, rows)
    # No budget is moved: what stood in the books before is not this authority's to count.
    lanes = [
        lane_row(
            host.host_id,
            LaneFacts(
                workload=lane.workload,
                allotted_tflop=lane.allotted_tflop,
                unaccounted_tflop=lane.unaccounted_tflop,
                total=lane.total,
                ungranted_tflop=lane.allotted_tflop,
            ),
        )
        for lane in enrolment.lanes
    ]
    _NEW_LANE.run(connection, lanes)
    lanes_beside.write_enrolled(connection, host.host_id, enrolment.lanes)
