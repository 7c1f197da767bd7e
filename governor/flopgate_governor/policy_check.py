"""What a policy must not say of the books as they stand, before officers sign it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from flopgate_governor import schema
from flopgate_governor.budgets import load_books
from flopgate_governor.capacity import peaks_of
from flopgate_governor.core.decide import reach_tflop
from flopgate_governor.core.facts import Books
from flopgate_governor.core.lineage import Ground, key_of
from flopgate_governor.core.orders import caps_of
from flopgate_governor.core.silence import NOBODY
from flopgate_governor.policy_bounds import Fault
from flopgate_governor.prepared import Query
from flopgate_governor.state import State
from flopgate_governor.workload_view import known_of
from flopgate_proto.amounts import counted, flop_text, rate_text, span_text
from flopgate_proto.limits import STOP_SLACK_MS
from flopgate_proto.orders.works import Works
from flopgate_proto.values.common import ChargedFigure
from flopgate_proto.values.licenses import LICENSE_STEP_MS
from flopgate_proto.values.orders import Policy

_H, _C = schema.host.c, schema.chip.c
_CHIPS: Final = Query(
    select(_H.host_id, _H.cluster, _C.pci_device_id, _C.name, func.count())
    .join(schema.chip, _H.host_id == _C.host_id)
    .group_by(_H.host_id, _H.cluster, _C.pci_device_id, _C.name)
)
_LICENSES: Final = (
    ("license", "license_span_ms", "license_headroom_max_tflop"),
    ("reserve", "reserve_span_ms", "reserve_headroom_max_tflop"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast a host's chips can add to the charged figure, all in one lane."""

    cluster: str
    flop_per_s: int


def rates_of(state: State, policy: Policy) -> dict[bytes, Rate]:
    """Of every enrolled host.

    Raises:
        StorageError: the store cannot be read.
    """
    found: dict[bytes, Rate] = {}
    with state.store.transaction() as connection:
        for host_id, cluster, pci_device_id, name, count in _CHIPS.run(connection):
            peaks = peaks_of(pci_device_id, name)
            high = policy.charged_figure is ChargedFigure.HIGH
            peak = peaks.worst_high_flop_per_s if high else peaks.worst_nominal_flop_per_s
            before = found[host_id].flop_per_s if host_id in found else 0
            found[host_id] = Rate(cluster=cluster, flop_per_s=before + peak * count)
    return found


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
    policy: Policy, rates: Mapping[bytes, Rate], covered: frozenset[str]
) -> Iterator[str]:
    """Headrooms that are too small for hosts as they are enrolled."""
    ruled = {host_id: one for host_id, one in rates.items() if one.cluster in covered}
    needed: list[tuple[str, int, Mapping[bytes, Rate], str]] = [
        (
            "headroom_max_tflop",
            _stop_ms(policy),
            ruled,
            "a stop in order: it stands at ceiling.reached",
        )
    ]
    for kind, span, headroom in _LICENSES:
        span_ms: int = getattr(policy, span)
        if span_ms:
            why = f"a step and a stop in order: one crash uses its {kind} up"
            needed.append((headroom, _crash_ms(policy, span_ms), rates, why))
    for key, span_ms, hosts, why in needed:
        most: int = getattr(policy, key)
        short = {
            host_id: need
            for host_id, one in hosts.items()
            if (need := reach_tflop(one.flop_per_s, span_ms)) >= most
        }
        if short:
            host_id, need = max(short.items(), key=lambda one: (one[1], one[0]))
            yield (
                f"{key} is {flop_text(most)}: host {host_id.hex()[:16]} can count "
                f"{flop_text(need)} in {why} (so for {counted(len(short), 'host')})"
            )


def _step_ms(policy: Policy, span_ms: int) -> int:
    return min(policy.license_step_ms or LICENSE_STEP_MS, span_ms)


def _stop_ms(policy: Policy) -> int:
    return policy.wind_down_ms + policy.drain_ms + STOP_SLACK_MS


def _crash_ms(policy: Policy, span_ms: int) -> int:
    """What must be left of a license, for a crash in its first step not to use it up."""
    return _step_ms(policy, span_ms) + _stop_ms(policy)
