"""Who is silent, read from the store."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, select

from flopgate_governor.core.decide import rate_flop_per_s
from flopgate_governor.core.facts import ENDED, Chain
from flopgate_governor.core.silence import LOOK_MS, NOBODY, Silence, Silent, silent
from flopgate_governor.state import State, read_hosts
from flopgate_governor.store import records, schema
from flopgate_governor.store.prepared import Query
from flopgate_proto.values.orders import Policy

_H: Final = schema.host.c
_UNHEARD: Final = Query(select(_H.host_id).where(_H.last_seen_unix_ms < bindparam("before")))


def look(connection: Connection, state: State, unix_ms: int) -> Silence:
    """Everybody who is silent, or can become so until the next look."""
    policy = state.book.orders.policy
    if policy is None:
        return NOBODY
    due_unix_ms = unix_ms + min(LOOK_MS, policy.lifetime_ms)
    rows = _UNHEARD.run(connection, before=due_unix_ms - policy.lifetime_ms)
    seen = [row[0] for row in rows]
    if not seen:
        return Silence((), unix_ms, due_unix_ms)
    read = read_hosts(connection, seen, kin=state.clusters.kin)
    hosts = {host.host_id: host for host in read}
    chains = records.load_chains(connection, hosts)
    found = []
    for host_id in seen:
        one = _silent(chains[host_id], policy)
        # Without a rate it is retired: its chips are another's.
        if one.rate_flop_per_s:
            found.append(one)
    return Silence(found, unix_ms, due_unix_ms)


def hear(silence: Silence, chain: Chain, policy: Policy | None, unix_ms: int) -> None:
    """A report went on record after which a chain stands so; it may have been made long ago."""
    facts, still = chain.facts, None
    if (
        policy is not None
        and facts.refused_reason not in ENDED
        and facts.heard_unix_ms + policy.lifetime_ms < silence.due_unix_ms
    ):
        still = _silent(chain, policy)
    silence.heard(facts.host.host_id, unix_ms, still)


def _silent(chain: Chain, policy: Policy) -> Silent:
    host = chain.facts.host
    rate = rate_flop_per_s(host, tuple(range(len(host.chips))), policy.charged_figure)
    return silent(chain, chain.facts.heard_unix_ms, rate, policy.lifetime_ms)


def listen(connection: Connection, state: State, unix_ms: int) -> Silence:
    """The writer's own, looked up anew when a look is due."""
    if state.silence is None or unix_ms >= state.silence.due_unix_ms:
        state.silence = look(connection, state, unix_ms)
    else:
        state.silence.advance(unix_ms)
    return state.silence
