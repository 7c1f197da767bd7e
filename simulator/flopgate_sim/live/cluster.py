"""All hosts of a rehearsal as one cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from flopgate_proto.amounts import counted
from flopgate_sim.live.hosts import HostView
from flopgate_sim.live.processes import WAIT_S, RehearsalError, wait_until


class Member(Protocol):
    """One or more hosts with the processes that make them."""

    @property
    def size(self) -> int:
        """Hosts that are waited for."""

    def views(self) -> list[HostView]:
        """Each of them now, as far as it is known."""

    def check(self) -> None:
        """Raise if a process has ended by itself."""

    def stop(self) -> None:
        """End its processes."""


class Cluster:
    """Members, and what can be waited for.

    ``meanwhile`` is called whenever something is waited for, several times a second.
    """

    def __init__(
        self, members: Sequence[Member], meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        self._members = list(members)
        self._meanwhile = meanwhile

    @property
    def size(self) -> int:
        """Hosts that are waited for."""
        return sum(member.size for member in self._members)

    def views(self) -> list[HostView]:
        """Every host now."""
        return [view for member in self._members for view in member.views()]

    def of(self, workload: str | None) -> list[HostView]:
        """Hosts of one workload, or all."""
        return [view for view in self.views() if workload in {None, view.workload}]

    def check(self) -> None:
        """Raise if a process has ended by itself.

        Raises:
            RehearsalError: with the end of its log.
        """
        for member in self._members:
            member.check()

    def wait(
        self,
        what: str,
        holds: Callable[[HostView], bool],
        workload: str | None = None,
        *,
        timeout_s: float = WAIT_S,
    ) -> float:
        """Wait until something holds for every host (of a workload); the seconds it took.

        Raises:
            RehearsalError: it does not in time; names hosts for which it does not hold.
        """
        expected = self.size if workload is None else len(self.of(workload))

        def done() -> bool:
            self.check()
            self._meanwhile()
            views = self.of(workload)
            return len(views) == expected and all(map(holds, views))

        try:
            return wait_until(what, done, timeout_s)
        except RehearsalError as error:
            left = [view for view in self.of(workload) if not holds(view)]
            some = ", ".join(f"{view.name} {view.state} {view.reason}" for view in left[:4])
            raise RehearsalError(
                f"{error.detail}: {counted(len(left), 'host')}, as {some}"
            ) from error
