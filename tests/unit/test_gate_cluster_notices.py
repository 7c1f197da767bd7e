"""A gate keeps what its authority says of its cluster, for its people alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.findings import FindingLog
from flopgate_agent.gate.reports.cluster_notices import KEPT_MAX, KEPT_MS, ClusterNotices
from flopgate_agent.gate_process import inbox
from flopgate_agent.gate_process.snapshot import snapshot
from flopgate_proto.codec import PayloadType, encode_cluster_merge, envelope_to_wire
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import ForgedError, MalformedError, MisdirectedError
from flopgate_proto.keys import SigningKey
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import ClusterMerge, MergeState, Scope, ScopeKind
from tests.support.fixed import PERMIT_KEY
from tests.support.gate_rig import GateRig, running

KEY = "fabric:00"


class Scene:
    """An authority that a running gate trusts, whose answers name the cluster alpha."""

    def __init__(self) -> None:
        self.rig: GateRig = running()
        self.authority: Authority
        (self.authority,) = self.rig.core.authorities.values()
        self.authority.note_scopes((Scope(ScopeKind.CLUSTER, "alpha"),))
        self.findings = FindingLog()
        self.notices = ClusterNotices()
        self.running_ms = self.rig.core.running_ms

    def said(self, **fields: object) -> ClusterMerge:
        base = ClusterMerge(
            authority=self.authority.name,
            governor_unix_ms=1,
            cluster="alpha",
            other="beta",
            key=KEY,
            state=MergeState.WAITING,
            why="sites",
        )
        return replace(base, **fields)  # type: ignore[arg-type]

    def hear(self, said: ClusterMerge, key: SigningKey = PERMIT_KEY) -> list[str]:
        self.notices.hear(self.authority, sealed(said, key), self.findings, self.running_ms)
        return [found.id for found in self.findings.drain()]

    def held(self) -> Sequence[ClusterMerge]:
        return self.notices.held(self.running_ms)


def sealed(said: ClusterMerge, key: SigningKey = PERMIT_KEY) -> Envelope:
    return seal(PayloadType.CLUSTER_MERGE, encode_cluster_merge(said), [key])


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_waits_is_a_finding_once_and_so_is_how_it_was_decided(scene: Scene) -> None:
    waits = scene.said()
    assert scene.hear(waits) == ["cluster.merge.waits"]
    assert scene.hear(replace(waits, governor_unix_ms=2)) == []
    ruled = scene.said(governor_unix_ms=3, state=MergeState.RULED, why="")
    assert scene.hear(ruled) == ["cluster.merge.decided"]
    assert scene.held() == [ruled]
    # A courier that brings the older one again changes nothing.
    assert scene.hear(waits) == []
    assert scene.held() == [ruled]


def test_what_is_not_repeated_is_forgotten(scene: Scene) -> None:
    scene.hear(scene.said())
    scene.running_ms += KEPT_MS - 1
    assert scene.held()
    scene.running_ms += 1
    assert scene.held() == []


def test_it_keeps_so_many_and_no_more(scene: Scene) -> None:
    for number in range(KEPT_MAX + 1):
        scene.hear(scene.said(other=f"c{number}"))
    assert len(scene.held()) == KEPT_MAX


def test_law_7_only_what_the_authority_signed_of_this_cluster_counts(scene: Scene) -> None:
    with pytest.raises(ForgedError):
        scene.hear(scene.said(), SigningKey.from_scalar(77))
    for other in (scene.said(authority="other"), scene.said(cluster="gamma")):
        with pytest.raises(MisdirectedError):
            scene.hear(other)
    assert scene.held() == []


def test_it_comes_beside_answers_and_is_shown(scene: Scene) -> None:
    core = scene.rig.core
    proven = scene.rig.authority.answer(scene.rig.reports[-1])

    def bring(*wires: pb.Envelope) -> list[type]:
        batch = pb.AnswerBatch(batch_root=envelope_to_wire(proven.root), cluster_merges=wires)
        return [type(error) for error in inbox.take_answers(core, batch, scene.rig.now)[1]]

    good = envelope_to_wire(sealed(scene.said()))
    garbage = pb.Envelope(payload_type=PayloadType.CLUSTER_MERGE, payload=b"?")
    assert len(bring(good, garbage)) == 1
    (shown,) = snapshot(core, closed=frozenset()).cluster_merges
    assert (shown.cluster, shown.other, shown.state) == ("alpha", "beta", pb.MERGE_STATE_WAITING)
    assert bring(*[good] * (inbox.BESIDE_MAX + 1)) == [MalformedError]
