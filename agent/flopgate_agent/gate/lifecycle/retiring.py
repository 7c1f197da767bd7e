"""Takes a host out of service: its lanes stop, its chain ends, and then nobody rules it any more.

    in service --- asked for -------------------> retiring: every lane is denied
    retiring ----- every lane verified still ---> ended: the last report of the chain is signed
    ended -------- acknowledged, no pause ------> retired: nothing is enforced (by those with a say)

Up to the last report a restart calls it off; from there on it is durable, and nothing does. What
was permitted dies with the signature, not with its acknowledgement: the authority may give it to
others the moment that it knows (law 2).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.faults import Faults
from flopgate_agent.gate.lanes.allowance import Denied
from flopgate_agent.gate.lanes.asking import policies_of
from flopgate_agent.gate.lanes.lane import Lane
from flopgate_agent.gate.reports.chain import Chain
from flopgate_proto.errors import EnvironmentFault
from flopgate_proto.values import LaneState, Severity

RETIRING: Final = "host.retiring"
RETIRED: Final = Denied(
    reason="host.retired",
    detail="this host was taken out of service, and every authority has acknowledged it",
    way_back="Stop the services. To serve again, it joins anew with an empty state_dir.",
    authority="",
    wind_down_ms=0,
)


class Retiring:
    """Where this host stands on its way out.

    Attributes:
        asked: the host's own people want it out of service, or its chain has ended already.
    """

    def __init__(self, chain: Chain, faults: Faults) -> None:
        self._chain = chain
        self._faults = faults
        self.asked = False
        if chain.ended:
            self._deny(0)

    def ask(
        self, ruling: Collection[Authority], lanes: Mapping[str, Lane], running_ms: int
    ) -> None:
        """Begin, unless it has begun. Where no process is left, nobody needs a wind-down.

        ``ruling``: those that admitted the host and have a say. A mere recipient holds nobody back.

        Raises:
            EnvironmentFault: nobody admitted this host, or a pause holds it.
        """
        if self.asked:
            return
        if not ruling:
            raise EnvironmentFault(
                "no authority has admitted this host, so nobody has to let it go",
                code="retire.unenrolled",
                remedy="Stop its services; if it was joined, wait until it is admitted first.",
            )
        for authority in ruling:
            if any(authority.pause_of(name, running_ms) for name in lanes):
                raise EnvironmentFault(
                    f"a pause of {authority.name} holds this host: retired, nothing would",
                    code="retire.paused",
                    remedy="Officers lift the pause first; `flopgate-agent explain` names it.",
                )
        busy = any(lane.pids for lane in lanes.values())
        spans_ms = [one.wind_down_ms for one in policies_of(ruling)] if busy else []
        self._deny(max(spans_ms, default=0))

    def _deny(self, wind_down_ms: int) -> None:
        self.asked = True
        self._faults.set(
            RETIRING,
            "this host is taken out of service by its own people",
            "Nothing need be done: it is over once every authority has acknowledged it.",
            severity=Severity.INFO,
            wind_down_ms=wind_down_ms,
        )

    def may_end(self, lanes: Iterable[Lane]) -> bool:
        """Whether the last report can be made: nothing runs that it would not cover."""
        still = all(lane.state is LaneState.HALTED for lane in lanes if lane.setting.chips)
        return self.asked and still and not self._chain.ended

    def over(
        self, ruling: Collection[Authority], workloads: Iterable[str], running_ms: int
    ) -> bool:
        """Whether every authority that has a say on this host has let it go."""
        if not self._chain.ended:
            return False
        last, names = self._chain.sequence, list(workloads)
        return all(
            one.acknowledged_sequence >= last
            and not any(one.pause_of(name, running_ms) for name in names)
            for one in ruling
        )
