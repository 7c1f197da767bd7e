"""Scenarios and the simulated world mean the same by the same name."""

from flopgate_sim.scenario import kinds, profiles
from flopgate_sim.world.faults.table import APPLY


def test_the_world_can_do_every_kind_of_fault() -> None:
    assert kinds.KINDS.keys() == APPLY.keys()


def test_every_chip_is_in_the_chip_table_and_shows_cycles_since_hopper() -> None:
    for name, profile in profiles.PROFILES.items():
        assert profile.spec.known, name
        assert profile.gpm == name.startswith(("h", "gh", "b", "gb")), name
