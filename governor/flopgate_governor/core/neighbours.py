"""What hosts of one fabric were charged lately, for each to hold itself against. In memory only.

Nothing rests on it: a governor that starts anew hears of every host within a renewal. A host is
compared with hosts of its own custodian only: a fabric's number is its own word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from flopgate_proto.values import Neighbours, Report, Topology, charged_gflop_per_s

HOSTS_MIN = 4
"""One, and three neighbours: of fewer a liar is half."""
FRESH_MS = 600_000
"""Reports that are older say nothing of now; a lane is renewed several times in it."""
EVERY_MS = 60_000
"""Between two statements about the same hosts."""
GROUPS_KEPT = 16_384
"""Most groups that are kept; hosts name workloads and fabrics, and may make them up. One that
nobody is in any more is forgotten at once: no host alone fills them."""
FABRICS_MAX = 4
"""Of one host; all its chips hang in one, as a rule."""


@dataclass(slots=True)
class Group:
    """Hosts of one custodian, fabric and workload.

    Attributes:
        key: these three.
        rates: by host: when it was heard of, and the charge of a chip a second, in 10^9 FLOP.
        made_ms: when the newest statement was made, 0 before the first.
        statement: it, as bytes that were signed; empty where there are too few hosts.
        told_ms: by host: of the newest statement that it was given.
    """

    key: tuple[str, bytes, str]
    rates: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    made_ms: int = 0
    statement: bytes = b""
    told_ms: dict[bytes, int] = field(default_factory=dict)

    def median(self, authority: str, unix_ms: int) -> Neighbours | None:
        """What there is to say now; ``None``: too few hosts were heard of."""
        self.made_ms = unix_ms
        for host_id, (heard_ms, _) in list(self.rates.items()):
            if unix_ms - heard_ms > FRESH_MS:
                del self.rates[host_id]
                self.told_ms.pop(host_id, None)
        if len(self.rates) < HOSTS_MIN:
            return None
        rates = sorted(rate for _, rate in self.rates.values())
        _, fabric, workload = self.key
        return Neighbours(
            authority=authority,
            governor_unix_ms=unix_ms,
            fabric_cluster_uuid=fabric,
            workload=workload,
            hosts=len(rates),
            median_gflop_per_s=rates[(len(rates) - 1) // 2],
        )


class Neighbourhoods:
    """All groups, and where each host belongs."""

    def __init__(self) -> None:
        self._fabrics: dict[bytes, tuple[bytes, ...]] = {}
        self._groups: dict[tuple[str, bytes, str], Group] = {}
        self._of: dict[bytes, list[Group]] = {}

    def knows(self, host_id: bytes) -> bool:
        """Whether it was placed."""
        return host_id in self._fabrics

    def place(self, host_id: bytes, topology: Topology | None) -> None:
        """By its newest topology; ``None``: it told none."""
        chips = () if topology is None else topology.chips
        fabrics = {chip.fabric_cluster_uuid for chip in chips}
        # A host by itself has the number zero.
        self._fabrics[host_id] = tuple(sorted(one for one in fabrics if any(one))[:FABRICS_MAX])

    def note(self, custodian: str, report: Report, unix_ms: int) -> None:
        """A report went on record."""
        host_id = report.host_id
        if report.topology is not None:
            self.place(host_id, report.topology)
        left = self._leave(host_id)
        interval_ms = report.interval_end_ms - report.interval_start_ms
        mine = []
        for lane in report.lanes:
            rate = charged_gflop_per_s(lane, interval_ms)
            if rate is None:
                continue
            for fabric in self._fabrics.get(host_id, ()):
                group = self._group(custodian, fabric, lane.workload)
                group.rates[host_id] = unix_ms, rate
                mine.append(group)
        if mine:
            self._of[host_id] = mine
        self._drop_empty(left)

    def forget(self, host_id: bytes) -> None:
        """It is no host of ours any more."""
        self._fabrics.pop(host_id, None)
        self._drop_empty(self._leave(host_id))

    def due(self, host_id: bytes, unix_ms: int) -> Iterator[Group]:
        """Groups of a host with a statement that it was not given yet, or that must be made."""
        for group in self._of.get(host_id, ()):
            made_again = unix_ms - group.made_ms >= EVERY_MS
            if made_again or (group.statement and group.told_ms.get(host_id) != group.made_ms):
                yield group

    def _leave(self, host_id: bytes) -> list[Group]:
        """Take a host out of its groups: which they were."""
        groups = self._of.pop(host_id, [])
        for group in groups:
            group.rates.pop(host_id, None)
        return groups

    def _drop_empty(self, groups: list[Group]) -> None:
        for group in groups:
            if not group.rates and self._groups.get(group.key) is group:
                del self._groups[group.key]

    def _group(self, custodian: str, fabric: bytes, workload: str) -> Group:
        key = custodian, fabric, workload
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= GROUPS_KEPT:
                self._groups.clear()
                self._of.clear()
            group = self._groups[key] = Group(key=key)
        return group
