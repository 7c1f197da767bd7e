"""What a policy must not say of the books as they stand, before officers sign it."""

from __future__ import annotations

from collections.abc import Iterator

from flopgate_governor.budgets import load_books
from flopgate_governor.core.facts import Books
from flopgate_governor.core.lineage import Ground, key_of
from flopgate_governor.core.orders import caps_of
from flopgate_governor.core.silence import NOBODY
from flopgate_governor.policy_bounds import Fault
from flopgate_governor.state import State
from flopgate_governor.workload_view import known_of
from flopgate_proto.amounts import flop_text, rate_text
from flopgate_proto.orders.works import Works
from flopgate_proto.values.orders import Policy


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
