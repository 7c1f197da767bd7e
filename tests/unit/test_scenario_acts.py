"""What officers rule, as scenario files say it, and a world in which they do."""

from pathlib import Path

import pytest

from flopgate_proto.errors import ConfigError
from flopgate_sim.campaign.outcome import Job
from flopgate_sim.scenario import OfficerAct
from flopgate_sim.world.from_scenario import plan_of
from flopgate_sim.world.plan import Act
from flopgate_sim.world.run import run_plan
from tests.support.scenarios import LEAST, load_text

FLEET = """
[[cluster]]
name = "alpha"
hosts = 2
fabric = "one"
[[cluster.workload]]
name = "base"
[[cluster]]
name = "beta"
hosts = 1
[[cluster.workload]]
name = "child"
"""
TIER = """
[policy]
register_tflop = 1_000_000
[[policy.tiers]]
training_tflop = 1_000_000_000
inference_tflop_per_s = 1_000_000
"""
TWO = FLEET + TIER + "[authorities]\ncount = 2\n"


def acts(*said: str) -> str:
    return "".join(f"[[officer]]\nat_s = {number}\n{one}\n" for number, one in enumerate(said, 1))


def test_rulings_are_read_and_name_hosts_and_clusters(tmp_path: Path) -> None:
    scenario = load_text(
        tmp_path,
        LEAST
        + TWO
        + acts(
            'act = "veto"\nauthority = 1',
            'act = "adopt"\nhost = 0',
            'act = "close"\nhost = 2',
            'act = "relieve"\nhost = 1\nscope = "workload:base"',
            'act = "unite"\nclusters = ["alpha", "beta"]',
            'act = "apart"\nclusters = ["beta"]',
            'act = "train"\nscope = "workload:child"\nparents = ["base"]\ntier = 1\n'
            "prior_tflop = 5",
            'act = "serve"\nscope = "workload:base"',
            'act = "demote"\nfallback_s = 900',
            'act = "promote"',
            'act = "fallback"\nfallback_s = 60\nauthority = 1',
        ),
    )
    assert scenario.acts == (
        OfficerAct(at_ms=1_000, act="veto", authority=1),
        OfficerAct(at_ms=2_000, act="adopt", host=0),
        OfficerAct(at_ms=3_000, act="close", host=2),
        OfficerAct(at_ms=4_000, act="relieve", host=1, scope="workload:base"),
        OfficerAct(at_ms=5_000, act="unite", clusters=("alpha", "beta")),
        OfficerAct(at_ms=6_000, act="apart", clusters=("beta",)),
        OfficerAct(
            at_ms=7_000,
            act="train",
            scope="workload:child",
            parents=("base",),
            tier=1,
            prior_tflop=5,
        ),
        OfficerAct(at_ms=8_000, act="serve", scope="workload:base"),
        OfficerAct(at_ms=9_000, act="demote", fallback_ms=900_000),
        OfficerAct(at_ms=10_000, act="promote"),
        OfficerAct(at_ms=11_000, act="fallback", fallback_ms=60_000, authority=1),
    )
    planned = plan_of(scenario, 1)
    names = [host.name for host in planned.hosts]
    assert planned.acts[2] == Act(at_ms=3_000, act="close", host=names[2])
    assert planned.acts[4] == Act(at_ms=5_000, act="unite", names=("alpha", "beta"))
    assert planned.acts[6].names == ("base",)
    assert (planned.acts[6].tier, planned.acts[6].cap_tflop) == (1, 5)
    assert planned.acts[8].fallback_ms == 900_000


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ('act = "close"', "host is missing"),
        ('act = "close"\nhost = 3', "host must be"),
        ('act = "close"\nhost = 0\nscope = "everything"', "scope has a meaning only with"),
        ('act = "pause"\nhost = 0', "host has a meaning only with act = .adopt. or .close."),
        ('act = "unite"\nclusters = ["alpha"]', "clusters must list 2 or more of alpha, beta"),
        ('act = "apart"\nclusters = ["gamma"]', "clusters must list 1 or more of alpha, beta"),
        ('act = "relieve"\nhost = 0\nscope = "everything"', "scope must be one of workload:base"),
        ('act = "relieve"\nhost = 0', "scope is missing"),
        ('act = "train"\nscope = "workload:base"\nparents = ["base"]', "parents must list of"),
        ('act = "train"\nscope = "workload:base"\ntier = 9', "tier must be"),
        ('act = "fallback"', "fallback_s is missing"),
        ('act = "demote"', "act must be of one of two authorities"),
        ('act = "promote"\nfallback_s = 1', "fallback_s has a meaning only with"),
    ],
)
def test_what_rules_on_nothing_is_a_fault(tmp_path: Path, said: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        load_text(tmp_path, LEAST + FLEET + acts(said))


def test_a_world_in_which_officers_rule_breaks_no_law(tmp_path: Path) -> None:
    at = '[[officer]]\nat_s = {}\nact = "{}"\n{}\n'
    scenario = load_text(
        tmp_path,
        LEAST.replace("3600", "1800")
        + TWO
        + at.format(200, "unite", 'clusters = ["alpha", "beta"]')
        + at.format(300, "train", 'scope = "workload:child"\nparents = ["base"]\ntier = 1')
        + at.format(400, "demote", "fallback_s = 600")
        + at.format(700, "promote", "")
        + at.format(800, "apart", 'clusters = ["beta"]')
        + at.format(900, "relieve", 'host = 0\nscope = "workload:base"')
        + at.format(1000, "close", "host = 2")
        + at.format(1100, "veto", ""),
    )
    plan = plan_of(scenario, 1)
    outcome = run_plan(plan, Job(scenario=plan.name, seed=1))
    assert outcome.breach is None, outcome.breach
