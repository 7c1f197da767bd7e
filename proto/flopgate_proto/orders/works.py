"""Registered workloads and what descends from what. Pure.

Parents are registered before their children, and are only ever added: what is registered stays a
graph without circles, in which each ancestor is found once, whatever the paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from flopgate_proto.errors import HistoryError
from flopgate_proto.limits import WORKLOADS_MAX
from flopgate_proto.values.orders import Registration

UNDECLARED: Final = "undeclared"
"""What hosts call that they do not name; it cannot be registered."""


@dataclass(frozen=True, slots=True)
class Works:
    """All registrations in force, by name; one that replaces another does so in a new value."""

    by_name: Mapping[str, Registration] = field(default_factory=dict)
    _lines: dict[str, tuple[Registration, ...]] = field(default_factory=dict, compare=False)
    _heirs: dict[str, tuple[Registration, ...]] = field(default_factory=dict, compare=False)

    def of(self, custodian: str, workload: str) -> Registration | None:
        """The registration that a lane falls under."""
        work = self.by_name.get(workload)
        return None if work is None or work.custodian != custodian else work

    def line(self, name: str) -> tuple[Registration, ...]:
        """A workload and its ancestors, each once."""
        if name not in self._lines:
            found: dict[str, Registration] = {}
            ahead = [name]
            while ahead:
                work = self.by_name[ahead.pop()]
                if work.workload not in found:
                    found[work.workload] = work
                    ahead += work.parents
            self._lines[name] = tuple(found.values())
        return self._lines[name]

    def heirs(self, name: str) -> tuple[Registration, ...]:
        """A workload and all that descend from it: whose lineage it is in."""
        if name not in self._heirs:
            this = self.by_name[name]
            self._heirs[name] = tuple(
                w for w in self.by_name.values() if this in self.line(w.workload)
            )
        return self._heirs[name]

    def held_by(self, custodian: str) -> Iterator[Registration]:
        """Those of one custodian."""
        return (work for work in self.by_name.values() if work.custodian == custodian)

    def registered(self, order: Registration) -> Works:
        """With one more, or with one in the place of an earlier one of its name.

        Raises:
            HistoryError: it is not one that may stand beside the others.
        """
        _check(self, order)
        return Works({**self.by_name, order.workload: order})


NO_WORKS: Final = Works()


def _check(works: Works, order: Registration) -> None:
    name, old = order.workload, works.by_name.get(order.workload)
    if name == UNDECLARED:
        raise HistoryError(
            f"{name!r} is what nobody named",
            code="registration.name",
            remedy="Register it under the name that its lanes have.",
        )
    unknown = [parent for parent in order.parents if parent not in works.by_name]
    if unknown:
        raise HistoryError(
            f"{unknown[0]!r}, a parent of {name!r}, is not registered",
            code="registration.parent",
            remedy="Register parents first; what was trained elsewhere goes into prior_tflop.",
        )
    if name in order.parents or any(
        old is not None and old in works.line(parent) for parent in order.parents
    ):
        raise HistoryError(
            f"{name!r} would descend from itself",
            code="registration.cycle",
            remedy="Name as parents what was there before it.",
        )
    if old is None and len(works.by_name) >= WORKLOADS_MAX:
        raise HistoryError(
            f"{len(works.by_name)} workloads are registered already", code="registration.full"
        )
    if old is None:
        return
    if (old.kind, old.custodian) != (order.kind, order.custodian):
        raise HistoryError(
            f"{name!r} is {old.kind.name.lower()} of {old.custodian}, and stays that",
            code="registration.changed",
            remedy=f"Register another name, with {name!r} as its parent.",
        )
    if not set(old.parents) <= set(order.parents) or order.prior_tflop < old.prior_tflop:
        raise HistoryError(
            f"what went into {name!r} is not taken back",
            code="registration.shrinks",
            remedy="Name all its parents and all its prior FLOP again.",
        )
