"""Which reports of a host officers can adopt, and where each stands."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, select

from flopgate_governor.state import State
from flopgate_governor.store import schema
from flopgate_governor.store.prepared import Query
from flopgate_proto.codec import PayloadType, decode_report
from flopgate_proto.v1 import flopgate_pb2 as pb

_H, _E = schema.host.c, schema.evidence.c
_OWN: Final = Query(select(_H.sequence, _H.head).where(_H.host_id == bindparam("host")))
_OTHER: Final = Query(
    select(_E.digest, _E.envelope).where(
        _E.host_id == bindparam("host"), _E.kind == "report.forked"
    )
)


def adoptable(state: State, host_id: bytes) -> list[tuple[int, bytes, str]]:
    """Sequence and digest of each report that officers can adopt, and where it stands."""
    with state.store.transaction() as connection:
        own = _OWN.run(connection, host=host_id)
        other = _OTHER.run(connection, host=host_id)
    found = [(int(row[0]), bytes(row[1]), "on record") for row in own]
    for digest, data in other:
        envelope = pb.Envelope.FromString(data)
        if envelope.payload_type == PayloadType.REPORT:
            sequence = decode_report(envelope.payload).sequence
            found.append((sequence, bytes(digest), "kept as evidence"))
    return found
