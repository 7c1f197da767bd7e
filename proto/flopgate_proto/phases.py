"""How far rules bite at a moment, by the phase rules of a policy (SPEC: Policy). Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from flopgate_proto.values import Phase, PhaseRule, Scope, ScopeKind


def phase_at(rules: Iterable[PhaseRule], scopes: Collection[Scope], unix_ms: int) -> Phase:
    """The phase of a host in these scopes; `ENFORCE` where no rule that has begun matches.

    The narrowest kind of scope rules, in each of its scopes the latest rule, then the strictest.
    Of several scopes of one kind (a host that moved keeps both) the strictest. A cluster without
    a rule beside one that has one (they hang together) leaves it to the wider kinds.
    """
    begun = [rule for rule in rules if rule.from_unix_ms <= unix_ms and rule.scope in scopes]
    if not begun:
        return Phase.ENFORCE
    narrowest = max(rule.scope.kind for rule in begun)
    latest: dict[Scope, tuple[int, Phase]] = {}
    for rule in begun:
        if rule.scope.kind is narrowest:
            new = (rule.from_unix_ms, rule.phase)
            latest[rule.scope] = max(new, latest.get(rule.scope, new))
    phases = [phase for _, phase in latest.values()]
    if narrowest is ScopeKind.CLUSTER:
        clusters = {scope for scope in scopes if scope.kind is narrowest}
        if clusters - latest.keys():
            phases.append(phase_at(begun, set(scopes) - clusters, unix_ms))
    return max(phases)


def strictest_between(
    rules: Sequence[PhaseRule],
    scopes: Collection[Scope],
    earliest_unix_ms: int,
    latest_unix_ms: int,
) -> Phase:
    """The strictest phase of an interval, both ends included: for who does not know the moment."""
    starts = {
        rule.from_unix_ms
        for rule in rules
        if earliest_unix_ms < rule.from_unix_ms <= latest_unix_ms and rule.scope in scopes
    }
    moments = {earliest_unix_ms, latest_unix_ms, *starts}
    return max(phase_at(rules, scopes, moment_ms) for moment_ms in moments)
