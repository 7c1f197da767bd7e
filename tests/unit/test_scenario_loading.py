"""Scenario files: what is read, and how each fault is told."""

from pathlib import Path

import pytest

from flopgate_governor.policies.form import DEFAULT_POLICY, policy_text
from flopgate_governor.policies.form import read_policy as read_policy_form
from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values.common import Phase, Scope, ScopeKind
from flopgate_proto.values.orders import Budget
from flopgate_sim.scenario import (
    Authorities,
    Bursty,
    Cluster,
    Communicating,
    Faults,
    GateWiring,
    Network,
    OfficerAct,
    Restarting,
    TimedFault,
    TimedJob,
    Workload,
)
from tests.support.scenarios import CLUSTER, LEAST, load_text

WORKLOAD = '[[cluster.workload]]\nname = "w"\n'


def test_the_least_file_gets_the_defaults(tmp_path: Path) -> None:
    scenario = load_text(tmp_path, LEAST + CLUSTER)
    assert scenario.clusters == (
        Cluster(
            name="alpha",
            custodian="operator",
            site="main",
            jurisdiction="home",
            hosts=4,
            chips_per_host=8,
            chip="h100",
            fabric="alpha",
            workloads=(Workload(name="training"),),
        ),
    )
    assert (scenario.gate, scenario.network, scenario.faults) == (GateWiring(), Network(), Faults())
    assert scenario.authorities == Authorities()
    assert not (*scenario.timed_faults, *scenario.acts, *scenario.jobs, *scenario.notes)
    assert (scenario.hosts, scenario.hours) == (4, 1.0)


def test_the_policy_is_the_shipped_one_with_a_budget_for_each_cluster(tmp_path: Path) -> None:
    form = tmp_path / "policy.toml"
    form.write_text(DEFAULT_POLICY.format(authority="a"))
    shipped = read_policy_form(form, "", 1)
    policy = load_text(tmp_path, LEAST + CLUSTER).policy
    assert policy.budgets == (Budget(scope=Scope(ScopeKind.CLUSTER, "alpha"), cap_tflop=COUNT_MAX),)
    assert policy_text(policy).startswith(policy_text(shipped))


def test_a_policy_may_differ_and_cap_other_scopes(tmp_path: Path) -> None:
    text = (
        LEAST
        + CLUSTER
        + "budget_tflop = 70\n[policy]\ndrain_ms = 4_000\n"
        + '[[policy.budgets]]\nscope = "custodian:operator"\ncap_tflop = 90\n'
    )
    policy = load_text(tmp_path, text).policy
    assert policy.drain_ms == 4_000
    assert [(str(budget.scope), budget.cap_tflop) for budget in policy.budgets] == [
        ("cluster:alpha", 70),
        ("custodian:operator", 90),
    ]


def test_workloads_of_every_pattern(tmp_path: Path) -> None:
    text = (
        LEAST
        + CLUSTER
        + '[[cluster.workload]]\nname = "a"\nshare = 0.5\nlanes = 2\nutilisation_percent = 0\n'
        + 'pattern = "bursty"\nperiod_ms = 100\nbusy_ms = 40\npersistent_kernel = true\n'
        + '[[cluster.workload]]\nname = "b"\nshare = 0.25\npattern = "restarting"\n'
        + "mean_life_s = 60\ndrain_ms = 0\nignores_signals = true\n"
        + '[[cluster.workload]]\nname = "c"\nshare = 0.25\nforks = true\n'
        + 'pattern = "communicating"\n'
    )
    a, b, c = load_text(tmp_path, text).clusters[0].workloads
    assert a == Workload(
        name="a",
        share=0.5,
        lanes=2,
        utilisation_percent=0,
        pattern=Bursty(period_ms=100, busy_ms=40),
        drain_ms=None,
    )
    assert (b.pattern, b.drain_ms, b.ignores_signals) == (Restarting(mean_life_s=60), 0, True)
    assert (c.pattern, c.drain_ms, c.forks) == (Communicating(), 50, True)


def test_gate_network_authorities_and_rates(tmp_path: Path) -> None:
    scenario = load_text(
        tmp_path,
        LEAST
        + CLUSTER
        + "[gate]\nlooks = 1000\nreport_interval_ms = 5000\n"
        + "[authorities]\ncount = 3\nofficers = 1\n"
        + "[network]\nlatency_ms = [0, 7]\nloss_percent = 1\nreorder_percent = 0.5\n"
        + "[faults]\npower_loss = 2\ngate_crash = 0.5\nsuspend = 0\nclock_drift_ppm = 200\n",
    )
    assert scenario.gate == GateWiring(looks_ms=1000, report_interval_ms=5000)
    assert scenario.authorities.quorum == 1
    assert len(set(scenario.authorities.names)) == 3
    assert scenario.network == Network(
        latency_ms=(0, 7), loss_percent=1.0, duplicate_percent=0.0, reorder_percent=0.5
    )
    assert scenario.faults == Faults(
        rates_per_h=(("gate_crash", 0.5), ("power_loss", 2.0)), clock_drift_ppm=200
    )


