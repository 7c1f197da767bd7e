"""The governor keeps the newest topology that each host told, over restarts, and shows it."""

from flopgate_governor.commands.status import lines_of
from flopgate_governor.service.overview import overview
from flopgate_governor.store.topologies import load_topologies
from flopgate_proto.values import Topology
from tests.support.governor import FakeHost, LocalGovernor, joined
from tests.support.governor_steps import ask
from tests.support.statements import topology


def kept(governor: LocalGovernor) -> dict[bytes, tuple[int, Topology]]:
    with governor.state.store.transaction() as connection:
        return load_topologies(connection)


def tell(governor: LocalGovernor, host: FakeHost, told: Topology | None) -> None:
    host.topology = told
    assert ask(governor, host) == ""


def test_what_a_host_told_last_stands_until_it_tells_another(governor: LocalGovernor) -> None:
    first, second = joined(governor, 2)
    tell(governor, first, None)
    assert kept(governor) == {}
    tell(governor, first, topology())
    tell(governor, first, None)
    tell(governor, second, topology(fabric_cluster_uuid=bytes(range(16))))
    assert kept(governor) == {
        first.host_id: (2, topology()),
        second.host_id: (1, topology(fabric_cluster_uuid=bytes(range(16)))),
    }
    governor.reopen()
    tell(governor, first, None)
    assert kept(governor)[first.host_id] == (2, topology())
    # One that knows of nothing says so, and that is another topology.
    tell(governor, first, Topology(unknown="chips=DRIVER_NOT_LOADED"))
    assert kept(governor)[first.host_id] == (5, Topology(unknown="chips=DRIVER_NOT_LOADED"))


def test_status_counts_what_hosts_told(governor: LocalGovernor) -> None:
    first, second = joined(governor, 2)
    tell(governor, first, topology(fabric_cluster_uuid=bytes(range(16)), unknown="rate=NOT_TOLD"))
    tell(governor, second, None)
    (line,) = [line for line in lines_of(overview(governor.state, ())) if "topology" in line]
    assert line == (
        "  topology of report 1  18 NVLinks  1 of 1 ports active  "
        "fabric 000102030405060708090a0b0c0d0e0f  incomplete"
    )
