"""Scenarios and the simulated world mean the same by the same name."""

from flopgate_sim.scenario import kinds, profiles
from flopgate_sim.world import faults, plan


def test_every_kind_of_fault_is_the_worlds() -> None:
    assert {
        name: (kind.target, kind.span_ms or (0, 0), kind.value or (0, 0), kind.text)
        for name, kind in kinds.KINDS.items()
    } == {
        name: (kind.target, kind.span_ms, kind.value, kind.text)
        for name, kind in faults.KINDS.items()
    }


def test_the_worlds_chips_are_those_of_scenarios() -> None:
    for name, ours in plan.PROFILES.items():
        theirs = profiles.PROFILES[name]
        assert (ours.nvml_name, ours.pci_device_id, ours.gpm) == (
            theirs.nvml_name,
            theirs.pci_device_id,
            theirs.gpm,
        )


def test_every_chip_is_in_the_chip_table_and_shows_cycles_since_hopper() -> None:
    for name, profile in profiles.PROFILES.items():
        assert profile.spec.known, name
        assert profile.gpm == name.startswith(("h", "gh", "b", "gb")), name
