"""What authorities hold of this host's cluster: with which others it is one, or may be.

Laws of this file:
1. For people: no figure, no permission and no state rests on it.
2. Only what the authority's permit key signed, of a cluster in which the host is, is kept; an older
   statement takes no newer one's place. What is not repeated is forgotten.
"""

from __future__ import annotations

from typing import Final

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.findings import FindingLog
from flopgate_proto.codec import PayloadType, decode_cluster_merge
from flopgate_proto.envelope import Envelope, verify
from flopgate_proto.errors import MisdirectedError
from flopgate_proto.values import ClusterMerge, MergeState, Scope, ScopeKind, Severity

KEPT_MS: Final = 1_800_000
"""Gate running time; an authority repeats what it holds every ten minutes."""
KEPT_MAX: Final = 64


class ClusterNotices:
    """What was heard, in gate running time."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, str, str, str], tuple[ClusterMerge, int]] = {}

    def hear(
        self, authority: Authority, envelope: Envelope, findings: FindingLog, running_ms: int
    ) -> None:
        """Keep a statement; a finding where it says something new.

        Raises:
            ForgedError: no permit key in force signed it.
            MisdirectedError: of another authority or another cluster.
            MalformedError: cannot be parsed.
        """
        keys = authority.check_delegated(envelope, running_ms)
        verified = verify(envelope, PayloadType.CLUSTER_MERGE, keys)
        said = decode_cluster_merge(verified.payload)
        mine = Scope(ScopeKind.CLUSTER, said.cluster) in authority.scopes
        if said.authority != authority.name or not mine:
            raise MisdirectedError(
                f"a merge of cluster {said.cluster!r}, by {said.authority!r}",
                code="cluster-merge.other",
                remedy="The courier mixes up hosts or authorities: check its configuration.",
            )
        self._drop_old(running_ms)
        key = said.authority, said.cluster, said.other, said.key
        before, _ = self._heard.get(key, (None, 0))
        if before is not None and before.governor_unix_ms > said.governor_unix_ms:
            return
        if before is None and len(self._heard) >= KEPT_MAX:
            return
        self._heard[key] = said, running_ms
        if before is None or before.state is not said.state:
            waits = said.state is MergeState.WAITING
            findings.add(
                "cluster.merge.waits" if waits else "cluster.merge.decided",
                Severity.WARNING if waits else Severity.INFO,
                subject=said.cluster,
                detail=f"other={said.other} state={said.state.name.lower()} why={said.why}",
            )

    def held(self, running_ms: int) -> list[ClusterMerge]:
        """What holds as far as this gate was told lately."""
        self._drop_old(running_ms)
        return [said for said, _ in self._heard.values()]

    def _drop_old(self, running_ms: int) -> None:
        old = [key for key, (_, at_ms) in self._heard.items() if running_ms - at_ms >= KEPT_MS]
        for key in old:
            del self._heard[key]