def test_events_are_sorted_by_time_and_name_hosts_by_number(tmp_path: Path) -> None:
    scenario = load_text(
        tmp_path,
        LEAST
        + '[[cluster]]\nname = "a"\nhosts = 2\n[[cluster]]\nname = "b"\nhosts = 1\n'
        + '[[cluster]]\nname = "a"\nhosts = 1\njoins_at_s = 60\n[authorities]\ncount = 2\n'
        + '[[fault]]\nat_s = 20\nkind = "governor_crash"\nauthority = 1\nspan_s = 0.25\n'
        + '[[fault]]\nat_s = 0.5\nkind = "wall_step"\ncluster = "a"\nvalue = -5\n'
        + '[[fault]]\nat_s = 7\nkind = "gpu_lost"\nhost = 3\nvalue = 0\n'
        + '[[officer]]\nat_s = 9\nact = "resume"\n'
        + '[[officer]]\nat_s = 8\nact = "emergency"\nscope = "site:main"\nauthority = 1\n'
        + '[[officer]]\nat_s = 10\nact = "policy_budget"\nscope = "cluster:b"\nbudget_tflop = 3\n'
        + '[[officer]]\nat_s = 11\nact = "policy_phase"\nphase = "warn"\n'
        + "[[job]]\nhost = 2\nstart_s = 60\n"
        + '[[job]]\nname = "j"\nhost = 0\nchips = [3, 1]\nend_s = 30\nutilisation_percent = 46\n',
    )
    assert scenario.timed_faults == (
        TimedFault(at_ms=500, kind="wall_step", hosts=(0, 1, 3), value=-5),
        TimedFault(at_ms=7_000, kind="gpu_lost", hosts=(3,)),
        TimedFault(at_ms=20_000, kind="governor_crash", authorities=(1,), span_ms=250),
    )
    assert scenario.acts == (
        OfficerAct(at_ms=8_000, act="emergency", scope="site:main", authority=1),
        OfficerAct(at_ms=9_000, act="resume"),
        OfficerAct(at_ms=10_000, act="policy_budget", scope="cluster:b", budget_tflop=3),
        OfficerAct(at_ms=11_000, act="policy_phase", phase=Phase.WARN),
    )
    assert scenario.jobs == (
        TimedJob(name="j", host=0, chips=(3, 1), start_s=0, end_s=30, utilisation_percent=46),
        TimedJob(name="job-1", host=2, chips=tuple(range(8)), start_s=60, end_s=3600),
    )


