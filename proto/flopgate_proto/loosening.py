"""Which orders loosen (law 6): they wait, and one officer's veto stops them meanwhile. Pure.

| order | waits |
|---|---|
| trust root | where somebody gains a role, a quorum shrinks (but of who may pause, veto or confirm), or who may pause, veto, confirm or revoke loses it or needs more |
| policy | where any figure, cap, phase or delay becomes looser; then as a whole |
| resume | unless only revoked keys signed every pause that it lifts, and no quorum confirmed one |
| adoption, relief | always |
| registration | unless it only adds parents or prior FLOP to a workload, or lowers its tier to one that allows no more |
| seats | where an authority loses its say, or may lose its own by a fallback that it had not, or sooner |
| cluster ruling | where clusters stand apart: each may be small |
| delegation | never: its span and the policy bound it, and without it everything stops |
| reconciliation | never: grants wait by themselves until those that were lost have run out |
| closure | never: it ends a chain, and what enrols anew needs a token |
| license approval | never: policy and budgets bound it, and the governor reserves what it may spend |
| pause, veto, confirmation, revocation | never: they restrain |

Doubt counts as loosening: an order that waits without need costs time, the other mistake costs law 6.
"""  # noqa: E501 - a table

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from flopgate_proto.amounts import counted, flop_text, flop_texts, span_text
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.trust import Trust
from flopgate_proto.values.common import (
    CapacityBasis,
    Phase,
    Scope,
    ScopeKind,
    Standing,
    WorkloadKind,
)
from flopgate_proto.values.licenses import LICENSE_STEP_MS
from flopgate_proto.values.orders import (
    LINK_MBIT_PER_S,
    Adoption,
    ClusterRuling,
    Order,
    PhaseRule,
    Policy,
    Registration,
    Relief,
    Resume,
    Role,
    Seats,
    Tier,
    TrustRoot,
)

RESTRAINING: Final = frozenset({"pause", "veto", "confirm", "revoke"})
"""Roles whose holders can only stop others: losing one loosens."""

HASTENING: Final = "revoke"
"""Pauses that only revoked keys signed are lifted without delay: fewer who revoke loosen too."""

MORE_IS_LOOSER: Final = (
    "threshold_tflop_per_s",
    "lifetime_ms",
    "wind_down_ms",
    "renew_after_ms",
    "drain_ms",
    "exempt_lifetime_ms",
    "watchdog_ms",
    "loose_phase_age_ms",
    "headroom_max_tflop",
    "closures_max",
    "license_span_ms",
    "license_age_ms",
    "license_headroom_max_tflop",
    "reserve_span_ms",
    "reserve_headroom_max_tflop",
)
LESS_IS_LOOSER: Final = (
    "drift_ppm",
    "pause_lapse_ms",
    "charged_figure",
    "loosening_delay_ms",
    "closures_span_ms",
)
MORE_THAN_DEFAULT: Final = {
    "cluster_link_mbit_per_s": LINK_MBIT_PER_S,
    "license_step_ms": LICENSE_STEP_MS,
}
"""More is looser; 0 stands for these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What an order is compared with.

    Attributes:
        trust: the root in force.
        policy: ``None`` before the first, under which nothing runs.
        seats: ``None`` before the first: every authority rules.
        suspected: digests of the pauses that only revoked keys signed.
        registered: workloads by name; a gate knows none, and needs none.
    """

    trust: Trust
    policy: Policy | None = None
    seats: Seats | None = None
    suspected: frozenset[bytes] = frozenset()
    registered: Mapping[str, Registration] = field(default_factory=dict)

    @property
    def delay_ms(self) -> int:
        """How long what loosens waits."""
        return 0 if self.policy is None else self.policy.loosening_delay_ms


def loosened(order: Order, now: InForce) -> tuple[str, ...]:
    """In words, everything that an order would loosen; nothing where it need not wait."""
    match order:
        case TrustRoot():
            return tuple(_root(now.trust.root, order))
        case Policy():
            return () if now.policy is None else tuple(looser_policy(now.policy, order))
        case Resume():
            lifted = set(order.lifts) - now.suspected
            verb = "is" if len(lifted) == 1 else "are"
            return (f"{counted(len(lifted), 'pause')} {verb} lifted",) if lifted else ()
        case Adoption():
            return (f"host {order.host_id.hex()[:16]} may be granted again",)
        case Relief():
            return (f"{flop_text(order.amount_tflop)} no longer count against the caps",)
        case Registration():
            return tuple(_registration(now.policy, now.registered.get(order.workload), order))
        case ClusterRuling():
            return (f"{', '.join(order.clusters)} stand apart",) if order.apart else ()
        case Seats():
            return tuple(_seats(now.seats, order))
        case _:
            return ()


def _root(old: TrustRoot, new: TrustRoot) -> Iterator[str]:
    before, after = _holders(old), _holders(new)
    for name in sorted({*before, *after}):
        old_least, had = before.get(name, (0, {}))
        new_least, has = after.get(name, (0, {}))
        for spki, officer in has.items():
            if spki not in had:
                yield f"{officer} gains the role {name}"
        fewer = new_least < old_least and (name not in RESTRAINING or name == HASTENING)
        more = new_least > old_least and name in RESTRAINING
        if had and has and (fewer or more):
            yield f"{new_least} instead of {old_least} officers sign as {name}"
        if name in RESTRAINING:
            for spki, officer in had.items():
                if spki not in has:
                    yield f"{officer} loses the role {name}"
    named = {key.spki: key.name for key in old.keys}
    for key in new.keys:
        # Two names make two officers of one: what counts in a quorum is the name.
        if named.get(key.spki, key.name) != key.name:
            yield f"{named[key.spki]} is called {key.name}"


