"""A host that retires: what it held is settled, its chips are free, and nothing follows."""

from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.service.overview import overview
from flopgate_proto.codec import PayloadType, encode_report
from flopgate_proto.envelope import seal
from flopgate_proto.errors import HistoryError
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.values import Policy
from tests.support.governor import FakeHost, LocalGovernor, answers, cluster_policy, joined
from tests.support.governor_steps import AMPLE, ASK, ask, pause, resume, retirement, totals

CAP = 1_000_000


@pytest.fixture
def governor_policy() -> Policy:
    return cluster_policy(CAP)


def anew(host: FakeHost) -> FakeHost:
    """The same chips under another key."""
    other = FakeHost(host.number)
    other.key = SigningKey.from_scalar(7777)
    other.head = other.host_id = key_digest(other.key.spki)
    return other


def test_law_2_all_that_it_held_is_free_for_others(governor: LocalGovernor) -> None:
    first, second = joined(governor, count=2)
    assert not ask(governor, first, headroom=CAP)
    assert ask(governor, second) == "budget.spent"
    answer = first.accept(governor.send(retirement(first, spend_tflop=300))).answer
    assert (answer.verdicts, answer.terms) == ((), None)
    assert (answer.acknowledged_sequence, answer.acknowledged_head) == (2, first.head)
    assert totals(governor) == (300, 0, 0)
    assert not ask(governor, second)
    assert totals(governor) == (300, 0, ASK)


def test_a_retry_gets_the_same_bytes(governor: LocalGovernor, host: FakeHost) -> None:
    ask(governor, host)
    last = retirement(host)
    first = governor.send(last)
    for _ in range(2):
        again = governor.send(last)
        assert again.batches[0].answers == first.batches[0].answers
        governor.reopen()
    assert governor.count("evidence") == 0


def test_its_chips_join_under_another_key_and_count_once(
    governor: LocalGovernor, host: FakeHost
) -> None:
    token = governor.token()
    with pytest.raises(HistoryError, match="is enrolled under host"):
        governor.enroll(anew(host), token)
    ask(governor, host)
    before = dict(governor.state.capacities.flop_per_s)
    governor.send(retirement(host))
    governor.enroll(anew(host), token)
    assert governor.state.capacities.flop_per_s == before
    assert not ask(governor, anew(host))


def test_its_capacity_leaves_the_cluster(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(CAP))
    first, second = joined(governor, count=2, capacity=0)
    whole = governor.state.capacities.flop_per_s["c1"]
    ask(governor, first)
    governor.send(retirement(first))
    assert governor.state.capacities.flop_per_s["c1"] == whole // 2
    (cluster,) = overview(governor.state, ()).clusters
    assert cluster.hosts == 1
    governor.reopen()
    assert governor.state.capacities.flop_per_s["c1"] == whole // 2
    told = {one.host_id: one for one in overview(governor.state, ()).hosts}
    assert told[first.host_id].refused_reason == "host.retired"
    assert not told[first.host_id].lanes
    assert not told[second.host_id].refused_reason
    governor.state.store.close()


def test_law_7_it_stands_in_the_log_by_itself(governor: LocalGovernor, host: FakeHost) -> None:
    ask(governor, host)
    governor.send(retirement(host))
    with governor.state.store.transaction() as connection:
        rows = connection.exec_driver_sql(
            "SELECT kind, digest FROM log_entry ORDER BY position DESC LIMIT 2"
        ).all()
    assert [row[0] for row in rows] == [PayloadType.BATCH_ROOT, PayloadType.RETIREMENT]
    assert rows[1][1] == host.head


@pytest.mark.parametrize("reopened", [False, True])
def test_law_4_a_report_after_it_is_evidence_once(
    governor: LocalGovernor, host: FakeHost, *, reopened: bool
) -> None:
    ask(governor, host)
    governor.send(retirement(host))
    if reopened:
        governor.reopen()
    for _ in range(3):
        head = host.head
        (notice,) = governor.send(host.report(ASK)).notices
        host.sequence, host.head = host.sequence - 1, head
        assert notice.reason == "report.after-retirement"
    assert governor.count("evidence") == 1
    assert governor.count("report") == 2


def test_law_4_two_ends_are_a_fork(governor: LocalGovernor, host: FakeHost) -> None:
    ask(governor, host)
    twin = replace(host.value(), running_ms=host.running_ms + 5)
    governor.send(retirement(host))
    fork = seal(PayloadType.RETIREMENT, encode_report(twin), [host.key])
    assert governor.send(fork).notices[0].reason == "report.forked"
    assert governor.count("evidence") == 1


def test_law_6_a_paused_host_does_not_retire(governor: LocalGovernor, host: FakeHost) -> None:
    ask(governor, host)
    digest = governor.order(pause())
    last = retirement(host)
    for _ in range(2):
        down = governor.send(last)
        assert [one.reason for one in down.notices] == ["retirement.paused"]
        assert not down.batches
    assert totals(governor)[2] == ASK
    governor.order(resume(digest))
    assert answers(governor.send(last))[0].answer.acknowledged_head == host.head
    assert totals(governor)[2] == 0


def test_a_chain_that_was_closed_on_evidence_does_not_retire(
    governor: LocalGovernor, host: FakeHost
) -> None:
    ask(governor, host)
    twin = FakeHost(host.number)
    twin.unaccounted_tflop = 1
    governor.send(twin.report())
    assert [one.reason for one in governor.send(retirement(host)).notices] == ["retirement.closed"]
    assert totals(governor)[2] == ASK


def test_its_own_key_is_not_admitted_again(governor: LocalGovernor, host: FakeHost) -> None:
    governor.send(retirement(host))
    with pytest.raises(HistoryError) as error:
        governor.enroll(host, governor.token())
    assert error.value.code == "enrolment.retired"


def test_a_whole_fleet_retires_in_one_batch(governor: LocalGovernor) -> None:
    hosts = joined(governor, count=20, capacity=0)
    for one in hosts:
        ask(governor, one, headroom=AMPLE)
    down = governor.send(*[retirement(one) for one in hosts])
    assert len(answers(down)) == 20
    assert totals(governor) == (0, 0, 0)
    assert governor.count("chip") == 0
