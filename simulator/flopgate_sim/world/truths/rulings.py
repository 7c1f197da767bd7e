"""What officers ruled on chains and their books, and whether a governor keeps to it.

* A chain that was closed is granted nothing again, and what it could still use counts as spent; in
  other places than its own no enrolment closes it without officers (law 4).
* Its silence is charged at the peak; a relief takes off no more than was signed, nor than its lane
  has without a grant; both books bind, with all of this, whatever is granted (law 3).
* An adoption that waits changes nothing before its time (law 6).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flopgate_proto.values.orders import Adoption, Policy, Relief
from flopgate_sim.world.truths.silences import peak_flop_per_s

if TYPE_CHECKING:
    from flopgate_sim.world.hosts.host import Host
    from flopgate_sim.world.truths.governor import GovernorTruth

_MS_FLOP_PER_TFLOP = 1_000 * 10**12


class RulingTruth:
    """Of one authority.

    Attributes:
        spent_tflop: by scope, at least what chains that ended could still use then.
        charged_tflop: by scope, what closures charged and no report tells.
        relieved_tflop: by scope, what reliefs took off.
    """

    def __init__(self) -> None:
        self.spent_tflop: dict[str, int] = {}
        self.charged_tflop: dict[str, int] = {}
        self.relieved_tflop: dict[str, int] = {}
        self._relieved: dict[tuple[bytes, str], int] = {}
        self._closed: set[bytes] = set()
        self._waits: dict[bytes, int] = {}

    def waits(self, order: Adoption, due_unix_ms: int) -> None:
        """An adoption was accepted that comes into force then."""
        self._waits[order.host_id] = due_unix_ms

    def enrolled(self, truth: GovernorTruth, host: Host, unix_ms: int) -> None:
        """A host was admitted: chains that have its chips are over."""
        chips = {chip.uuid for chip in host.hardware.chips}
        for host_id, other in list(truth.hosts.items()):
            same = chips & {chip.uuid for chip in other.hardware.chips}
            if same and host_id != host.host_id and truth.policy is not None:
                if host_id not in self._closed and _places(other) != _places(host):
                    text = f"{host.name}: enrols what is enrolled as {other.name} in other places"
                    truth.faults.append((4, f"{text}, and no officer closed that"))
                self.close(truth, host_id, unix_ms, truth.policy)

    def close(self, truth: GovernorTruth, host_id: bytes, unix_ms: int, policy: Policy) -> None:
        """A chain is over: officers said so, or its chips were enrolled under another key."""
        if host_id in self._closed:
            return
        host = truth.hosts[host_id]
        self._closed.add(host_id)
        for lane in host.plan.lanes:
            _, allotted, _ = truth.newest.get((host_id, lane.workload), (0, 0, 0))
            live = [
                one
                for one in host.truth.grants
                if one.workload == lane.workload and not one.reserve
            ]
            newest = max(live, key=lambda grant: grant.sequence, default=None)
            left = 0 if newest is None else max(0, newest.told_tflop - allotted)
            _add(self.spent_tflop, host.plan.scopes_of(lane.workload), left)
            ever = host.truth.ever_tflop(truth.name, lane.workload)
            _add(truth.spent_tflop, host.plan.scopes_of(lane.workload), max(0, ever - allotted))
        silent_ms = max(0, unix_ms - truth.silence.heard_unix_ms.get(host_id, unix_ms))
        charged = peak_flop_per_s(host, policy) * silent_ms // _MS_FLOP_PER_TFLOP
        _add(self.charged_tflop, host.plan.scopes_of("undeclared"), charged)
        truth.silence.gone(host_id)
        truth.clusters.gone(host_id)

    def relieve(self, truth: GovernorTruth, order: Relief) -> str:
        """A relief is in force; what is wrong with that, in words."""
        host, place = truth.hosts[order.host_id], (order.host_id, order.workload)
        taken = self._relieved.get(place, 0) + order.amount_tflop
        self._relieved[place] = taken
        _add(self.relieved_tflop, host.plan.scopes_of(order.workload), order.amount_tflop)
        told = truth.offered_unaccounted.get(place, 0) - truth.begun_unaccounted.get(place, 0)
        if taken > told:
            return f"{host.name}: {taken} TFLOP are relieved, {told} count here without a grant"
        return ""

    def forbidden(self, host: Host, unix_ms: int) -> tuple[int, str] | None:
        """The law that a grant to this host breaks at this time, and how."""
        if host.host_id in self._closed:
            return 4, f"{host.name}: granted, though its chain was closed"
        due_unix_ms = self._waits.get(host.host_id, 0)
        if unix_ms < due_unix_ms:
            return 6, f"{host.name}: granted {due_unix_ms - unix_ms} ms before it is adopted"
        return None

    def unbooked(
        self, truth: GovernorTruth, booked: dict[str, tuple[int, int, int]]
    ) -> Iterator[str]:
        """3: the unaccounted book has what reports told and closures charged, less reliefs."""
        for scope, told in truth.unaccounted_tflop.items():
            if scope not in booked:
                continue
            owed = told + self.charged_tflop.get(scope, 0) - self.relieved_tflop.get(scope, 0)
            if booked[scope][2] < owed:
                yield f"{scope}: {booked[scope][2]} TFLOP without a grant in the books, {owed} are"

    def overgranted(
        self, truth: GovernorTruth, host: Host, workload: str, more_tflop: int, unix_ms: int
    ) -> Iterator[str]:
        """3: scopes that a grant of this governor time brings over their cap, both books together.

        A governor that died between commit and answer tells afterwards what it decided before.
        """
        for scope in host.plan.scopes_of(workload):
            cap = truth.caps_tflop.get(scope)
            if cap is None:
                continue
            both = truth.settled_tflop.get(scope, 0) + truth.known_unaccounted_tflop(scope, unix_ms)
            both += self.spent_tflop.get(scope, 0) + self.charged_tflop.get(scope, 0)
            both += more_tflop - self.relieved_tflop.get(scope, 0)
            if both > cap:
                yield f"{host.name}: a grant brings both books of {scope} to {both} of {cap} TFLOP"


def _places(host: Host) -> tuple[str, ...]:
    plan = host.plan
    return plan.cluster, plan.custodian, plan.site, plan.jurisdiction


def _add(sums: dict[str, int], scopes: tuple[str, ...], tflop: int) -> None:
    for scope in scopes:
        sums[scope] = sums.get(scope, 0) + tflop
