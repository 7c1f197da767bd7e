"""What goes beside the answers costs nobody an answer: these are on record before it is made."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from flopgate_proto.errors import StorageError
from flopgate_proto.keys import SigningKey
from flopgate_proto.values import Figures, Policy, Report
from tests.support.found_clusters import FABRIC, join
from tests.support.governor import PERMIT, POLICY, FakeHost, LocalGovernor, cluster_policy, joined
from tests.support.governor_steps import ask, retirement


@pytest.fixture
def governor_policy() -> Policy:
    return POLICY


@dataclass
class Token:
    """The online key in a device that signs statements of one type no more."""

    key: SigningKey
    tires_of: bytes
    asked: int = 0

    @property
    def spki(self) -> bytes:
        return self.key.spki

    def sign(self, message: bytes) -> bytes:
        if self.tires_of in message:
            self.asked += 1
            raise StorageError("the token is busy", code="key.busy")
        return self.key.sign(message)


def fabric_of_two(governor: LocalGovernor) -> list[FakeHost]:
    """Four hosts of one fabric in two clusters; what they told is on record."""
    hosts = [*join(governor, "alpha", 1, 2), *join(governor, "beta", 3, 4)]
    for host in hosts:
        host.now_ms, host.topology = 100_000, FABRIC
        host.lately = 60_000, Figures(low_tflop=60, nominal_tflop=60, high_tflop=60)
        host.accept(governor.send(host.report(1)))
        host.topology = None
    return hosts


@pytest.mark.parametrize("kind", [b"vnd.flopgate.neighbours.", b"vnd.flopgate.cluster-merge."])
def test_law_9_what_cannot_be_signed_beside_them_holds_no_answer_back(
    governor: LocalGovernor, kind: bytes
) -> None:
    hosts = fabric_of_two(governor)
    governor.clock.unix_ms += 3_600_000
    governor.state.permit = token = Token(PERMIT, kind)
    down = governor.send(*[host.report(1) for host in hosts])
    assert token.asked
    assert [host.accept(down).answer.acknowledged_sequence for host in hosts] == [2, 2, 2, 2]
    assert "the token is busy" in governor.state.untold
    (batch,) = down.batches
    # One failure keeps nothing else back.
    assert bool(batch.neighbours) == (b"merge" in kind)
    assert bool(batch.cluster_merges) == (b"neighbours" in kind)
    governor.state.permit = PERMIT
    governor.clock.unix_ms += 3_600_000
    (batch,) = governor.send(*[host.report(1) for host in hosts]).batches
    assert batch.neighbours
    assert batch.cluster_merges
    assert not governor.state.untold


def test_law_9_what_cannot_be_noted_of_neighbours_holds_no_answer_back(
    governor: LocalGovernor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report that is on record, and of which a figure is beyond what we can reckon with."""

    def note(_custodian: str, _report: Report, _unix_ms: int) -> None:
        raise OverflowError("no such rate")

    hosts = fabric_of_two(governor)
    monkeypatch.setattr(type(governor.state.neighbourhoods), "note", staticmethod(note))
    for sequence in (2, 3):
        down = governor.send(*[host.report(1) for host in hosts])
        assert {host.accept(down).answer.acknowledged_sequence for host in hosts} == {sequence}
        assert governor.state.untold == "OverflowError: no such rate"


def test_law_9_a_retirement_is_answered_where_capacities_cannot_be_counted(
    governor: LocalGovernor,
) -> None:
    """And the next batch goes on from it: one number and one root before each."""
    governor.order(cluster_policy(10**6, version=2))
    first, second = joined(governor, count=2, capacity=0)
    for host in (first, second):
        ask(governor, host)
    whole = dict(governor.state.capacities.flop_per_s)
    broken(governor, lambda: first.accept(governor.send(retirement(first))))
    left = governor.state.batch_digest
    assert governor.state.capacities.flop_per_s == whole
    answer = second.accept(governor.send(second.report(1)))
    assert governor.state.capacities.flop_per_s["c1"] < whole["c1"]
    assert answer.batch.previous == left


def broken(governor: LocalGovernor, work: Callable[[], object]) -> None:
    """What was declared of clusters cannot be read meanwhile."""
    for old, new in (("token", "gone"), ("gone", "token")):
        with governor.state.store.transaction() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")
        if new == "gone":
            work()
