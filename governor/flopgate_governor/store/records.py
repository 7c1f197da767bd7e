"""What a batch reads and writes: set-based, one statement a table, whatever the batch's size."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Connection,
    Table,
    bindparam,
    delete,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from flopgate_governor.core.facts import (
    Books,
    Chain,
    Grant,
    Host,
    HostFacts,
    IssuedAnswer,
    LaneFacts,
)
from flopgate_governor.store import budgets, license_rows, schema
from flopgate_governor.store.prepared import KEYS, Query, Read, Row, Write
from flopgate_proto.envelope import statement_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import Figures

_H, _R = schema.host.c, schema.report.c
_IDS: Final[BindParameter[Any]] = bindparam("ids", expanding=True)
_MOVED: Final = (
    "sequence", "head", "run_nonce", "boot_id", "made_ms", "running_ms",
    "issued_digest", "issued_batch", "issued_unix_ms",
    "quoted_digest", "quoted_batch", "quoted_unix_ms",
    "refused_reason", "topology_sequence", "last_seen_unix_ms",
)  # fmt: skip

_HOSTS: Final = Read(select(_H.host_id, *(_H[name] for name in _MOVED)).where(_H.host_id.in_(_IDS)))
_LANES: Final = Read(select(schema.lane).where(schema.lane.c.host_id.in_(_IDS)))
_GRANTS: Final = Read(
    select(schema.grant).where(schema.grant.c.host_id.in_(_IDS)).order_by(schema.grant.c.position)
)
_STORED: Final = Read(
    select(
        _R.host_id, _R.sequence, _R.digest, _R.answer, _R.answer_index, _R.answer_path,
        _R.batch_number,
    ).where(tuple_(_R.host_id, _R.sequence).in_(KEYS)),
    width=2,
)  # fmt: skip
_BATCH_OF: Final = Query(
    select(_R.batch_number).where(
        _R.host_id == bindparam("host"), _R.sequence == bindparam("sequence")
    )
)
_ISSUED: Final = Query(
    select(_R.answer_digest, _R.batch_number, schema.batch.c.governor_unix_ms)
    .join(schema.batch, schema.batch.c.number == _R.batch_number)
    .where(
        _R.host_id == bindparam("host"), _R.sequence.between(bindparam("first"), bindparam("last"))
    )
)
_B: Final = schema.batch.c
_ROOTS: Final = Read(select(_B.number, _B.envelope).where(_B.number.in_(KEYS)))
_TOLD: Final = Read(select(schema.told).where(schema.told.c.host_id.in_(_IDS)))

_MOVE_HOST: Final = Write(
    update(schema.host)
    .where(_H.host_id == bindparam("key"))
    .values({name: bindparam(name) for name in _MOVED})
)


def _upsert(table: Table, key: Sequence[str], values: Sequence[str]) -> Write:
    statement = insert(table)
    return Write(
        statement.on_conflict_do_update(
            index_elements=list(key), set_={name: statement.excluded[name] for name in values}
        )
    )


def _columns(table: Table) -> list[str]:
    """All but the row number, which the database gives."""
    return [column.name for column in table.columns if column.name != "id"]


_WRITE_LANE: Final = _upsert(
    schema.lane,
    ("host_id", "workload"),
    (
        "allotted_tflop", "unaccounted_tflop", "low_tflop", "nominal_tflop", "high_tflop",
        "ungranted_tflop",
    ),
)  # fmt: skip
_WRITE_GRANT: Final = _upsert(
    schema.grant,
    ("host_id", "workload", "position"),
    (
        "sequence", "request_digest", "made_ms", "run_nonce", "lifetime_ms", "held_tflop",
        "governor_unix_ms", "rate_tflop_per_s",
    ),
)  # fmt: skip
_CUT_GRANTS: Final = Write(
    delete(schema.grant).where(
        schema.grant.c.host_id == bindparam("b_host"),
        schema.grant.c.workload == bindparam("b_workload"),
        schema.grant.c.position >= bindparam("b_position"),
    )
)
_NEW_REPORT: Final = Write(insert(schema.report), _columns(schema.report))
_NEW_TOLD: Final = Write(insert(schema.told).on_conflict_do_nothing())
_NEW_EVIDENCE: Final = Write(
    insert(schema.evidence).on_conflict_do_nothing(), _columns(schema.evidence)
)


_NO_LICENSE: Final = ((None, None), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredExchange:
    """A report on record with its answer."""

    digest: bytes
    answer: bytes
    index: int
    path: tuple[bytes, ...]
    batch_number: int


def load_chains(connection: Connection, hosts: Mapping[bytes, Host]) -> dict[bytes, Chain]:
    """Where the chains of these hosts stand."""
    lanes = _load_lanes(connection, hosts)
    licenses = license_rows.load_quotes(connection, hosts)
    rows = _HOSTS.run(connection, hosts)
    return {
        row[0]: Chain(
            facts=HostFacts(
                host=hosts[row[0]],
                sequence=row[1],
                head=row[2],
                run_nonce=row[3],
                boot_id=row[4],
                made_ms=row[5],
                running_ms=row[6],
                issued=IssuedAnswer(digest=row[7], batch_number=row[8], governor_unix_ms=row[9]),
                quoted=IssuedAnswer(digest=row[10], batch_number=row[11], governor_unix_ms=row[12]),
                license=licenses.get(row[0], _NO_LICENSE)[0][0],
                reserve=licenses.get(row[0], _NO_LICENSE)[0][1],
                spent_counter=licenses.get(row[0], _NO_LICENSE)[1],
                refused_reason=row[13],
                topology_sequence=row[14],
                heard_unix_ms=row[15],
            ),
            lanes=lanes[row[0]],
        )
        for row in rows
    }


def _load_lanes(
    connection: Connection, ids: Collection[bytes]
) -> dict[bytes, dict[str, LaneFacts]]:
    grants: dict[tuple[bytes, str], list[Grant]] = {}
    licensed = license_rows.load_licensed(connection, ids)
    for row in _GRANTS.run(connection, ids):
        grants.setdefault((row[0], row[1]), []).append(
            Grant(
                sequence=row[3],
                request_digest=row[4],
                made_ms=row[5],
                run_nonce=row[6],
                lifetime_ms=row[7],
                held_tflop=row[8],
                governor_unix_ms=row[9],
                rate_tflop_per_s=row[10],
                license=licensed.get((row[0], row[1], row[4])),
            )
        )
    lanes: dict[bytes, dict[str, LaneFacts]] = {host_id: {} for host_id in ids}
    for row in _LANES.run(connection, ids):
        lanes[row[0]][row[1]] = LaneFacts(
            workload=row[1],
            allotted_tflop=row[2],
            unaccounted_tflop=row[3],
            total=Figures(low_tflop=row[4], nominal_tflop=row[5], high_tflop=row[6]),
            ungranted_tflop=row[7],
            grants=tuple(grants.get((row[0], row[1]), ())),
        )
    return lanes


def load_stored(
    connection: Connection, keys: Collection[tuple[bytes, int]]
) -> dict[tuple[bytes, int], StoredExchange]:
    """Reports on record by host and sequence."""
    rows = _STORED.run(connection, keys)
    return {
        (row[0], row[1]): StoredExchange(
            digest=row[2], answer=row[3], index=row[4], path=_split(row[5]), batch_number=row[6]
        )
        for row in rows
    }


def load_issued(connection: Connection, facts: HostFacts, number: int) -> list[IssuedAnswer]:
    """Our answers to this host in one of our batches; none if the batch has none or is not ours."""
    host_id = facts.host.host_id

    def batch_of(sequence: int) -> int:
        ((number,),) = _BATCH_OF.run(connection, host=host_id, sequence=sequence)
        return int(number)

    # Later reports were answered in later batches: halving the chain spares every report an index.
    sequences = range(facts.host.enrolled_sequence + 1, facts.sequence + 1)
    start = bisect_left(sequences, number, key=batch_of)
    end = bisect_right(sequences, number, lo=start, key=batch_of)
    licenses = license_rows.load_issued(connection, host_id, number)
    if start == end:
        return licenses
    rows = _ISSUED.run(connection, host=host_id, first=sequences[start], last=sequences[end - 1])
    return licenses + [
        IssuedAnswer(digest=row[0], batch_number=row[1], governor_unix_ms=row[2]) for row in rows
    ]


def load_roots(connection: Connection, numbers: Collection[int]) -> dict[int, bytes]:
    """Digests of the roots of those of some batches that stand in the store, by number."""
    rows = _ROOTS.run(connection, numbers)
    wires = {number: pb.Envelope.FromString(envelope) for number, envelope in rows}
    return {one: statement_digest(wire.payload_type, wire.payload) for one, wire in wires.items()}


def load_number_below(connection: Connection, number: int) -> int:
    """The highest batch number below one, 0 where there is none."""
    found = connection.execute(select(func.max(_B.number)).where(_B.number < number)).scalar()
    return int(found or 0)


def load_told(connection: Connection, ids: Collection[bytes]) -> dict[bytes, dict[bytes, int]]:
    """When each host was told of each pause that lapses, in its running time."""
    found: dict[bytes, dict[bytes, int]] = {}
    for row in _TOLD.run(connection, ids):
        found.setdefault(row[0], {})[row[1]] = row[2]
    return found


def host_row(facts: HostFacts) -> Row:
    """What a host's chain moved on to."""
    return {
        "key": facts.host.host_id,
        "sequence": facts.sequence,
        "head": facts.head,
        "run_nonce": facts.run_nonce,
        "boot_id": facts.boot_id,
        "made_ms": facts.made_ms,
        "running_ms": facts.running_ms,
        "issued_digest": facts.issued.digest,
        "issued_batch": facts.issued.batch_number,
        "issued_unix_ms": facts.issued.governor_unix_ms,
        "quoted_digest": facts.quoted.digest,
        "quoted_batch": facts.quoted.batch_number,
        "quoted_unix_ms": facts.quoted.governor_unix_ms,
        "refused_reason": facts.refused_reason,
        "topology_sequence": facts.topology_sequence,
        "last_seen_unix_ms": facts.heard_unix_ms,
    }


