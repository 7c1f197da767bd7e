"""What docs/scenarios.md says is what the loaders take, with the defaults that they take."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Final

from flopgate_sim.scenario import find, shipped
from flopgate_sim.scenario.acts import OFFICER_KEYS
from flopgate_sim.scenario.clusters import CLUSTER_KEYS, WORKLOAD_KEYS
from flopgate_sim.scenario.errands import ERRAND_KEYS
from flopgate_sim.scenario.events import FAULT_KEYS, JOB_KEYS
from flopgate_sim.scenario.kinds import KINDS
from flopgate_sim.scenario.loader import (
    AUTHORITIES,
    AUTHORITIES_KEYS,
    GATE_KEYS,
    NETWORK_KEYS,
    TOP_KEYS,
)
from flopgate_sim.scenario.policies import POLICY_KEYS
from flopgate_sim.scenario.profiles import PROFILES
from flopgate_sim.traces import PROFILE_OF, UNKNOWN_MODEL
from tests.support.scenarios import CLUSTER, load_text

TEXT: Final = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()
OWN: Final = {"`workload`", "`fabric`"}
"""Keys of a cluster whose default is said in words."""
WHOLE: Final = TEXT.split("\n## A whole file\n")[1].split("```toml\n")[1].split("```")[0]
EVENTS: Final = TEXT.split("\n## [[fault]]")[1].split("```toml\n")[1].split("```")[0]


def section(heading: str) -> str:
    return TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def keys(text: str) -> list[str]:
    return re.findall(r"^\| `([a-z_.]+)` \|", text, re.MULTILINE)


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_key_is_documented_in_order() -> None:
    assert keys(section("The file")) == list(TOP_KEYS)
    assert keys(section("[[cluster]]")) == list(CLUSTER_KEYS)
    assert keys(section("[[cluster.workload]]")) == list(WORKLOAD_KEYS)
    assert keys(section("[gate]")) == list(GATE_KEYS)
    assert keys(section("[authorities]")) == list(AUTHORITIES_KEYS)
    assert keys(section("[network]")) == list(NETWORK_KEYS)
    parts = re.split(
        r"\| key of `\[\[[a-z]+\]\]` \|", section("[[fault]], [[officer]], [[errand]], [[job]]")
    )
    events = (FAULT_KEYS, OFFICER_KEYS, ERRAND_KEYS, JOB_KEYS)
    for part, known in zip(parts[1:], events, strict=True):
        assert keys(part) == list(known)
    assert all(name in section("[authorities]") for name in AUTHORITIES)


def test_the_whole_file_spells_out_the_defaults(tmp_path: Path) -> None:
    whole = load_text(tmp_path, WHOLE)
    least = load_text(tmp_path, 'name = "example"\nsummary = "s"\nduration_s = 3600\n' + CLUSTER)
    assert replace(whole, summary="s") == least
    document = tomllib.loads(WHOLE)
    (cluster,) = document.pop("cluster")
    (workload,) = cluster.pop("workload")
    optional = {"period_ms", "busy_ms", "mean_life_s"}
    assert set(document) == set(TOP_KEYS) - {"cluster", "fault", "officer", "errand", "job"}
    assert set(cluster) == set(CLUSTER_KEYS) - {"workload"}
    assert set(workload) == set(WORKLOAD_KEYS) - optional
    assert set(document["gate"]) == set(GATE_KEYS)
    assert set(document["authorities"]) == set(AUTHORITIES_KEYS)
    assert set(document["network"]) == set(NETWORK_KEYS)
    assert set(document["policy"]) < set(POLICY_KEYS)


def test_the_tables_give_the_defaults_of_the_whole_file() -> None:
    document = tomllib.loads(WHOLE)
    (cluster,) = document["cluster"]
    (workload,) = cluster["workload"]
    for heading, values in (
        ("[[cluster]]", cluster),
        ("[[cluster.workload]]", workload),
        ("[gate]", document["gate"]),
        ("[network]", document["network"]),
    ):
        for key, default, _ in rows(section(heading)):
            told = default.strip("`")
            if key.strip("`") in values and default != "required" and key not in OWN:
                value = values[key.strip("`")]
                shown = value if isinstance(value, str) else str(value).lower()
                assert told in (shown, shown.removesuffix(".0")), key


def test_the_example_of_events_is_taken(tmp_path: Path) -> None:
    scenario = load_text(tmp_path, WHOLE + EVENTS)
    events = (scenario.timed_faults, scenario.acts, scenario.errands, scenario.jobs)
    assert list(map(len, events)) == [3, 2, 2, 1]
    # The job spells out its defaults, too.
    least = EVENTS.split("[[job]]")[0] + "[[job]]\nhost = 0\n"
    assert load_text(tmp_path, WHOLE + least) == scenario


def test_kinds_of_faults_are_told_as_they_are() -> None:
    told = rows(section("[faults]"))[1:]
    expected = [
        [
            f"`{name}`",
            kind.target,
            ""
            if kind.span_ms is None
            else f"{kind.span_ms[0] // 1000} to {kind.span_ms[1] // 1000}",
            "" if kind.value is None else f"{kind.value[0]} to {kind.value[1]}",
            kind.text,
        ]
        for name, kind in KINDS.items()
    ]
    assert told == expected


def test_chips_and_models_are_told_as_they_are() -> None:
    chips = [[f"`{name}`", profile.nvml_name] for name, profile in PROFILES.items()]
    assert rows(section("Chips"))[1:] == chips
    models = {**PROFILE_OF, "any other, or none": UNKNOWN_MODEL}
    assert rows(section("Recorded clusters"))[1:] == [
        [name, f"`{one.profile}`", one.why or "it is this chip"] for name, one in models.items()
    ]


def test_the_shipped_ones_are_told_as_they_are() -> None:
    scenarios = [find(name) for name in shipped()]
    assert rows(section("Shipped"))[1:] == [
        [f"`{one.name}`", str(one.hosts), f"{one.hours:g}", one.summary] for one in scenarios
    ]
