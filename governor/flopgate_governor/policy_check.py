"""What a policy must not say of the books as they stand, before officers sign it."""

from __future__ import annotations

from collections.abc import Iterator

from flopgate_governor.budgets import load_books
from flopgate_governor.core.facts import Books
from flopgate_governor.core.orders import caps_of
from flopgate_governor.policy_bounds import Fault
from flopgate_governor.state import State
from flopgate_proto.amounts import flop_text
from flopgate_proto.values.orders import Policy


def books_for(state: State, policy: Policy) -> Books:
    """Totals of every scope that the policy caps.

    Raises:
        StorageError: the store cannot be read.
    """
    with state.store.transaction() as connection:
        return load_books(connection, caps_of(policy))


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


def remarks(policy: Policy, books: Books, covered: frozenset[str]) -> Iterator[str]:
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
