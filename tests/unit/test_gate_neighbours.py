"""A gate holds what it was charged against what its authority says of hosts of the same fabric."""

from dataclasses import replace
from typing import Any

import pytest

from flopgate_agent.gate.findings import FindingLog
from flopgate_agent.gate.reports.neighbours import FACTOR, IN_A_ROW, Neighbourhood, Own
from flopgate_agent.gate_process import inbox
from flopgate_proto.codec import PayloadType, encode_neighbours, envelope_to_wire
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import ForgedError, MalformedError, MisdirectedError, PeerError
from flopgate_proto.keys import SigningKey
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Figures, LaneState, Neighbours
from tests.support.fixed import PERMIT_KEY
from tests.support.gate_rig import GateRig, running
from tests.support.statements import lane, topology

FABRIC = bytes(range(16))
HUNG = topology(fabric_cluster_uuid=FABRIC)
MEDIAN = 500_000


def statement(at_ms: int = 1, *, key: SigningKey = PERMIT_KEY, **fields: Any) -> Envelope:
    base = Neighbours(
        authority="a",
        governor_unix_ms=at_ms,
        fabric_cluster_uuid=FABRIC,
        workload="run",
        hosts=5,
        median_gflop_per_s=MEDIAN,
    )
    value = replace(base, **fields)
    return seal(PayloadType.NEIGHBOURS, encode_neighbours(value), [key])


class Scene:
    """An authority that a running gate trusts, and a neighbourhood of its own."""

    def __init__(self) -> None:
        self.rig: GateRig = running()
        (self.authority,) = self.rig.core.authorities.values()
        self.findings = FindingLog()
        self.neighbourhood = Neighbourhood()
        self.at_ms = 0

    def hear(self, own_gflop_per_s: int, count: int = 1, **fields: Any) -> list[str]:
        for _ in range(count):
            self.at_ms += 60_000
            said = statement(self.at_ms, authority=self.authority.name, **fields)
            self.take(said, own_gflop_per_s)
        return [found.id for found in self.findings.drain()]

    def take(self, envelope: Envelope, own_gflop_per_s: int = MEDIAN) -> None:
        tflop = own_gflop_per_s * 60 // 1_000
        charged = Figures(low_tflop=0, nominal_tflop=tflop, high_tflop=tflop)
        one = lane(
            workload="run",
            state=LaneState.RUNNING,
            chips=(0,),
            measured=charged,
            gap=Figures(),
        )
        self.neighbourhood.hear(
            self.authority,
            envelope,
            Own(HUNG, (one,), 60_000),
            self.findings,
            self.rig.core.running_ms,
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("own", [0, MEDIAN // FACTOR - 10_000, MEDIAN * FACTOR + 10_000])
def test_a_host_that_lies_far_apart_time_and_again_is_found(scene: Scene, own: int) -> None:
    assert scene.hear(own, IN_A_ROW - 1) == []
    assert scene.hear(own) == ["meter.neighbours.apart"]
    assert scene.hear(own, IN_A_ROW - 1) == []


@pytest.mark.parametrize("own", [MEDIAN // FACTOR, MEDIAN, MEDIAN * FACTOR])
def test_a_host_that_works_as_others_do_is_not_found(scene: Scene, own: int) -> None:
    assert scene.hear(own, 10) == []


def test_once_close_to_the_others_it_counts_anew(scene: Scene) -> None:
    scene.hear(0, IN_A_ROW - 1)
    scene.hear(MEDIAN)
    assert scene.hear(0, IN_A_ROW - 1) == []


def test_its_numbers_are_told_with_the_lane(scene: Scene) -> None:
    for _ in range(IN_A_ROW):
        scene.at_ms += 1
        scene.take(statement(scene.at_ms, authority=scene.authority.name), 0)
    (found,) = scene.findings.drain()
    assert found.subject == "run"
    assert found.detail == "own_gflop_per_s=0 median_gflop_per_s=500000 hosts=5"


def test_one_statement_counts_once_however_often_it_is_brought(scene: Scene) -> None:
    envelope = statement(7, authority=scene.authority.name)
    for _ in range(2 * IN_A_ROW):
        scene.take(envelope, 0)
    assert scene.findings.drain() == ()


def test_only_the_permit_key_of_the_authority_is_believed(scene: Scene) -> None:
    with pytest.raises(ForgedError):
        scene.take(statement(authority=scene.authority.name, key=SigningKey.from_scalar(77)))


@pytest.mark.parametrize(
    "fields", [{"authority": "another"}, {"fabric_cluster_uuid": bytes([9] * 16)}]
)
def test_what_is_said_of_others_is_refused(scene: Scene, fields: dict[str, Any]) -> None:
    with pytest.raises(MisdirectedError):
        scene.take(statement(**{"authority": scene.authority.name, **fields}))


def test_a_lane_of_another_host_is_nothing_to_compare(scene: Scene) -> None:
    assert scene.hear(0, 2 * IN_A_ROW, workload="another") == []


def brought(scene: Scene, *wires: pb.Envelope) -> list[PeerError]:
    """At the door, beside the answer to the newest report."""
    core = scene.rig.core
    core.chain.topology.take(HUNG, core.findings)
    proven = scene.rig.authority.answer(scene.rig.reports[-1])
    batch = pb.AnswerBatch(batch_root=envelope_to_wire(proven.root), neighbours=wires)
    _, errors = inbox.take_answers(core, batch, scene.rig.now)
    return errors


def test_at_the_door_each_is_refused_by_itself(scene: Scene) -> None:
    name = scene.authority.name
    good = envelope_to_wire(statement(authority=name))
    forged = envelope_to_wire(statement(authority=name, key=SigningKey.from_scalar(77)))
    garbage = pb.Envelope(payload_type=PayloadType.NEIGHBOURS, payload=b"?")
    kinds = [type(error) for error in brought(scene, good, forged, garbage)]
    assert len(kinds) == 2
    assert kinds[0] is ForgedError
    many = brought(scene, *[good] * (inbox.BESIDE_MAX + 1))
    assert [type(error) for error in many] == [MalformedError]
