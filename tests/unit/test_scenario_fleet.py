"""Every host of a scenario: numbered once, with the share and lanes that its file says."""

from pathlib import Path

from flopgate_sim.scenario import fleet
from flopgate_sim.scenario.fleet import scopes_of, shared
from tests.support.scenarios import LEAST, cluster_of, load_text


def test_hosts_are_numbered_over_the_whole_file(tmp_path: Path) -> None:
    scenario = load_text(
        tmp_path,
        LEAST
        + '[[cluster]]\nname = "a"\nhosts = 3\nchips_per_host = 5\n'
        + '[[cluster.workload]]\nname = "x"\nshare = 0.66\nlanes = 2\n'
        + '[[cluster.workload]]\nname = "y"\nshare = 0.34\n'
        + '[[cluster]]\nname = "b"\nhosts = 1\nchips_per_host = 1\n',
    )
    hosts = fleet(scenario)
    assert [(host.index, host.name) for host in hosts] == [
        (0, "a-0"),
        (1, "a-1"),
        (2, "a-2"),
        (3, "b-3"),
    ]
    assert [[(lane.workload, lane.chips) for lane in host.lanes] for host in hosts] == [
        [("x", (0, 1, 2)), ("x-2", (3, 4))],
        [("x", (0, 1, 2)), ("x-2", (3, 4))],
        [("y", (0, 1, 2, 3, 4))],
        [("training", (0,))],
    ]
    assert {"workload:x-2", "cluster:b", "everything", "jurisdiction:home"} <= scopes_of(
        scenario.clusters
    )


def test_shares_that_are_rounded_in_the_file_lose_no_host() -> None:
    assert shared(cluster_of(6317, [0.333, 0.333, 0.333])) == (2106, 2106, 2105)
