"""Who is silent, read from the store."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, select

from flopgate_governor import records, schema
from flopgate_governor.core.decide import rate_flop_per_s
from flopgate_governor.core.silence import LOOK_MS, NOBODY, Silence, silent
from flopgate_governor.prepared import Query
from flopgate_governor.state import State, read_hosts

_H: Final = schema.host.c
_UNHEARD: Final = Query(
    select(_H.host_id, _H.last_seen_unix_ms).where(_H.last_seen_unix_ms < bindparam("before"))
)


def look(connection: Connection, state: State, unix_ms: int) -> Silence:
    """Everybody who is silent, or can become so until the next look."""
    policy = state.book.orders.policy
    if policy is None:
        return NOBODY
    due_unix_ms = unix_ms + min(LOOK_MS, policy.lifetime_ms)
    seen: dict[bytes, int] = dict(_UNHEARD.run(connection, before=due_unix_ms - policy.lifetime_ms))
    if not seen:
        return Silence((), unix_ms, due_unix_ms)
    read = read_hosts(connection, list(seen), kin=state.clusters.kin)
    hosts = {host.host_id: host for host in read}
    chains = records.load_chains(connection, hosts)
    found = []
    for host_id, seen_unix_ms in seen.items():
        host = hosts[host_id]
        rate = rate_flop_per_s(host, tuple(range(len(host.chips))), policy.charged_figure)
        if rate == 0:
            # Retired: its chips are another's.
            continue
        found.append(silent(chains[host_id], seen_unix_ms, rate, policy.lifetime_ms))
    return Silence(found, unix_ms, due_unix_ms)


def listen(connection: Connection, state: State, unix_ms: int) -> Silence:
    """The writer's own, looked up anew when a look is due."""
    if state.silence is None or unix_ms >= state.silence.due_unix_ms:
        state.silence = look(connection, state, unix_ms)
    else:
        state.silence.advance(unix_ms)
    return state.silence
