"""When each host was last heard by an authority, for law 3: silence is charged at the peak.

Lenient where the rig cannot know what the store does: a report counts for when it was made once it
reached the governor, recorded or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from flopgate_proto.values.common import ChargedFigure
from flopgate_proto.values.orders import Policy

if TYPE_CHECKING:
    from flopgate_sim.world.hosts.host import Host

_MS_FLOP_PER_TFLOP = 1_000 * 10**12
LATE_MS = 60_000
"""Older than this, a report was kept on its way."""


@dataclass(slots=True)
class SilenceTruth:
    """One authority's ears.

    Attributes:
        heard_unix_ms: by host: governor time at which a report of it came last, oldest first: in a
            world no governor's clock is set.
        late_unix_ms: by host whose newest report was kept on its way: when that one was made.
        licensed_unix_ms: by host: up to when a license lets it say nothing.
        unix_ms: latest time that the governor signed; its own never goes back from there.
    """

    heard_unix_ms: dict[bytes, int] = field(default_factory=dict)
    late_unix_ms: dict[bytes, int] = field(default_factory=dict)
    licensed_unix_ms: dict[bytes, int] = field(default_factory=dict)
    unix_ms: int = 0
    _made_unix_ms: dict[bytes, int] = field(default_factory=dict)

    def heard(self, host_id: bytes, unix_ms: int, age_ms: int = 0) -> None:
        """A report of this age came, or the host was admitted."""
        # A copy of an older one takes nothing back.
        made_unix_ms = max(self._made_unix_ms.get(host_id, 0), unix_ms - age_ms)
        self._made_unix_ms[host_id] = made_unix_ms
        self.heard_unix_ms.pop(host_id, None)
        self.heard_unix_ms[host_id] = max(unix_ms, self.unix_ms)
        self.late_unix_ms.pop(host_id, None)
        if unix_ms - made_unix_ms > LATE_MS:
            self.late_unix_ms[host_id] = made_unix_ms

    def licensed(self, host_id: bytes, until_unix_ms: int) -> None:
        """A license left: what the host does until then is outstanding for it."""
        known = self.licensed_unix_ms.get(host_id, 0)
        self.licensed_unix_ms[host_id] = max(known, until_unix_ms)

    def gone(self, host_id: bytes) -> None:
        """Its retirement was acknowledged: nothing is expected of it any more."""
        self.heard_unix_ms.pop(host_id, None)
        self.late_unix_ms.pop(host_id, None)

    def told(self, unix_ms: int) -> None:
        """An answer of this time left."""
        self.unix_ms = max(self.unix_ms, unix_ms)

    def anybody(self, policy: Policy) -> bool:
        """Whether some host may count as silent by now."""
        since_unix_ms = self.unix_ms - policy.lifetime_ms
        return any(seen <= since_unix_ms for seen in self.heard_unix_ms.values())

    def overgranted(
        self,
        policy: Policy,
        hosts: Mapping[bytes, Host],
        settled_tflop: Mapping[str, int],
        *,
        granted: Host,
        workload: str,
        more_tflop: int,
        unix_ms: int,
    ) -> Iterator[str]:
        """Scopes that a grant brings over their cap together with what silence may hide.

        Args:
            policy: in force.
            hosts: of this authority.
            settled_tflop: what reports that were acknowledged called allotted, by scope.
            granted: who gets it.
            workload: of the lane.
            more_tflop: how far the ceiling lies above the lane's allotted total.
            unix_ms: governor time of the answer.
        """
        silent = list(self._silent(hosts, policy, granted, unix_ms))
        if not silent:
            return
        caps = {str(budget.scope): budget.cap_tflop for budget in policy.budgets}
        for scope in granted.plan.scopes_of(workload):
            cap = caps.get(scope)
            if cap is None:
                continue
            silent_tflop = sum(
                peak_flop_per_s(host, policy) * (unix_ms - seen) // _MS_FLOP_PER_TFLOP
                for host, seen in silent
                if any(scope in host.plan.scopes_of(lane.workload) for lane in host.plan.lanes)
            )
            upper = settled_tflop.get(scope, 0) + more_tflop + silent_tflop
            if silent_tflop and upper > cap:
                yield (
                    f"{granted.name}: a grant brings {scope} to {upper} of {cap} TFLOP, silent "
                    f"hosts with {silent_tflop} among them"
                )

    def _silent(
        self, hosts: Mapping[bytes, Host], policy: Policy, granted: Host, unix_ms: int
    ) -> Iterator[tuple[Host, int]]:
        late = self.late_unix_ms
        for host_id, seen in chain(late.items(), self.heard_unix_ms.items()):
            if host_id in late and seen != late[host_id]:
                continue
            if unix_ms - seen <= policy.lifetime_ms and host_id not in late:
                return
            since = max(seen, self.licensed_unix_ms.get(host_id, 0))
            if hosts[host_id] is not granted and unix_ms - since > policy.lifetime_ms:
                yield hosts[host_id], since


def peak_flop_per_s(host: Host, policy: Policy) -> int:
    """The fastest that a host can add to what is charged."""
    spec = host.plan.spec
    if policy.charged_figure is ChargedFigure.HIGH:
        return spec.worst_high_flop_per_s * host.plan.chips
    return spec.worst_nominal_flop_per_s * host.plan.chips
