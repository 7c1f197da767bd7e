"""Every host and every chip of a scenario is in exactly one workload, whatever the shares."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from flopgate_sim.scenario import Workload
from flopgate_sim.scenario.fleet import lanes_of, shared
from tests.support.scenarios import cluster_of


@given(
    hosts=st.integers(1, 20_000),
    parts=st.lists(st.integers(1, 1000), min_size=1, max_size=12),
)
def test_every_host_gets_one_workload_and_shares_are_kept(hosts: int, parts: list[int]) -> None:
    shares = [part / sum(parts) for part in parts]
    counts = shared(cluster_of(hosts, shares))
    assert sum(counts) == hosts
    assert all(abs(count - share * hosts) <= 1 for count, share in zip(counts, shares, strict=True))


@given(chips=st.integers(1, 16), lanes=st.integers(1, 16))
def test_every_chip_is_in_one_lane(chips: int, lanes: int) -> None:
    split = lanes_of(Workload(name="w", lanes=min(lanes, chips)), chips)
    assert Counter(chip for lane in split for chip in lane.chips) == Counter(range(chips))
    sizes = [len(lane.chips) for lane in split]
    assert max(sizes) - min(sizes) <= 1
    assert len({lane.workload for lane in split}) == len(split)
