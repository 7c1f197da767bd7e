"""What a policy must not say of the books as they stand, before officers sign it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sqlalchemy import select

from flopgate_governor.core.decide import rate_flop_per_s, reach_tflop
from flopgate_governor.core.facts import Books, Host
from flopgate_governor.core.lineage import Ground, key_of
from flopgate_governor.core.orders import caps_of
from flopgate_governor.core.silence import NOBODY
from flopgate_governor.policies.bounds import Fault
from flopgate_governor.state import State, read_hosts
from flopgate_governor.store import schema
from flopgate_governor.store.budgets import load_books
from flopgate_governor.store.prepared import Query
from flopgate_governor.views.workloads import known_of
from flopgate_proto.amounts import counted, flop_text, rate_text, span_text
from flopgate_proto.limits import STOP_SLACK_MS
from flopgate_proto.orders.works import Works
from flopgate_proto.values.licenses import LICENSE_STEP_MS
from flopgate_proto.values.orders import Policy

_IDS: Final = Query(select(schema.host.c.host_id))
_LICENSES: Final = (
    ("license", "license_span_ms", "license_headroom_max_tflop"),
    ("reserve", "reserve_span_ms", "reserve_headroom_max_tflop"),
)


def enrolled(state: State) -> list[Host]:
    """All hosts but those that left: their chips are another's.

    Raises:
        StorageError: the store cannot be read.
    """
    with state.store.transaction() as connection:
        ids = [host_id for (host_id,) in _IDS.run(connection)]
        return [host for host in read_hosts(connection, ids, state.clusters.kin) if host.chips]


def books_for(state: State, policy: Policy) -> Books:
    """Totals of every scope that the policy caps, and of all registered workloads.

    Raises:
        StorageError: the store cannot be read.
    """
    with state.store.transaction() as connection:
        works = state.book.orders.works.by_name.values()
        return load_books(connection, {*caps_of(policy), *map(key_of, works)})


def spent_faults(policy: Policy, books: Books) -> Iterator[Fault]:
    """Caps below what was spent already: such a scope could never be granted anything again."""
    for position, budget in enumerate(policy.budgets):
        totals = books.of(str(budget.scope))
        spent_tflop = totals.settled_tflop + totals.unaccounted_tflop
        if budget.cap_tflop < spent_tflop:
            yield Fault(
                key="cap_tflop",
                entry=position,
                problem=f"of {budget.scope} is {flop_text(budget.cap_tflop)}: "
                f"{flop_text(spent_tflop)} are spent already",
                mend=f"Write {spent_tflop} or more; to stop what runs there, pause it.",
            )


def remarks(policy: Policy, books: Books, covered: frozenset[str], works: Works) -> Iterator[str]:
    """What may be meant, and should be known before it is signed."""
    caps = caps_of(policy)
    for scope, cap_tflop in caps.items():
        totals = books.of(scope)
        if totals.used_tflop > cap_tflop:
            yield (
                f"{scope}: {flop_text(totals.outstanding_tflop)} are granted and not spent yet; "
                "until they come back nothing more is granted there"
            )
    for cluster in sorted(covered):
        if f"cluster:{cluster}" not in caps:
            yield f"cluster {cluster} would be covered and has no budget: it is granted nothing"
    ground = Ground(works=works, policy=policy, books=books, silence=NOBODY, unix_ms=0)
    for one in known_of(ground):
        if one.training_tflop >= one.most_tflop:
            yield (
                f"workload {one.workload}: its lineage holds {flop_text(one.training_tflop)} of "
                f"{flop_text(one.most_tflop)} that tier {one.tier} allows: it is granted nothing"
            )
        if one.kind == "inference" and one.rate_tflop_per_s > one.most_tflop_per_s:
            yield (
                f"workload {one.workload}: chips of {rate_text(one.rate_tflop_per_s)} hold grants, "
                f"tier {one.tier} allows {rate_text(one.most_tflop_per_s)}: some are not renewed"
            )


def crash_remarks(policy: Policy) -> Iterator[str]:
    """Licenses of a span that one crash uses up: it loses a step, and a stop in order the rest."""
    for kind, key, _ in _LICENSES:
        span_ms: int = getattr(policy, key)
        if 0 < span_ms < _crash_ms(policy, span_ms):
            yield (
                f"{key} is {span_text(span_ms)}: a step of {span_text(_step_ms(policy, span_ms))}, "
                f"lost with a crash, and a stop in order of {span_text(_stop_ms(policy))} are "
                f"more: one crash uses a {kind} up; write a shorter license_step_ms or a longer "
                f"{key}"
            )


def headroom_remarks(
    policy: Policy, hosts: Iterable[Host], covered: frozenset[str]
) -> Iterator[str]:
    """Headrooms that are too small for hosts as they are enrolled, all chips in one lane."""
    rates: dict[bytes, int] = {}
    ruled: dict[bytes, int] = {}
    for host in hosts:
        rate = rate_flop_per_s(host, tuple(range(len(host.chips))), policy.charged_figure)
        rates[host.host_id] = rate
        if host.cluster in covered:
            ruled[host.host_id] = rate
    why = "a stop in order: it stands at ceiling.reached"
    yield from _too_small(policy, "headroom_max_tflop", ruled, _stop_ms(policy), why)
    for kind, key, headroom in _LICENSES:
        span_ms: int = getattr(policy, key)
        if span_ms:
            why = f"a step and a stop in order: one crash uses its {kind} up"
            yield from _too_small(policy, headroom, rates, _crash_ms(policy, span_ms), why)


def _too_small(
    policy: Policy, key: str, rates: Mapping[bytes, int], span_ms: int, why: str
) -> Iterator[str]:
    most: int = getattr(policy, key)
    reached = {host_id: reach_tflop(rate, span_ms) for host_id, rate in rates.items()}
    short = {host_id: need for host_id, need in reached.items() if need >= most}
    if short:
        host_id, need = max(short.items(), key=lambda one: (one[1], one[0]))
        yield (
            f"{key} is {flop_text(most)}: host {host_id.hex()[:16]} can count {flop_text(need)} "
            f"in {why} (so for {counted(len(short), 'host')})"
        )


def _step_ms(policy: Policy, span_ms: int) -> int:
    return min(policy.license_step_ms or LICENSE_STEP_MS, span_ms)


def _stop_ms(policy: Policy) -> int:
    return policy.wind_down_ms + policy.drain_ms + STOP_SLACK_MS


def _crash_ms(policy: Policy, span_ms: int) -> int:
    """What must be left of a license, for a crash in its first step not to use it up."""
    return _step_ms(policy, span_ms) + _stop_ms(policy)
