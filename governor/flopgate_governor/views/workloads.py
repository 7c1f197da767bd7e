"""Registered workloads as the books have them, for people and programs."""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_governor.core.lineage import (
    Ground,
    key_of,
    most_tflop,
    most_tflop_per_s,
)
from flopgate_governor.silences import look
from flopgate_governor.state import State
from flopgate_governor.store.budgets import load_books
from flopgate_proto.errors import ConfigError
from flopgate_proto.values.orders import Registration


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One workload.

    Attributes:
        used_tflop: what it spent itself, with or without a grant, and may still spend.
        prior_tflop: that went into it elsewhere.
        training_tflop: upper bound of its lineage, what silent hosts may have done included.
        most_tflop: that the policy allows.
        rate_tflop_per_s, most_tflop_per_s: peak of what holds a grant, and what is allowed.
        ancestors: by name, what each spent, with what went into it elsewhere.
        heirs: that descend from it.
    """

    workload: str
    kind: str
    custodian: str
    tier: int
    used_tflop: int
    prior_tflop: int
    training_tflop: int
    most_tflop: int
    rate_tflop_per_s: int
    most_tflop_per_s: int
    ancestors: dict[str, int]
    heirs: list[str]


def known(state: State) -> list[Known]:
    """All that are registered, by name.

    Raises:
        ConfigError: no policy is in force, under which they would be allowed anything.
        StorageError: the store cannot be read.
    """
    works, policy, unix_ms = state.book.orders.works, state.book.orders.policy, state.now_ms()
    if policy is None:
        raise ConfigError(
            "no policy is in force",
            code="policy.missing",
            remedy="Run `flopgate-governor policy apply`.",
        )
    with state.store.transaction() as connection:
        books = load_books(connection, map(key_of, works.by_name.values()))
        silence = look(connection, state, unix_ms)
    return known_of(
        Ground(works=works, policy=policy, books=books, silence=silence, unix_ms=unix_ms)
    )


def known_of(ground: Ground) -> list[Known]:
    """The same from what the books say."""
    return [_known(ground, work) for _, work in sorted(ground.works.by_name.items())]


def _known(ground: Ground, work: Registration) -> Known:
    name, books = work.workload, ground.books
    totals = books.of(key_of(work))
    ancestors = [one for one in ground.works.line(name) if one is not work]
    return Known(
        workload=name,
        kind=work.kind.name.lower(),
        custodian=work.custodian,
        tier=work.tier,
        used_tflop=totals.used_tflop,
        prior_tflop=work.prior_tflop,
        training_tflop=ground.training_tflop(work),
        most_tflop=most_tflop(ground.policy, work)[0],
        rate_tflop_per_s=totals.rate_tflop_per_s,
        most_tflop_per_s=most_tflop_per_s(ground.policy, work),
        ancestors={
            one.workload: books.of(key_of(one)).used_tflop + one.prior_tflop for one in ancestors
        },
        heirs=[one.workload for one in ground.works.heirs(name) if one is not work],
    )