WRONG = {
    "unknown key": ("", "colour = 1", r": unknown key 'colour'"),
    "no cluster": ("", "", r"cluster must stand 1 to 256 times"),
    "name": (
        "[[cluster]]\nname = 'a/b'\nhosts = 1",
        "",
        r"cluster 1: name must be 1 to 63 letters",
    ),
    "hosts missing": ("[[cluster]]\nname = 'a'", "", r"cluster 1: hosts is missing"),
    "hosts": ("[[cluster]]\nname = 'a'\nhosts = 20001", "", r"hosts must be .* 1 to 20000"),
    "hosts in all": (
        "[[cluster]]\nname = 'a'\nhosts = 20000\n[[cluster]]\nname = 'b'\nhosts = 1",
        "",
        r"at most 20000 hosts in all clusters",
    ),
    "chips": (CLUSTER + "chips_per_host = 17", "", r"chips_per_host must be .* 1 to 16"),
    "chip": (CLUSTER + "chip = 'h1000'", "", r"chip must be one of v100.*h100.*gb300"),
    "budget": (CLUSTER + "budget_tflop = 'much'", "", r"must be \"unlimited\", or a whole number"),
    "parts": (
        CLUSTER + CLUSTER + "site = 'x'",
        "",
        r"cluster 2: site must be as in the first part of cluster alpha",
    ),
    "shares": (CLUSTER + WORKLOAD + "share = 0.7", "", r"shares that add up to 1, these make 0.7"),
    "share": (CLUSTER + WORKLOAD + "share = 0", "", r"workload 1: share must be above 0"),
    "lanes": (CLUSTER + WORKLOAD + "lanes = 9", "", r"lanes must be a whole number from 1 to 8"),
    "lane names": (
        CLUSTER + WORKLOAD + "share = 0.5\nlanes = 2\n[[cluster.workload]]\nname='w-2'\nshare=0.5",
        "",
        r"workload names one twice",
    ),
    "pattern": (CLUSTER + WORKLOAD + "pattern = 'wild'", "", r"one of steady, bursty, restarting"),
    "other pattern's key": (
        CLUSTER + WORKLOAD + "period_ms = 5",
        "",
        r"period_ms has a meaning only with pattern = \"bursty\"",
    ),
    "busy": (
        CLUSTER + WORKLOAD + "pattern = 'bursty'\nperiod_ms = 5\nbusy_ms = 6",
        "",
        r"busy_ms must be a whole number from 1 to 5",
    ),
    "drain": (
        CLUSTER + WORKLOAD + "persistent_kernel = true\ndrain_ms = 5",
        "",
        r"drain_ms has no meaning for a persistent_kernel",
    ),
    "flag": (CLUSTER + WORKLOAD + "forks = 1", "", r"forks must be true or false"),
    "expect": (CLUSTER, "expect = 'all is well'", r"expect must list different texts"),
    "looks": (
        CLUSTER + "[gate]\nlooks = 'often'",
        "",
        r"gate: looks must be \"latest\", or a whole",
    ),
    "quorum": (CLUSTER + "[authorities]\nquorum = 4", "", r"quorum must be .* 1 to 3"),
    "latency": (CLUSTER + "[network]\nlatency_ms = [9, 1]", "", r"the least and the most, from 0"),
    "loss": (
        CLUSTER + "[network]\nloss_percent = 101",
        "",
        r"loss_percent must be a number from 0",
    ),
    "rate": (CLUSTER + "[faults]\nsuspend = nan", "", r"faults: suspend must be a number from 0"),
    "rate of nothing": (CLUSTER + "[faults]\nflood = 1", "", r"faults: unknown key 'flood'"),
    "policy key": (CLUSTER + "[policy]\nlifetme_ms = 1", "", r"policy: unknown key 'lifetme_ms'"),
    "policy value": (CLUSTER + "[policy]\ndrain_ms = -1", "", r"toml: policy: drain_ms is -1"),
    "policy bounds": (
        CLUSTER + "[policy]\nlifetime_ms = 100_000",
        "",
        r"toml: policy: wind_down_ms is 120000: with drain_ms",
    ),
    "policy scope": (
        CLUSTER + "[[policy.budgets]]\nscope = 'planet:x'\ncap_tflop = 1",
        "",
        r"toml: policy: no scope 'planet:x'",
    ),
    "policy budget": (
        CLUSTER + "[[policy.budgets]]\nscope = 'cluster:alpha'\ncap_tflop = 1",
        "",
        r"budgets must not name a cluster: write its budget_tflop there",
    ),
    "fault late": (
        CLUSTER + "[[fault]]\nat_s = 3601\nkind = 'suspend'\nhost = 0",
        "",
        r"at_s must",
    ),
    "fault kind": (
        CLUSTER + "[[fault]]\nat_s = 1\nkind = 'flood'",
        "",
        r"fault 1: kind must be one",
    ),
    "fault host": (
        CLUSTER + "[[fault]]\nat_s = 1\nkind = 'suspend'\nhost = 4",
        "",
        r"fault 1: host must be a whole number from 0 to 3",
    ),
    "fault nowhere": (
        CLUSTER + "[[fault]]\nat_s = 1\nkind = 'suspend'",
        "",
        r"host or cluster must be there, one of the two",
    ),
    "fault cluster": (
        CLUSTER + "[[fault]]\nat_s = 1\nkind = 'suspend'\ncluster = 'beta'",
        "",
        r"cluster must be one of alpha",
    ),
    "fault of hosts": (
        CLUSTER + "[[fault]]\nat_s = 1\nkind = 'suspend'\nauthority = 0",
        "",
        r"authority has no meaning: suspend befalls hosts",
    ),
    "fault of governors": (
        CLUSTER + "[[fault]]\nat_s = 1\nkind = 'governor_crash'\nhost = 0",
        "",
        r"host has no meaning: governor_crash befalls an authority",
    ),
    "fault span": (
        CLUSTER + "[[fault]]\nat_s = 1\nkind = 'gpu_lost'\nhost = 0\nvalue = 0\nspan_s = 1",
        "",
        r"span_s has no meaning: gpu_lost has no length",
    ),
    "fault value": (
        CLUSTER + "[[fault]]\nat_s = 1\nkind = 'suspend'\nhost = 0\nvalue = 1",
        "",
        r"value has no meaning: suspend has no number",
    ),
    "fault without value": (
        CLUSTER + "[[fault]]\nat_s = 1\nkind = 'gpu_lost'\nhost = 0",
        "",
        r"fault 1: value is missing",
    ),
    "errand": (
        CLUSTER + "[[errand]]\nat_s = 1\nhost = 0\nerrand = 'buy'",
        "",
        "must be one of ask",
    ),
    "errand span": (
        CLUSTER + "[[errand]]\nat_s = 1\nhost = 0\nspan_s = 604801",
        "",
        r"errand 1: span_s must be .*1 to 604800",
    ),
    "errand signers": (
        CLUSTER + "[[errand]]\nat_s = 1\nhost = 0\nsigners = 3",
        "",
        r'signers has a meaning only with errand = "open"',
    ),
    "errand return": (
        CLUSTER + "[[errand]]\nat_s = 1\nhost = 0\nerrand = 'return'\nspan_s = 9",
        "",
        r'span_s has a meaning only with errand = "ask"',
    ),
    "errand installs": (
        CLUSTER + "[[errand]]\nat_s = 1\nhost = 0\ninstalls = [0, 4]",
        "",
        r"installs must list whole numbers from 0 to 3",
    ),
    "errand cluster installs": (
        CLUSTER + "[[errand]]\nat_s = 1\ncluster = 'alpha'\ninstalls = [0, 0]",
        "",
        r"cluster has no meaning beside installs",
    ),
    "act": (CLUSTER + "[[officer]]\nat_s = 1\nact = 'stop'", "", r"act must be one of pause"),
    "act scope": (
        CLUSTER + "[[officer]]\nat_s = 1\nact = 'pause'\nscope = 'cluster:beta'",
        "",
        r"officer 1: scope must be one of cluster:alpha, .*everything",
    ),
    "act resume": (
        CLUSTER + "[[officer]]\nat_s = 1\nact = 'resume'\nscope = 'everything'",
        "",
        r"a resume lifts every pause",
    ),
    "act cap": (
        CLUSTER + "[[officer]]\nat_s = 1\nact = 'pause'\nbudget_tflop = 1",
        "",
        r"budget_tflop has a meaning only with act",
    ),
    "act without cap": (
        CLUSTER + "[[officer]]\nat_s = 1\nact = 'policy_budget'\nscope = 'cluster:alpha'",
        "",
        r"budget_tflop is missing",
    ),
    "act phase": (
        CLUSTER + "[[officer]]\nat_s = 1\nact = 'pause'\nphase = 'warn'",
        "",
        r"phase has a meaning only with act",
    ),
    "act without phase": (
        CLUSTER + "[[officer]]\nat_s = 1\nact = 'policy_phase'",
        "",
        r"phase is missing",
    ),
    "act phase of a workload": (
        CLUSTER
        + "[[officer]]\nat_s = 1\nact = 'policy_phase'\nphase = 'warn'\n"
        + "scope = 'workload:training'",
        "",
        r"scope must be one of",
    ),
    "phase at least": (CLUSTER + "phase_at_least = 'never'", "", r"must be one of observe, warn"),
    "act authority": (
        CLUSTER + "[[officer]]\nat_s = 1\nact = 'pause'\nauthority = 1",
        "",
        r"authority must be a whole number from 0 to 0",
    ),
    "job chip": (CLUSTER + "[[job]]\nhost = 0\nchips = [8]", "", r"job 1: chips must list"),
    "job end": (
        CLUSTER + "[[job]]\nhost = 0\nstart_s = 5\nend_s = 5",
        "",
        r"end_s must be .* 6 to",
    ),
    "table": (CLUSTER, "gate = 3", r"gate must be written as \[gate\]"),
    "tables": ("", "cluster = 3", r"cluster must be written as \[\[cluster\]\]"),
}


@pytest.mark.parametrize(("below", "above", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_file_key_and_mend(
    tmp_path: Path, below: str, above: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        load_text(tmp_path, f"{LEAST}{above}\n{below}\n")
    assert "scenario.toml" in refused.value.detail
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CLUSTER, "name is missing"),
        ('name = "n"\nduration_s = 1\n' + CLUSTER, "summary is missing"),
        (LEAST.replace("3600", "0") + CLUSTER, "duration_s must be"),
        (LEAST.replace("nothing happens", "two\\nlines") + CLUSTER, "summary must be one line"),
        ("name = ", "is no TOML"),
        ("name = " + "9" * 5000, "is no TOML"),
        ("a = " + "[" * 5000, "is no TOML"),
        (LEAST + CLUSTER + f"[policy]\ndrain_ms = 0x{'f' * 6000}", "beyond 64 bits"),
        # Python 3.14 reads no key of so many parts.
        (
            LEAST + CLUSTER + f"[policy]\ndrain_ms.{'a.' * 3000}a = 1",
            "drain_ms is a dict|is no TOML",
        ),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_text(tmp_path, text)
