"""Policies before they are signed: checked, compared, rehearsed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.cli import main
from flopgate_governor.core.capacity import peaks_of
from flopgate_governor.core.decide import reach_tflop
from flopgate_governor.policies.diff import changes
from flopgate_governor.policies.form import policy_text
from flopgate_proto.amounts import flop_text, span_text
from flopgate_proto.values import Budget, Phase, PhaseRule, Policy, Scope, ScopeKind, Tier
from tests.support.found_clusters import join
from tests.support.governor import POLICY, LocalGovernor, cluster_policy, joined
from tests.support.governor_folder import folder_of
from tests.support.governor_licenses import license_policy
from tests.support.governor_steps import ASK, CLUSTER, ask
from tests.support.statements import PORT, topology

CAP = 4 * ASK
LICENSED = license_policy(CAP)
WORKLOAD = Scope(ScopeKind.WORKLOAD, "w1")


def tiered(*allowed: tuple[int, int]) -> Policy:
    tiers = tuple(Tier(training_tflop=tflop, inference_tflop_per_s=rate) for tflop, rate in allowed)
    return replace(POLICY, register_tflop=5, prohibit_tflop=12, prohibit_tflop_per_s=4, tiers=tiers)


def form(folder: Path, policy: Policy) -> Path:
    path = folder / "form.toml"
    path.write_text(policy_text(policy))
    return path


def busy(tmp_path: Path) -> Path:
    """The directory of a governor under which two hosts spent and asked for five minutes."""
    root = tmp_path / "g"
    root.mkdir()
    governor = LocalGovernor.make(root / "governor.sqlite", cluster_policy(CAP))
    hosts = joined(governor, 2)
    for _ in range(5):
        for host in hosts:
            governor.clock.unix_ms += 30_000
            ask(governor, host, spend=ASK // 10)
    return folder_of(root, governor)


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("name", ["source-regime", "strict"])
def test_a_shipped_policy_can_be_signed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, text, _ = told(capsys, "policy", "show", "--shipped", name)
    assert code == 0
    (tmp_path / "form.toml").write_text(text)
    code, out, _ = told(capsys, "policy", "check", tmp_path / "form.toml")
    assert (code, "it can be signed" in out) == (0, True)
    code, out, _ = told(capsys, "policy", "show", "--shipped", name, "--json")
    document = json.loads(out)
    lines = {
        "source-regime": (1_000_000, 10**13, 10**15),
        "strict": (15_800, 10**10, 10**12),
    }
    found = (
        document["threshold_tflop_per_s"],
        document["register_tflop"],
        document["prohibit_tflop"],
    )
    assert found == lines[name]


def test_tiers_are_compared_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for name, policy in (("old", tiered((6, 1))), ("new", tiered((7, 1), (9, 1)))):
        (tmp_path / name).mkdir()
        paths.append(form(tmp_path / name, policy))
    code, out, _ = told(capsys, "policy", "diff", *paths)
    assert code == 0
    assert "looser     tier 1: training 6e12 FLOP, inference 1e12 FLOP/s -> training 7e12" in out
    assert "looser     tier 2: none -> training 9e12 FLOP, inference 1e12 FLOP/s" in out
    assert told(capsys, "policy", "diff", *reversed(paths))[1].count("stricter") == 2


def test_a_cap_below_what_is_spent_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = busy(tmp_path)
    wide = Budget(scope=Scope(ScopeKind.EVERYTHING), cap_tflop=CAP)
    low = Budget(scope=CLUSTER, cap_tflop=ASK - 1)
    path = form(tmp_path, replace(POLICY, budgets=(wide, low)))
    assert told(capsys, "policy", "check", path)[0] == 0, "without books it can be signed"
    code, _, err = told(capsys, "policy", "check", path, "--dir", root)
    lines = path.read_text().splitlines()
    line = 1 + next(n for n, text in enumerate(lines) if text.startswith(f"cap_tflop = {ASK - 1}"))
    assert code == 2
    assert f"{path}:{line}: cap_tflop of cluster:c1 is" in err
    assert f"Write {ASK} or more" in err


def test_a_form_that_nobody_signed_finds_no_cluster_for_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "g"
    root.mkdir()
    slow = replace(PORT, subnet_prefix=7, rate_mbit_per_s=10_000)
    governor = LocalGovernor.make(root / "governor.sqlite", POLICY)
    for host in [*join(governor, "alpha", 1, 2), *join(governor, "beta", 3, 4)]:
        host.topology = replace(topology(), ports=(slow,))
        governor.send(host.report())
    folder_of(root, governor)
    # Together they would be covered: what is judged is what such a policy would find.
    wider = replace(POLICY, cluster_link_mbit_per_s=1_000, threshold_tflop_per_s=4 * 1_900)
    code, out, _ = told(capsys, "policy", "check", form(tmp_path, wider), "--dir", root)
    assert code == 0
    assert "cluster alpha would be covered" in out
    governor.reopen()
    assert governor.count("cluster_merge") == 0
    governor.state.store.close()


def test_a_cap_below_what_is_out_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = busy(tmp_path)
    path = form(tmp_path, cluster_policy(ASK + 1))
    code, out, _ = told(capsys, "policy", "check", path, "--dir", root)
    assert code == 0
    assert "cluster:c1: 1e18 FLOP are granted and not spent yet" in out
    code, out, _ = told(capsys, "policy", "check", form(tmp_path, POLICY), "--dir", root, "--json")
    document = json.loads(out)
    assert document["remarks"] == [
        "cluster c1 would be covered and has no budget: it is granted nothing"
    ]


STOP_MS = 133_000


def test_a_license_that_one_crash_uses_up_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    least_ms = LICENSED.license_step_ms + STOP_MS
    for short_ms in (1, 0):
        span_ms = least_ms - short_ms
        policy = replace(LICENSED, license_span_ms=span_ms, reserve_span_ms=span_ms)
        code, out, _ = told(capsys, "policy", "check", form(tmp_path, policy), "--json")
        found = json.loads(out)["remarks"]
        assert (code, len(found)) == (0, 2 * short_ms)
        for key, kind, one in zip(
            ("license_span_ms", "reserve_span_ms"), ("license", "reserve"), found, strict=False
        ):
            assert one.startswith(
                f"{key} is {span_text(span_ms)}: a step of 30m, lost with a crash, "
            )
            assert f"one crash uses a {kind} up" in one


def test_headrooms_that_are_too_small_for_the_hosts_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = busy(tmp_path)
    peaks = peaks_of(0x2330, "NVIDIA H100 80GB HBM3")
    stop_tflop, crash_tflop = (
        reach_tflop(peaks.worst_nominal_flop_per_s, span_ms)
        for span_ms in (STOP_MS, STOP_MS + LICENSED.license_step_ms)
    )

    def told_of(permit_tflop: int, license_tflop: int) -> list[str]:
        policy = replace(
            LICENSED,
            headroom_max_tflop=permit_tflop,
            license_headroom_max_tflop=license_tflop,
        )
        path = form(tmp_path, policy)
        code, out, _ = told(capsys, "policy", "check", path, "--dir", root, "--json")
        assert code == 0
        return [one for one in json.loads(out)["remarks"] if "headroom" in one]

    assert not told_of(stop_tflop + 1, crash_tflop + 1)
    permit, license_ = told_of(stop_tflop, crash_tflop)
    assert permit.startswith(f"headroom_max_tflop is {flop_text(stop_tflop)}: host ")
    assert "a stop in order: it stands at ceiling.reached (so for 2 hosts)" in permit
    assert license_.startswith("license_headroom_max_tflop is ")
    assert "one crash uses its license up (so for 2 hosts)" in license_


@pytest.mark.parametrize(
    ("policy", "line", "problem"),
    [
        (replace(POLICY, lifetime_ms=14_000, wind_down_ms=0), "lifetime_ms", "ceiling.reached"),
        (
            replace(POLICY, lifetime_ms=134_000, renew_after_ms=200),
            "wind_down_ms",
            "ceiling.reached",
        ),
        (replace(POLICY, register_tflop=11, prohibit_tflop=10), "register_tflop", "prohibit"),
        (replace(POLICY, prohibit_tflop_per_s=10), "prohibit_tflop_per_s", "register_tflop"),
        (tiered((11, 3), (10, 3)), "training_tflop = 10", "less approval"),
        (tiered((10, 3), (13, 3)), "training_tflop = 13", "prohibited"),
        (tiered((10, 3), (11, 2)), "inference_tflop_per_s = 2", "less approval"),
        (tiered((10, 5)), "inference_tflop_per_s = 5", "prohibited"),
        (replace(LICENSED, license_age_ms=1), "license_age_ms", "used up"),
        (replace(LICENSED, license_step_ms=60_000), "license_step_ms", "lost with each crash"),
        (replace(LICENSED, license_span_ms=60_000), "license_span_ms", "a stop in order"),
        (replace(LICENSED, reserve_span_ms=0), "reserve_after_ms", "stands alone"),
        (
            replace(
                POLICY,
                prohibit_tflop=10,
                budgets=(Budget(scope=WORKLOAD, cap_tflop=11),),
            ),
            "cap_tflop",
            "more than prohibit_tflop",
        ),
    ],
)
def test_a_policy_that_cannot_be_lived_by_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], policy: Policy, line: str, problem: str
) -> None:
    path = form(tmp_path, policy)
    code, _, err = told(capsys, "policy", "check", path)
    lines = path.read_text().splitlines()
    number = 1 + next(n for n, text in enumerate(lines) if text.startswith(line))
    assert code == 2
    assert f"{path}:{number}: {line.split(maxsplit=1)[0]} " in err
    assert problem in err


def test_a_difference_says_what_becomes_looser_and_stricter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = Scope(ScopeKind.EVERYTHING)
    observe = PhaseRule(scope=everything, phase=Phase.OBSERVE, from_unix_ms=0)
    new = replace(
        cluster_policy(2 * CAP),
        lifetime_ms=300_000,
        headroom_max_tflop=2 * 10**12,
        phases=(observe,),
    )
    new = replace(new, budgets=(*new.budgets, Budget(scope=everything, cap_tflop=10**13)))
    found = {change.rule: change for change in changes(cluster_policy(CAP), new)}
    assert {rule: change.effect for rule, change in found.items()} == {
        "lifetime_ms": "stricter",
        "headroom_max_tflop": "looser",
        "cap of everything": "stricter",
        "cap of cluster:c1": "looser",
        "phase of everything": "looser",
    }
    assert (found["lifetime_ms"].before, found["lifetime_ms"].after) == ("10m", "5m")
    assert changes(new, new) == []
    root = busy(tmp_path)
    code, out, _ = told(capsys, "policy", "diff", form(tmp_path, new), "--dir", root)
    assert code == 0
    assert "stricter   cap of everything: no budget -> 1e25 FLOP" in out
    assert told(capsys, "policy", "diff", form(tmp_path, new))[0] == 2


def test_yesterday_under_a_tighter_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = busy(tmp_path)
    before = (root / "governor.sqlite").read_bytes()
    same = told(
        capsys, "policy", "simulate", form(tmp_path, cluster_policy(CAP)), "--dir", root, "--json"
    )
    document = json.loads(same[1])
    assert document["form"] == document["in_force"]
    assert document["form"]["reports"] == 10
    (whole,) = document["form"]["clusters"].values()
    # The first report of each host says only where it began.
    assert (whole["granted"], whole["done_tflop"], whole["stopped_tflop"]) == (10, 8 * ASK // 10, 0)
    code, out, _ = told(
        capsys,
        *("policy", "simulate", form(tmp_path, cluster_policy(ASK // 2)), "--dir", root, "--json"),
    )
    assert code == 0
    (tight,) = json.loads(out)["form"]["clusters"].values()
    assert tight["stopped_tflop"] > 0
    assert tight["refused"]["budget.spent"] > 0
    assert tight["granted"] + sum(tight["refused"].values()) == 10
    assert tight["done_tflop"] + tight["stopped_tflop"] == 8 * ASK // 10
    budget = json.loads(out)["form"]["budgets"]["cluster:c1"]
    assert budget["settled_tflop"] + budget["outstanding_tflop"] <= ASK // 2
    text = told(capsys, "policy", "simulate", form(tmp_path, cluster_policy(CAP)), "--dir", root)[1]
    assert "requests granted 10 -> 10" in text
    assert (root / "governor.sqlite").read_bytes() == before, "the store itself is not touched"


def test_budgets_are_told_with_all_that_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The store of a while ago: both hosts have been silent ever since, for years."""
    root = busy(tmp_path)
    code, out, _ = told(capsys, "budget", "list", "--dir", root, "--json")
    (budget,) = json.loads(out)
    assert code == 0
    assert (budget["scope"], budget["cap_tflop"], budget["settled_tflop"]) == (
        *("cluster:c1", CAP, 4 * ASK // 5),
    ), "what was spent before the first grant stands in the unaccounted book"
    assert len(budget["silent"]) in {0, 2}, "by the clock of this machine"
    parts = ("settled_tflop", "outstanding_tflop", "unaccounted_tflop", "silent_tflop")
    assert budget["upper_bound_tflop"] == sum(budget[part] for part in parts)
    assert sum(lane["settled_tflop"] for lane in budget["lanes"]) == 4 * ASK // 5
    assert sum(host["charged_tflop"] for host in budget["silent"]) in range(
        budget["silent_tflop"], budget["silent_tflop"] + 3
    )
    code, out, _ = told(capsys, "budget", "explain", "workload:w1", "--dir", root)
    assert code == 0
    assert out.startswith("workload:w1  no cap  upper bound ")
    assert "  settled      4e17 FLOP  spent of what was granted\n" in out
    assert "bears the name" not in out
    _, out, _ = told(capsys, "budget", "explain", "cluster:slip", "--dir", root)
    assert "  no budget names it, and no host of it reported\n" in out
    assert "  nobody here bears the name cluster:slip; known are cluster:c1\n" in out
    assert told(capsys, "budget", "explain", "planet:x", "--dir", root)[0] == 2
