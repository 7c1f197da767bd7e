"""A host that retired: its chips are free, and count for its cluster no more."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from sqlalchemy import Connection, bindparam, delete

from flopgate_governor.state import State
from flopgate_governor.store import schema
from flopgate_governor.store.prepared import Write
from flopgate_proto.errors import StorageError

_FREE: Final = Write(delete(schema.chip).where(schema.chip.c.host_id == bindparam("b_host")))


def free_chips(connection: Connection, hosts: Sequence[bytes]) -> None:
    """Let these hosts' chips be enrolled under another key; the log keeps whose they were."""
    _FREE.run(connection, [{"b_host": host_id} for host_id in hosts])


def forget_retired(state: State, hosts: Sequence[bytes]) -> None:
    """Bring memory to where the store is, once that is durable."""
    for host_id in hosts:
        state.hosts.pop(host_id, None)
        state.chains.pop(host_id, None)
        state.neighbourhoods.forget(host_id)
        state.cluster_notices.forget(host_id)
    if hosts:
        # What cannot be read now is counted before the next batch: the answers are on record.
        state.doubtful = True
        with suppress(StorageError):
            state.count_capacities()
