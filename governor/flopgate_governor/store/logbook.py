"""The log's rows: entries, and the one row that says how to go on."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from flopgate_governor.core.checkpoint import Appended, Logged
from flopgate_governor.store import schema
from flopgate_governor.store.prepared import Query, Write
from flopgate_proto.limits import DIGEST_BYTES
from flopgate_proto.merkle import Frontier
from flopgate_proto.v1 import flopgate_pb2 as pb

_ROW: Final = 1
_new_state = upsert(schema.log_state)
_WRITE_STATE: Final = Write(
    _new_state.on_conflict_do_update(
        index_elements=["id"],
        set_={name: _new_state.excluded[name] for name in ("size", "nodes", "checkpoint")},
    )
)
_STATE: Final = Query(select(schema.log_state.c.size, schema.log_state.c.nodes))
_NEW_ENTRY: Final = Write(insert(schema.log_entry))
_NEW_BATCH: Final = Write(insert(schema.batch))


def load_frontier(connection: Connection) -> Frontier:
    """Where the log goes on."""
    rows = _STATE.run(connection)
    if not rows:
        return Frontier()
    size, nodes = rows[0]
    return Frontier(
        size,
        tuple(nodes[i : i + DIGEST_BYTES] for i in range(0, len(nodes), DIGEST_BYTES)),
    )


def write_log(connection: Connection, appended: Appended) -> None:
    """Write entries, frontier and checkpoint."""
    _NEW_ENTRY.run(
        connection,
        [
            {"position": e.index, "kind": e.kind, "digest": e.digest, "data": e.data}
            for e in appended.entries
        ],
    )
    _WRITE_STATE.run(
        connection,
        [
            {
                "id": _ROW,
                "size": appended.frontier.size,
                "nodes": b"".join(appended.frontier.nodes),
                "checkpoint": appended.logged.checkpoint,
            }
        ],
    )


def proof_to(logged: Logged) -> pb.LogProof:
    """Protobuf form of an entry's place."""
    return pb.LogProof(
        index=logged.index,
        tree_size=logged.tree_size,
        path=logged.path,
        checkpoint=logged.checkpoint,
    )


def write_batch(
    connection: Connection, number: int, unix_ms: int, root: pb.Envelope, proof: pb.LogProof
) -> None:
    """Write the signed root of a batch of answers."""
    _NEW_BATCH.run(
        connection,
        [
            {
                "number": number,
                "governor_unix_ms": unix_ms,
                "envelope": root.SerializeToString(),
                "log_proof": proof.SerializeToString(),
            }
        ],
    )
