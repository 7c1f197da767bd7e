"""Custodians are told of merges of their clusters: at once, again, and of nobody else's."""

from __future__ import annotations

import pytest

from flopgate_governor.core.cluster_notices import EVERY_MS, PER_CLUSTER_MAX
from flopgate_proto.codec import PayloadType, decode_cluster_merge, envelope_from_wire
from flopgate_proto.envelope import verify
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import ClusterMerge, MergeState, Policy
from tests.support.found_clusters import FABRIC, join, ruling
from tests.support.governor import POLICY, FakeHost, LocalGovernor


@pytest.fixture
def governor_policy() -> Policy:
    return POLICY


def exchange(governor: LocalGovernor, host: FakeHost) -> list[ClusterMerge]:
    """What a host is told of clusters beside the answer to its next report."""
    down = governor.send(host.report(1))
    host.accept(down)
    return said(governor, down)


def said(governor: LocalGovernor, down: pb.LinkDown) -> list[ClusterMerge]:
    key = VerifyingKey(governor.state.permit.spki)
    kind = PayloadType.CLUSTER_MERGE
    envelopes = [envelope_from_wire(w) for batch in down.batches for w in batch.cluster_merges]
    payloads = [verify(one, kind, {key.key_id: key}).payload for one in envelopes]
    return [decode_cluster_merge(payload) for payload in payloads]


def named(governor: LocalGovernor, *hosts: FakeHost) -> None:
    """Each tells that it is on one fabric, twice: merges are told from the next answer on."""
    for host in hosts:
        host.topology = FABRIC
        exchange(governor, host)
        host.topology = None


def test_hosts_of_both_ends_are_told_at_once_and_again(governor: LocalGovernor) -> None:
    (alpha, *_), (beta, *_) = ends = join(governor, "alpha", 1, 2), join(governor, "beta", 3, 4)
    named(governor, *ends[0], *ends[1])
    (told,) = exchange(governor, alpha)
    assert (told.cluster, told.other, told.state) == ("alpha", "beta", MergeState.FOUND)
    assert told.key.startswith("fabric:")
    assert [one.cluster for one in exchange(governor, beta)] in ([], ["beta"])
    assert exchange(governor, alpha) == []
    governor.clock.unix_ms += EVERY_MS
    assert [one.cluster for one in exchange(governor, alpha)] == ["alpha"]
    assert [(one.cluster, one.other) for one in exchange(governor, beta)] == [("beta", "alpha")]
    governor.reopen()
    assert len(exchange(governor, alpha)) == 1


def test_neither_custodian_learns_the_others_name_before_officers_ruled(
    governor: LocalGovernor,
) -> None:
    mine, theirs = join(governor, "alpha", 1, 2), join(governor, "beta", 3, 4, custodian="x")
    named(governor, *mine, *theirs)
    governor.clock.unix_ms += EVERY_MS
    for host, cluster in ((mine[0], "alpha"), (theirs[0], "beta")):
        (told,) = exchange(governor, host)
        assert (told.cluster, told.other, told.why) == (cluster, "", "custodians")
        assert (told.state, told.ends) == (MergeState.WAITING, ())
    governor.order(ruling("alpha", "beta"))
    assert {(one.other, one.state) for one in exchange(governor, mine[0])} == {
        ("beta", MergeState.RULED)
    }
    governor.order(ruling("beta", apart=True))
    assert exchange(governor, mine[0]) == []


def test_whom_no_merge_concerns_is_told_nothing(governor: LocalGovernor) -> None:
    (gamma,) = join(governor, "gamma", 9)
    named(governor, *join(governor, "alpha", 1, 2), *join(governor, "beta", 3, 4))
    assert exchange(governor, gamma) == []


def test_a_host_is_told_of_so_many_and_no_more(governor: LocalGovernor) -> None:
    mine = join(governor, "alpha", 1, 2)
    named(governor, *mine)
    for number in range(PER_CLUSTER_MAX + 2):
        first = 10 + 2 * number
        named(governor, *join(governor, f"c{number}", first, first + 1, custodian=f"x{number}"))
    governor.clock.unix_ms += EVERY_MS
    told = exchange(governor, mine[0])
    assert 0 < len(told) <= PER_CLUSTER_MAX
