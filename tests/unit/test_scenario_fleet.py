"""Every host of a scenario: numbered once, with the share and lanes that its file says."""

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from flopgate_sim.scenario import Cluster, Workload, fleet
from flopgate_sim.scenario.fleet import lanes_of, scopes_of, shared
from tests.support.scenarios import LEAST, load_text


def cluster_of(hosts: int, shares: list[float]) -> Cluster:
    return Cluster(
        name="a",
        custodian="c",
        site="s",
        jurisdiction="j",
        hosts=hosts,
        chips_per_host=8,
        chip="h100",
        workloads=tuple(
            Workload(name=f"w{number}", share=share) for number, share in enumerate(shares)
        ),
    )


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


@given(
    hosts=st.integers(1, 20_000),
    parts=st.lists(st.integers(1, 1000), min_size=1, max_size=12),
)
def test_every_host_gets_one_workload_and_shares_are_kept(hosts: int, parts: list[int]) -> None:
    shares = [part / sum(parts) for part in parts]
    counts = shared(cluster_of(hosts, shares))
    assert sum(counts) == hosts
    assert all(abs(count - share * hosts) <= 1 for count, share in zip(counts, shares, strict=True))


def test_shares_that_are_rounded_in_the_file_lose_no_host() -> None:
    assert shared(cluster_of(6317, [0.333, 0.333, 0.333])) == (2106, 2106, 2105)


@given(chips=st.integers(1, 16), lanes=st.integers(1, 16))
def test_every_chip_is_in_one_lane(chips: int, lanes: int) -> None:
    split = lanes_of(Workload(name="w", lanes=min(lanes, chips)), chips)
    assert Counter(chip for lane in split for chip in lane.chips) == Counter(range(chips))
    sizes = [len(lane.chips) for lane in split]
    assert max(sizes) - min(sizes) <= 1
    assert len({lane.workload for lane in split}) == len(split)
