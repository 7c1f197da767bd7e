"""All hosts of the demonstration as one cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flopgate_sim.demo.hosts import FleetProcess, HostView
from flopgate_sim.demo.processes import DemoError, wait_until
from flopgate_sim.demo.real_host import RealHost


class Cluster:
    """Real hosts and processes of simulated ones."""

    def __init__(self, reals: Sequence[RealHost], fleets: Sequence[FleetProcess]) -> None:
        self.reals = list(reals)
        self.fleets = list(fleets)

    @property
    def size(self) -> int:
        """Hosts that scenes wait for."""
        return len(self._acting) + sum(len(fleet.workloads) for fleet in self.fleets)

    @property
    def _acting(self) -> list[RealHost]:
        # A gate that only watches cannot make its GPUs stand still: nothing waits for it.
        return [real for real in self.reals if real.acts]

    def everyone(self) -> list[HostView]:
        """Every host now."""
        watching = [real.view() for real in self.reals if not real.acts]
        return [*watching, *self.views()]

    def views(self) -> list[HostView]:
        """Every host now, but for those that only watch."""
        return [real.view() for real in self._acting] + [
            view for fleet in self.fleets for view in fleet.views()
        ]

    def of(self, workload: str | None) -> list[HostView]:
        """Hosts of one workload, or all."""
        return [view for view in self.views() if workload in {None, view.workload}]

    def check(self) -> None:
        """Raise if a process has ended by itself, or a core refused what it should take.

        Raises:
            DemoError: with the end of its log.
        """
        for real in self.reals:
            real.check()
        for fleet in self.fleets:
            fleet.child.check()

    def wait(
        self,
        what: str,
        holds: Callable[[HostView], bool],
        timeout_s: float,
        workload: str | None = None,
    ) -> float:
        """Wait until something holds for every host (of a workload); the seconds it took.

        Raises:
            DemoError: it does not in time; names hosts for which it does not hold.
        """
        expected = self.size if workload is None else len(self.of(workload))

        def done() -> bool:
            self.check()
            views = self.of(workload)
            return len(views) == expected and all(map(holds, views))

        try:
            return wait_until(what, done, timeout_s)
        except DemoError as error:
            left = [view for view in self.of(workload) if not holds(view)]
            some = ", ".join(f"{view.name} {view.state} {view.reason}" for view in left[:4])
            raise DemoError(f"{error}: {len(left)} hosts, as {some}") from error

    def stop(self) -> None:
        """End everything."""
        for fleet in self.fleets:
            fleet.child.stop()
        for real in self.reals:
            real.stop()