def lane_row(host_id: bytes, lane: LaneFacts) -> Row:
    """A lane's books."""
    return {
        "host_id": host_id,
        "workload": lane.workload,
        "allotted_tflop": lane.allotted_tflop,
        "unaccounted_tflop": lane.unaccounted_tflop,
        "low_tflop": lane.total.low_tflop,
        "nominal_tflop": lane.total.nominal_tflop,
        "high_tflop": lane.total.high_tflop,
        "ungranted_tflop": lane.ungranted_tflop,
    }


def grant_row(host_id: bytes, workload: str, position: int, grant: Grant) -> Row:
    """An unsettled grant, by its place among those of its lane."""
    return {
        "host_id": host_id,
        "workload": workload,
        "position": position,
        "sequence": grant.sequence,
        "request_digest": grant.request_digest,
        "made_ms": grant.made_ms,
        "run_nonce": grant.run_nonce,
        "lifetime_ms": grant.lifetime_ms,
        "held_tflop": grant.held_tflop,
        "governor_unix_ms": grant.governor_unix_ms,
        "rate_tflop_per_s": grant.rate_tflop_per_s,
    }


def grant_rows(host_id: bytes, before: LaneFacts, after: LaneFacts) -> tuple[list[Row], list[Row]]:
    """The grants of a lane that are to be written, and from which place on none is left."""
    cut: list[Row] = []
    if len(after.grants) < len(before.grants):
        place = {"b_workload": after.workload, "b_position": len(after.grants)}
        cut.append({"b_host": host_id, **place})
    written = [
        grant_row(host_id, after.workload, position, grant)
        for position, (grant, old) in enumerate(zip_longest(after.grants, before.grants))
        if grant is not None and grant is not old
    ]
    return written, cut


@dataclass(slots=True, kw_only=True)
class Writes:
    """Rows that one batch writes."""

    hosts: list[Row]
    lanes: list[Row]
    grants: list[Row]
    cut_grants: list[Row]
    reports: list[Row]
    told: list[Row]
    evidence: list[Row]
    licenses: list[Row]
    wishes: list[Row]


def write(connection: Connection, writes: Writes, books: Books) -> None:
    """Write the rows of a batch and the totals that it moved."""
    _MOVE_HOST.run(connection, writes.hosts)
    _WRITE_LANE.run(connection, writes.lanes)
    _CUT_GRANTS.run(connection, writes.cut_grants)
    _WRITE_GRANT.run(connection, writes.grants)
    budgets.write_totals(connection, books)
    _NEW_REPORT.run(connection, writes.reports)
    _NEW_TOLD.run(connection, writes.told)
    _NEW_EVIDENCE.run(connection, writes.evidence)
    license_rows.write_told(connection, writes.licenses, writes.wishes)


def joined(path: Iterable[bytes]) -> bytes:
    """An audit path as it is stored."""
    return b"".join(path)


def _split(path: bytes) -> tuple[bytes, ...]:
    return tuple(path[start : start + 32] for start in range(0, len(path), 32))
