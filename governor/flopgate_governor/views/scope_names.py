"""Names that scopes bear here: a slip of the pen in an order reaches nobody, and seems done.

What nobody bears is told with the nearest that somebody does, and never refused: hosts may join
under it later.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from flopgate_governor.core.facts import ENDED, host_scopes
from flopgate_governor.state import State
from flopgate_governor.store import schema
from flopgate_governor.store.prepared import Query
from flopgate_proto.values.common import Scope, ScopeKind
from flopgate_proto.values.orders import Policy

NAMES_SHOWN: Final = 5

_H, _L, _T = schema.host.c, schema.lane.c, schema.token.c
_HOSTS: Final = Query(
    select(_H.host_id, _H.jurisdiction, _H.custodian, _H.site, _H.cluster, _H.refused_reason)
)
_LANES: Final = Query(select(_L.host_id, _L.workload))
_TOKENS: Final = Query(select(_T.jurisdiction, _T.custodian, _T.site, _T.cluster).distinct())


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """A scope of which no host is here.

    Attributes:
        expected: a join token, a registration or the policy in force names it.
        near: scopes whose names are nearest, the nearest first; where none is, some of its kind.
        alike: whether they are near.
    """

    scope: Scope
    expected: bool
    near: tuple[str, ...]
    alike: bool

    @property
    def words(self) -> str:
        """For people."""
        if self.expected:
            return f"no host of {self.scope} is here yet"
        if not self.near:
            return f"nobody here bears the name {self.scope}, nor any other of its kind"
        told = "nearest" if self.alike else "known are"
        return f"nobody here bears the name {self.scope}; {told} {', '.join(self.near)}"

    def document(self) -> dict[str, object]:
        """For programs."""
        near = list(self.near) if self.alike else []
        return {"scope": str(self.scope), "expected": self.expected, "nearest": near}


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What is known here.

    Attributes:
        hosts: ids of the hosts of each scope; of those that left there are none.
        expected: scopes that a join token, a registration or the policy in force names.
    """

    hosts: dict[Scope, frozenset[bytes]]
    expected: frozenset[Scope]

    def stranger(self, scope: Scope) -> Stranger | None:
        """What must be known of a scope of which no host is here; ``None`` where one is."""
        if scope.kind is ScopeKind.EVERYTHING or scope in self.hosts:
            return None
        known = set(self.hosts) | self.expected
        of_kind = sorted(one.id for one in known if one.kind is scope.kind)
        folded = {name.casefold(): name for name in of_kind}
        close = difflib.get_close_matches(scope.id.casefold(), folded, NAMES_SHOWN)
        near = [str(Scope(scope.kind, folded[name])) for name in close]
        near += sorted(str(one) for one in known if one.id == scope.id and one.kind != scope.kind)
        some = near or [str(Scope(scope.kind, name)) for name in of_kind]
        return Stranger(
            scope=scope,
            expected=scope in self.expected,
            near=tuple(some[:NAMES_SHOWN]),
            alike=bool(near),
        )


def names_in(state: State) -> Names:
    """The names that this governor knows.

    Raises:
        StorageError: the store cannot be read.
    """
    with state.store.transaction() as connection:
        rows = [row for row in _HOSTS.run(connection) if row[5] not in ENDED]
        lanes, tokens = _LANES.run(connection), _TOKENS.run(connection)
    hosts: dict[Scope, set[bytes]] = {}
    kin = state.clusters.kin
    for host_id, jurisdiction, custodian, site, cluster, _ in rows:
        for scope in host_scopes(jurisdiction, custodian, site, cluster, kin.get(cluster, ())):
            hosts.setdefault(scope, set()).add(host_id)
    living = {row[0] for row in rows}
    for host_id, workload in lanes:
        if host_id in living:
            hosts.setdefault(Scope(ScopeKind.WORKLOAD, workload), set()).add(host_id)
    orders = state.book.orders
    expected = {scope for token in tokens for scope in host_scopes(*token)}
    expected |= {Scope(ScopeKind.WORKLOAD, name) for name in orders.works.by_name}
    if orders.policy is not None:
        expected |= set(scopes_of(orders.policy))
    return Names(
        hosts={scope: frozenset(ids) for scope, ids in hosts.items()},
        expected=frozenset(expected),
    )


def scopes_of(policy: Policy) -> Iterator[Scope]:
    """Scopes that a policy's budgets and phases name."""
    yield from (budget.scope for budget in policy.budgets)
    yield from (rule.scope for rule in policy.phases)


def policy_remarks(policy: Policy, names: Names) -> Iterator[str]:
    """Budgets and phases of what nobody bears; before anybody can join there is nothing to tell."""
    if not names.hosts:
        return
    for scope in dict.fromkeys(scopes_of(policy)):
        found = names.stranger(scope)
        if found is not None and not found.expected:
            yield f"a budget or phase is of {scope}: {found.words}"
