"""What an authority says that hosts of the same fabric were charged, against what this one was.

Laws of this file:
1. A finding for people: no figure, no permission and no state rests on it (law 10).
2. Only what the authority's permit key signed, of this host's own fabric and lane, and newer than
   what was heard before, is compared.
"""

from __future__ import annotations

from collections.abc import Iterator

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.findings import FindingLog
from flopgate_agent.measured import warning
from flopgate_proto.codec import PayloadType, decode_neighbours
from flopgate_proto.envelope import Envelope, verify
from flopgate_proto.errors import MisdirectedError
from flopgate_proto.values import LaneReport, Topology, charged_gflop_per_s

FACTOR = 4
"""Chosen: chips of one run do the same work in each step; stages of a pipeline, and roles of an
inference service, can differ by some."""
IN_A_ROW = 3
"""Statements, a minute apart at least, before it is told: intervals of two hosts differ."""


class Neighbourhood:
    """What was heard, by authority and lane."""

    def __init__(self) -> None:
        self._heard_ms: dict[tuple[str, str], int] = {}
        self._apart: dict[tuple[str, str], int] = {}

    def hear(
        self,
        authority: Authority,
        envelope: Envelope,
        own: Own,
        findings: FindingLog,
        running_ms: int,
    ) -> None:
        """Hold this host's newest report against a statement.

        Raises:
            ForgedError: no permit key in force signed it.
            MisdirectedError: of another authority or another fabric.
            MalformedError: cannot be parsed.
        """
        keys = authority.check_delegated(envelope, running_ms)
        verified = verify(envelope, PayloadType.NEIGHBOURS, keys)
        said = decode_neighbours(verified.payload)
        if not own.fabrics:
            # Where this host hangs has not been read yet.
            return
        if said.authority != authority.name or said.fabric_cluster_uuid not in own.fabrics:
            raise MisdirectedError(
                f"neighbours in {said.fabric_cluster_uuid.hex()}, by {said.authority!r}",
                code="neighbours.other",
                remedy="The courier mixes up hosts or authorities: check its configuration.",
            )
        key = authority.name, said.workload
        if said.governor_unix_ms <= self._heard_ms.get(key, -1):
            return
        own_rate = own.rates.get(said.workload)
        if own_rate is None:
            self._apart.pop(key, None)
            return
        self._heard_ms[key] = said.governor_unix_ms
        least, most = sorted((own_rate, said.median_gflop_per_s))
        self._apart[key] = self._apart.get(key, 0) + 1 if least * FACTOR < most else 0
        if self._apart[key] < IN_A_ROW:
            return
        self._apart[key] = 0
        apart = warning(
            "meter.neighbours.apart",
            own_gflop_per_s=own_rate,
            median_gflop_per_s=said.median_gflop_per_s,
            hosts=said.hosts,
        )
        findings.add_measured(apart, said.workload)


class Own:
    """This host's side: its fabrics, and what a chip of each lane was charged a second."""

    def __init__(
        self, topology: Topology | None, lanes: tuple[LaneReport, ...], interval_ms: int
    ) -> None:
        chips = () if topology is None else topology.chips
        self.fabrics = {chip.fabric_cluster_uuid for chip in chips} - {b""}
        self.rates = dict(_rates(lanes, interval_ms))


def _rates(lanes: tuple[LaneReport, ...], interval_ms: int) -> Iterator[tuple[str, int]]:
    for lane in lanes:
        rate = charged_gflop_per_s(lane, interval_ms)
        if rate is not None:
            yield lane.workload, rate
