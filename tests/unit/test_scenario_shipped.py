"""The shipped scenarios: readable, named, as large as promised; and how one is found."""

import sys
from pathlib import Path

import pytest

from flopgate_proto.errors import ConfigError
from flopgate_sim.cli import main
from flopgate_sim.scenario import Scenario, find, fleet, shipped
from flopgate_sim.scenario.kinds import KINDS
from tests.support.scenarios import CLUSTER, LEAST

SCENARIOS = {name: find(name) for name in shipped()}
EACH = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)


@EACH
def test_a_stranger_is_told_what_it_is_and_what_to_expect(scenario: Scenario) -> None:
    assert shipped()[scenario.name].stem == scenario.name
    assert scenario.summary.endswith(".")
    assert scenario.expect
    assert len(fleet(scenario)) == scenario.hosts


def test_those_that_others_rely_on_are_there() -> None:
    assert len(SCENARIOS) >= 12
    quiet = SCENARIOS["quiet-128"]
    assert (quiet.hosts, quiet.hours, quiet.faults.rates_per_h) == (128, 1, ())
    assert SCENARIOS["production-wiring"].gate.looks_ms == 1000
    assert len(SCENARIOS["two-authorities"].authorities.names) == 2
    assert SCENARIOS["partition-week"].hours == 168


@pytest.mark.parametrize("name", ["heaviest", "small-faults"])
def test_every_kind_of_fault_is_in_the_campaigns(name: str) -> None:
    assert {kind for kind, _ in SCENARIOS[name].faults.rates_per_h} == set(KINDS)


def test_what_make_test_runs_is_small() -> None:
    small = SCENARIOS["small-faults"]
    assert small.hosts * small.hours <= 20


def test_the_exaflop_cluster_has_ten_to_the_twentieth() -> None:
    (cluster,) = SCENARIOS["exaflop-100"].clusters
    chips = cluster.hosts * cluster.chips_per_host
    one_host = cluster.chips_per_host * cluster.profile.spec.peak_8bit_up_flop_per_s
    rate = chips * cluster.profile.spec.peak_8bit_up_flop_per_s
    assert 10**20 <= rate < 10**20 + one_host


def test_the_exempt_cluster_crosses_the_threshold_when_hosts_join() -> None:
    scenario = SCENARIOS["exempt-grows-covered"]
    before, after = 0, 0
    for cluster in scenario.clusters:
        chips = cluster.hosts * cluster.chips_per_host
        rate = chips * cluster.profile.spec.peak_8bit_up_flop_per_s // 10**12
        after += rate
        before += 0 if cluster.joins_at_s else rate
    assert before < scenario.policy.threshold_tflop_per_s <= after


def test_list_shows_each_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    _head, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SCENARIOS)
    for line, scenario in zip(lines, SCENARIOS.values(), strict=True):
        assert line.endswith(scenario.summary)
        assert str(scenario.hosts) in line


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_list_is_as_wide_as_the_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) < columns
    for name, scenario in SCENARIOS.items():
        assert name in out
        assert scenario.summary in " ".join(out.split())


def test_one_is_found_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(LEAST + CLUSTER)
    assert find(str(path)).name == "least"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("quiet-182", r"no scenario 'quiet-182' is shipped.*Did you mean quiet-128"),
        ("zzz", r"no scenario 'zzz' is shipped.*`flopgate-sim list`"),
        ("./nowhere.toml", "cannot read nowhere.toml"),
        ("/", "cannot read /"),
    ],
)
def test_one_that_is_not_there_is_told(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        find(name)
