"""Merges of clusters stand in the log, written with them, whatever brought them about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_governor.state import open_state
from flopgate_governor.store import schema
from flopgate_governor.store.database import Store
from flopgate_proto.codec import PayloadType, decode_cluster_merge
from flopgate_proto.envelope import pae
from flopgate_proto.errors import StorageError
from flopgate_proto.values import ClusterMerge, MergeState, Policy, Topology
from tests.support.found_clusters import FABRIC, join, ruling
from tests.support.governor import LOG, PERMIT, POLICY, FakeHost, LocalGovernor
from tests.support.statements import PORT


@pytest.fixture
def governor_policy() -> Policy:
    return POLICY


def logged(governor: LocalGovernor) -> list[ClusterMerge]:
    """What the log says of merges, oldest first; its length is what the writer believes."""
    entry = schema.log_entry.c
    with governor.state.store.transaction() as connection:
        rows = connection.execute(schema.log_entry.select().order_by(entry.position)).fetchall()
    assert len(rows) == governor.state.frontier.size
    kind = PayloadType.CLUSTER_MERGE
    prefix = pae(kind, b"x").split(b" ")[:3]
    found = []
    for row in rows:
        if row.kind == kind:
            head, _, rest = row.data.partition(b" " + prefix[2] + b" ")
            assert head.startswith(prefix[0])
            found.append(decode_cluster_merge(rest.partition(b" ")[2]))
    return found


def tell(governor: LocalGovernor, *hosts: FakeHost) -> None:
    for host in hosts:
        host.topology = FABRIC
        host.accept(governor.send(host.report(1)))
        host.topology = None


def test_a_merge_that_is_found_is_logged_once(governor: LocalGovernor) -> None:
    hosts = [*join(governor, "alpha", 1, 2), *join(governor, "beta", 3, 4)]
    tell(governor, *hosts)
    first, merge = logged(governor)
    assert (first.state, first.why) == (MergeState.WAITING, "one-word")
    assert (merge.cluster, merge.other, merge.state) == ("alpha", "beta", MergeState.FOUND)
    assert {host_id for host_id, _ in merge.ends} <= {host.host_id for host in hosts}
    governor.reopen()
    tell(governor, *hosts)
    assert logged(governor) == [first, merge]


def test_what_waits_and_how_it_was_ruled_are_logged(governor: LocalGovernor) -> None:
    tell(governor, *join(governor, "alpha", 1, 2), *join(governor, "beta", 3, 4, custodian="x"))
    digest = governor.order(ruling("alpha", "beta"))
    waits, *ruled = [one for one in logged(governor) if one.why != "one-word"]
    assert (waits.state, waits.why) == (MergeState.WAITING, "custodians")
    assert {(merge.state, merge.ruling) for merge in ruled} == {(MergeState.RULED, digest)}


def test_what_a_policy_shows_is_logged(governor: LocalGovernor) -> None:
    hosts = [*join(governor, "alpha", 1, 2), *join(governor, "beta", 3, 4)]
    for host in hosts:
        slow = replace(PORT, subnet_prefix=0xFEC0_0000_0000_0001, rate_mbit_per_s=50_000)
        host.topology = Topology(ports=(slow,))
        host.accept(governor.send(host.report(1)))
        host.topology = None
    assert logged(governor) == []
    governor.order(replace(POLICY, version=2, cluster_link_mbit_per_s=10_000))
    (merge,) = logged(governor)
    assert merge.key.startswith("subnet:")


def test_a_transaction_that_failed_logged_no_merge(governor: LocalGovernor) -> None:
    *told, last = [*join(governor, "alpha", 1, 2), *join(governor, "beta", 3, 4)]
    tell(governor, *told)
    with governor.state.store.transaction() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON report "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    last.topology = FABRIC
    report = last.report(1)
    before = logged(governor)
    with pytest.raises(StorageError):
        governor.send(report)
    assert logged(governor) == before
    with governor.state.store.transaction() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    governor.send(report)
    assert logged(governor)[len(before) :][0].state is MergeState.FOUND


def test_a_command_beside_the_server_writes_nothing(governor: LocalGovernor) -> None:
    tell(governor, *join(governor, "alpha", 1, 2), *join(governor, "beta", 3, 4))
    before = logged(governor)
    with governor.state.store.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM cluster_merge")
        connection.exec_driver_sql("DELETE FROM cluster_told")
    beside = open_state(Store(governor.path), PERMIT, LOG, governor.clock.machine(), serves=False)
    assert beside.clusters.kin
    beside.store.close()
    assert governor.count("cluster_merge") == 0
    assert logged(governor) == before
