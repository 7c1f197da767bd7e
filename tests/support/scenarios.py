"""Scenario files for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flopgate_sim.scenario import Cluster, Scenario, Workload, load_scenario

LEAST: Final = 'name = "least"\nsummary = "nothing happens"\nduration_s = 3600\n'
CLUSTER: Final = '[[cluster]]\nname = "alpha"\nhosts = 4\n'


def load_text(folder: Path, text: str) -> Scenario:
    """What a file with this text says; the file is ``scenario.toml`` in ``folder``."""
    path = folder / "scenario.toml"
    path.write_text(text, encoding="utf-8")
    return load_scenario(path)


def cluster_of(hosts: int, shares: list[float]) -> Cluster:
    """A cluster with one workload for each share."""
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