def _holders(root: TrustRoot) -> Mapping[str, tuple[int, dict[bytes, str]]]:
    def held(role: Role) -> dict[bytes, str]:
        return {root.keys[index].spki: root.keys[index].name for index in role.keys}

    return {role.name: (role.threshold, held(role)) for role in root.roles}


def looser_policy(old: Policy, new: Policy) -> Iterator[str]:
    """In words, what a new policy would loosen of an old one."""
    for names, looser in ((MORE_IS_LOOSER, 1), (LESS_IS_LOOSER, -1)):
        for name in names:
            before, after = int(getattr(old, name)), int(getattr(new, name))
            if (after - before) * looser > 0:
                yield f"{name} {before} becomes {after}"
    for name, default in MORE_THAN_DEFAULT.items():
        before, after = (int(getattr(one, name)) or default for one in (old, new))
        if after > before:
            yield f"{name} {before} becomes {after}"
    if new.capacity_basis is not old.capacity_basis is CapacityBasis.DENSE_8BIT:
        yield "capacity counts by the lower 16-bit rate"
    before, after = old.reserve_after_ms, new.reserve_after_ms
    if after and not 0 < before <= after:
        yield f"reserve_after_ms {before} becomes {after}"
    for name in ("register_tflop", "prohibit_tflop", "prohibit_tflop_per_s"):
        before, after = (int(getattr(one, name)) or COUNT_MAX for one in (old, new))
        if after > before:
            yield f"{name} {before} becomes {after}"
    yield from _tiers(old, new)
    yield from _budgets(old, new)
    yield from _phases(old, new)


def tier_of(policy: Policy, tier: int) -> Tier:
    """What an approval allows; without tiers only what is prohibited binds."""
    if tier == 0 or not policy.tiers:
        limit = 0 if tier else policy.register_tflop
        return Tier(training_tflop=limit or COUNT_MAX, inference_tflop_per_s=COUNT_MAX)
    return policy.tiers[min(tier, len(policy.tiers)) - 1]


def _tiers(old: Policy, new: Policy) -> Iterator[str]:
    for tier in range(1, max(len(old.tiers), len(new.tiers)) + 1):
        before, after = tier_of(old, tier), tier_of(new, tier)
        for name in ("training_tflop", "inference_tflop_per_s"):
            was, now = getattr(before, name), getattr(after, name)
            if now > was:
                yield f"{name} of tier {tier} {was} becomes {now}"


def _registration(
    policy: Policy | None, old: Registration | None, new: Registration
) -> Iterator[str]:
    if old is None:
        yield f"workload {new.workload} is registered, tier {new.tier}"
    elif new.tier > old.tier or (policy is not None and _allows_more(policy, old, new)):
        yield f"tier of workload {new.workload} {old.tier} becomes {new.tier}"


def _allows_more(policy: Policy, old: Registration, new: Registration) -> bool:
    """Whether a lower tier allows what a higher one did not: officers may sign such tiers."""
    before, after = tier_of(policy, old.tier), tier_of(policy, new.tier)
    if after.training_tflop > before.training_tflop:
        return True
    # What is not approved any more is bound by all that it computes, where a rule says so.
    by_rate = new.kind is WorkloadKind.INFERENCE and not (new.tier == 0 and policy.register_tflop)
    return by_rate and after.inference_tflop_per_s > before.inference_tflop_per_s


def _budgets(old: Policy, new: Policy) -> Iterator[str]:
    before = {budget.scope: budget.cap_tflop for budget in old.budgets}
    after = {budget.scope: budget.cap_tflop for budget in new.budgets}
    for scope in sorted({*before, *after}, key=str):
        cap, was = after.get(scope), before.get(scope)
        if cap is None:
            yield f"the cap of {scope} falls away"
        elif was is not None and cap > was:
            less, more = flop_texts(was, cap)
            yield f"the cap of {scope} rises from {less} to {more}"
        elif was is None and scope.kind is ScopeKind.CLUSTER:
            # Without a budget a covered cluster is granted nothing.
            yield f"{scope} gets a budget"


def _phases(old: Policy, new: Policy) -> Iterator[str]:
    for scope in sorted({rule.scope for rule in (*old.phases, *new.phases)}, key=str):
        times_ms = {rule.from_unix_ms for rule in (*old.phases, *new.phases) if rule.scope == scope}
        for unix_ms in sorted(times_ms):
            before, after = _at(old.phases, scope, unix_ms), _at(new.phases, scope, unix_ms)
            if _looser(before, after):
                yield f"phase of {scope} becomes looser from {unix_ms} on"
                break


def _at(rules: tuple[PhaseRule, ...], scope: Scope, unix_ms: int) -> Phase | None:
    begun = [
        (rule.from_unix_ms, rule.phase)
        for rule in rules
        if rule.scope == scope and rule.from_unix_ms <= unix_ms
    ]
    return max(begun)[1] if begun else None


def _looser(before: Phase | None, after: Phase | None) -> bool:
    """Whether it can be; ``None`` leaves the word to wider scopes, which may say anything."""
    if before is after:
        return False
    if before is None:
        return after is not Phase.ENFORCE
    if after is None:
        return before is not Phase.OBSERVE
    return after < before


def _seats(old: Seats | None, new: Seats) -> Iterator[str]:
    before = {} if old is None else {seat.authority: seat.standing for seat in old.seats}
    for seat in new.seats:
        was = before.get(seat.authority, Standing.REQUIRED)
        if seat.standing is Standing.RECIPIENT and was is Standing.REQUIRED:
            yield f"{seat.authority} has no say any more"
    span_ms, was_ms = new.fallback_ms, 0 if old is None else old.fallback_ms
    if 0 < span_ms < (was_ms or COUNT_MAX + 1):
        yield f"{new.authority} has no say once it is silent for {span_text(span_ms)}"
