"""An online key is replaced in the simulated cluster, and what its thief signs counts nowhere."""

from __future__ import annotations

from functools import partial
from itertools import count

import pytest

from flopgate_governor.core.orders import Mandate
from flopgate_governor.views.heads import own_heads
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState
from flopgate_sim.adversaries.stage import at_s, evidence, staged, states
from flopgate_sim.planted.worlds import AUTHORITY, plain
from flopgate_sim.scenario.kinds import KINDS
from flopgate_sim.world.faults.thieving import Thieving
from flopgate_sim.world.governors.governor import Governor
from flopgate_sim.world.plan import Fault
from flopgate_sim.world.truths.keys import KeyTruth

REPLACED_S = 300
HOUR_MS = 3_600_000


@pytest.mark.parametrize("emergency", [0, 1])
def test_jobs_run_through_the_replacement_of_an_online_key(emergency: int) -> None:
    """Also where it is revoked first, and another is there within what hosts outlast."""
    (_, most_ms) = KINDS["key_replaced"].span_ms or (0, 0)
    fault = Fault(
        at_ms=REPLACED_S * 1000,
        kind="key_replaced",
        target=AUTHORITY,
        span_ms=most_ms,
        value=emergency,
    )
    assert plain(1).duration_ms > REPLACED_S * 1000 + 2 * plain(1).policy.lifetime_ms
    with staged(faults=(fault,)) as world:
        (governor,) = world.governors
        former = governor.officers.permit.key_id
        seen: set[LaneState] = set()

        def look() -> None:
            for host in world.hosts:
                seen.update(states(host))

        for moment_s in range(REPLACED_S - 1, world.plan.duration_ms // 1000):
            at_s(world, moment_s, look)
        world.run()
        assert world.broken is None
        assert seen == {LaneState.RUNNING}
        assert governor.state is not None
        assert governor.state.mandate is Mandate.GIVEN
        assert governor.state.permit_id != former
        assert governor.state.book.mandate(former) is Mandate.REVOKED
        assert all((AUTHORITY, former) in host.truth.keys.revoked_us for host in world.hosts)
        assert not any(host.truth.refused for host in world.hosts)


def test_keys_follow_one_another_also_where_a_backup_lacks_them() -> None:
    kinds = ((300, "key_replaced"), (400, "governor_restore"), (1_200, "key_replaced"))
    faults = tuple(
        Fault(at_ms=at_s * 1000, kind=kind, target=AUTHORITY, span_ms=60_000)
        for at_s, kind in kinds
    )
    with staged(faults=faults, duration_ms=HOUR_MS) as world:
        (governor,) = world.governors
        keys: list[str] = []
        for moment_s in range(200, 2_000, 50):
            at_s(world, moment_s, partial(_note, governor, keys))
        world.run()
        assert world.broken is None
        assert governor.state is not None
        assert len(set(keys)) == 3
        assert governor.state.mandate is Mandate.GIVEN
        *former, now = dict.fromkeys(keys)
        assert governor.state.permit_id == now
        assert {governor.state.book.mandate(key) for key in former} == {Mandate.REVOKED}


def _note(governor: Governor, keys: list[str]) -> None:
    keys.append(governor.officers.permit.key_id)


def test_a_thief_without_a_revoked_key_carries_all_as_it_is() -> None:
    names = [host.name for host in plain(1).hosts]
    fault = Fault(at_ms=300_000, kind="revoked_answers", target=names[0], span_ms=900_000)
    with staged(faults=(fault,)) as world:
        world.run()
        assert world.broken is None
        assert states(world.hosts[0]) == {LaneState.RUNNING}
        assert not world.hosts[0].truth.refused


def test_the_judge_tells_a_new_answer_under_a_revoked_key_from_one_of_before() -> None:
    answer = pb.AnswerLeaf(payload=pb.Answer(request_digest=b"r" * 32).SerializeToString())
    root = pb.Envelope(signatures=[pb.Signature(keyid="a" * 64)])
    batch = pb.AnswerBatch(batch_root=root, answers=[answer])
    truth = KeyTruth()
    assert not [*truth.misused(batch, ())]
    truth.revoked.add("a" * 64)
    ((law, text),) = truth.misused(batch, ())
    assert law == 7
    assert "revoked key" in text
    assert not [*truth.misused(batch, {b"r" * 32})]
    assert not [*truth.misused(under_another(batch), ())]


def under_another(batch: pb.AnswerBatch) -> pb.AnswerBatch:
    other = pb.AnswerBatch()
    other.CopyFrom(batch)
    other.batch_root.signatures[0].keyid = "b" * 64
    return other


def test_an_authority_gets_what_a_thief_had_acknowledged_in_its_place() -> None:
    """While nobody knows of him he breaks laws, as whoever holds the key does: nobody judges."""
    replaced = Fault(at_ms=700_000, kind="key_replaced", target=AUTHORITY, span_ms=10_000)
    with staged(judged=False, faults=(replaced,)) as world:
        (governor,), robbed = world.governors, world.hosts[0]
        numbers = count(2**50)

        def bring(message: pb.ToGate) -> None:
            world.engine.after(0, "thief", partial(robbed.from_courier, 0, message))

        def on_record() -> int:
            assert governor.state is not None
            (chain,) = [one for one in own_heads(governor.state) if one.host_id == robbed.host_id]
            return chain.sequence

        def acknowledged() -> int:
            assert robbed.runner is not None
            return robbed.runner.core.authorities[AUTHORITY].acknowledged_sequence

        thief = Thieving(
            keys=lambda: [governor.officers.permit],
            policy=lambda: governor.officers.policy,
            unix_ms=lambda: next(numbers),
            bring=bring,
        )
        lacked: list[int] = []
        at_s(world, 300, lambda: robbed.couriers[0].bend(thief))
        at_s(world, 690, lambda: robbed.couriers[0].straighten(thief))
        at_s(world, 699, lambda: lacked.append(acknowledged() - on_record()))
        world.run()
        assert thief.tried > 1
        assert lacked == [thief.tried]
        assert on_record() == acknowledged()
        assert states(robbed) == {LaneState.RUNNING}
        assert governor.halt() is None
        assert not evidence(world)
