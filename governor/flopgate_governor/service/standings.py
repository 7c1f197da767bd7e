"""Where chains stand on record, and licenses that are not settled, for those who ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, and_, select

from flopgate_governor.state import State
from flopgate_governor.store import schema
from flopgate_governor.store.license_rows import quotes_from
from flopgate_governor.store.prepared import KEYS, Query, Read
from flopgate_proto.codec.licenses import decode_approval
from flopgate_proto.v1 import flopgate_pb2 as pb

_H, _G, _L = schema.host.c, schema.license_given.c, schema.license_lane.c
_STANDS: Final = Read(select(_H.host_id, _H.sequence, _H.head).where(_H.host_id.in_(KEYS)))
_OUTSTANDING: Final = Query(
    select(
        _G.host_id, _G.request_digest, _G.approval, _G.single_use, _G.reserve, _G.span_ms,
        _G.not_after_unix_ms, schema.grant.c.held_tflop, schema.lane.c.allotted_tflop,
        schema.license_quote.c.quote, schema.license_approval.c.envelope,
    )
    .join(schema.license_lane, _L.request_digest == _G.request_digest)
    .join(
        schema.grant,
        and_(
            schema.grant.c.host_id == _L.host_id,
            schema.grant.c.workload == _L.workload,
            schema.grant.c.request_digest == _L.request_digest,
        ),
    )
    .join(
        schema.lane,
        and_(schema.lane.c.host_id == _L.host_id, schema.lane.c.workload == _L.workload),
    )
    .join(schema.license_approval, schema.license_approval.c.digest == _G.approval)
    .outerjoin(schema.license_quote, schema.license_quote.c.host_id == _G.host_id)
    .order_by(_G.host_id, _G.batch_number)
)  # fmt: skip


def standings(state: State, ids: Sequence[bytes]) -> list[pb.Delivered]:
    """The newest report on record of each of these hosts; of unknown ones nothing."""
    with state.store.transaction() as connection:
        rows = {row[0]: row for row in _STANDS.run(connection, ids)}
    return [
        pb.Delivered(host_id=one, sequence=rows[one][1], head=rows[one][2])
        for one in ids
        if one in rows
    ]


def license_statuses(connection: Connection) -> list[pb.LicenseStatus]:
    """Licenses that no report has settled yet, by host in the order in which they were given."""
    found: dict[bytes, pb.LicenseStatus] = {}
    for row in _OUTSTANDING.run(connection):
        one = found.get(row[1])
        if one is None:
            quote = quotes_from(row[9])[int(row[4])]
            held = quote is not None and quote.request == row[1]
            one = found[row[1]] = pb.LicenseStatus(
                host_id=row[0],
                request=row[1],
                approval=row[2],
                single_use=pb.SingleUse.ValueType(row[3]),
                reserve=bool(row[4]),
                span_ms=row[5],
                not_after_unix_ms=row[6],
                reason=decode_approval(pb.Envelope.FromString(row[10]).payload).reason,
            )
            if quote is not None and held:
                one.state = pb.LicenseState.ValueType(quote.state)
                one.used_ms = quote.used_ms
        one.reserved_tflop += row[7] if one.reserve else max(0, row[7] - row[8])
    return list(found.values())
