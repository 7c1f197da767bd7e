"""The schedule of faults: the same from the same seed, every kind once a round, one rack whole."""

from itertools import islice

import pytest

from flopgate_sim.live.faults import TROUBLES, Kind, schedule
from flopgate_sim.live.network import Trouble

KINDS = list(Kind)


@pytest.mark.parametrize("racks", [1, 2, 4])
def test_a_round_has_every_kind_once_and_leaves_a_rack_whole(racks: int) -> None:
    faults = list(islice(schedule(KINDS, racks, seed=7), 40 * len(KINDS)))
    for start in range(0, len(faults), len(KINDS)):
        assert {fault.kind for fault in faults[start : start + len(KINDS)]} == set(KINDS)
    for fault in faults:
        assert set(fault.racks) <= set(range(racks))
        assert bool(fault.racks) is (fault.kind is not Kind.GOVERNOR_KILL)
        assert racks == 1 or len(fault.racks) < racks
        assert (
            (fault.trouble in TROUBLES[fault.kind])
            if fault.kind in TROUBLES
            else not (fault.trouble)
        )
    assert {fault.trouble for fault in faults} == {None, *Trouble}
    assert len({fault.title for fault in faults}) > len(KINDS)


def test_the_same_seed_gives_the_same_faults_and_another_one_others() -> None:
    first, again, other = (list(islice(schedule(KINDS, 4, seed), 50)) for seed in (3, 3, 4))
    assert first == again != other


def test_without_kinds_there_is_no_fault() -> None:
    assert list(schedule([], 4, seed=1)) == []


def test_what_is_expected_names_the_hosts_and_the_lifetime() -> None:
    said = {fault.kind: fault.expected(8, 20.0) for fault in islice(schedule(KINDS, 4, seed=1), 5)}
    alone = "out of reach: each stops by itself within 20 s, the others run on"
    assert said[Kind.CUT] == f"8 hosts {alone}"
    assert next(schedule([Kind.CUT], 1, seed=1)).expected(1, 20.0) == f"1 host {alone}"
    assert len(set(said.values())) == len(KINDS) - 1
