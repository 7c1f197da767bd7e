"""Registered workloads: tiers, lineage, inference rate, and what nobody registered."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flopgate_governor.cli import main
from flopgate_governor.orders.accepting import orders_for
from flopgate_governor.policies.form import policy_text
from flopgate_proto.codec import PayloadType
from flopgate_proto.errors import HistoryError
from flopgate_proto.orders.works import NO_WORKS, Works
from flopgate_proto.values import Policy, Refusal, Registration, Tier, WorkloadKind
from tests.support import further_orders
from tests.support.governor import (
    AUTHORITY_ID,
    FakeHost,
    LocalGovernor,
    cluster_policy,
    joined,
)
from tests.support.governor_folder import folder_of
from tests.support.governor_steps import ASK, ask

RATE = 3 * 1_979
"""Three H100 at their published 8-bit peak."""
POLICY = replace(
    cluster_policy(100 * ASK),
    wind_down_ms=1,
    drain_ms=0,
    register_tflop=2 * ASK,
    prohibit_tflop=8 * ASK,
    prohibit_tflop_per_s=RATE,
    tiers=(
        Tier(training_tflop=4 * ASK, inference_tflop_per_s=RATE // 3),
        Tier(training_tflop=8 * ASK, inference_tflop_per_s=RATE),
    ),
)


def registration(workload: str, **fields: Any) -> Registration:
    return further_orders.registration(
        **{"authority": "home", "custodian": "cu", "workload": workload, **fields}
    )


@pytest.fixture
def governor_policy() -> Policy:
    return POLICY


def register(governor: LocalGovernor, workload: str, **fields: Any) -> None:
    order = registration(workload, **fields)
    whose = governor.state.authority
    governor.order(replace(order, authority=whose, authority_id=AUTHORITY_ID))


def spend(governor: LocalGovernor, host: FakeHost, tflop: int) -> str:
    """Ask and spend until so much is spent; the reason if it is refused."""
    while tflop > 0:
        refused = ask(governor, host, headroom=min(tflop, ASK))
        if refused:
            return refused
        part = min(tflop, ASK)
        host.accept(governor.send(host.report(spend_tflop=part)))
        tflop -= part
    return ""


def refusal(governor: LocalGovernor, host: FakeHost) -> Refusal:
    (verdict,) = host.accept(governor.send(host.report(ASK))).answer.verdicts
    assert isinstance(verdict.outcome, Refusal)
    return verdict.outcome


def test_what_nobody_registered_is_one_run_under_many_names(governor: LocalGovernor) -> None:
    one, two = joined(governor, 2)
    one.workload, two.workload = "small-1", "small-2"
    assert spend(governor, one, ASK) == ""
    assert spend(governor, two, ASK) == ""
    two.workload = "small-3"
    said = refusal(governor, two)
    assert said.reason == "workload.unregistered"
    assert "0 FLOP of 1e18 FLOP are left" in said.detail
    assert "workload register" in said.way_back


def test_a_registration_takes_a_workload_out_of_what_is_not(governor: LocalGovernor) -> None:
    one, two = joined(governor, 2)
    one.workload, two.workload = "small-1", "small-2"
    assert spend(governor, one, 2 * ASK) == ""
    assert ask(governor, two) == "workload.unregistered"
    register(governor, "small-1", tier=1)
    assert ask(governor, two, headroom=ASK) == ""
    assert ask(governor, one, headroom=ASK) == "", "and it has what its tier allows"


def test_a_name_that_is_registered_for_another_custodian_is_not(governor: LocalGovernor) -> None:
    (one,) = joined(governor)
    register(governor, "w1", custodian="another")
    assert spend(governor, one, 2 * ASK) == ""
    said = refusal(governor, one)
    assert said.reason == "workload.unregistered"
    assert "only for another" in said.detail


@pytest.mark.parametrize(
    ("tier", "most", "reason"),
    [(0, 2, "workload.tier"), (1, 4, "workload.tier"), (2, 8, "workload.prohibited")],
)
def test_a_tier_lets_a_workload_go_so_far(
    governor: LocalGovernor, tier: int, most: int, reason: str
) -> None:
    (host,) = joined(governor)
    register(governor, "w1", tier=tier)
    assert spend(governor, host, most * ASK) == ""
    said = refusal(governor, host)
    assert said.reason == reason
    assert said.way_back


def test_each_ancestor_counts_once(governor: LocalGovernor) -> None:
    """Two fine-tunes of one base, merged: the base is not counted twice, nor left out."""
    base, left, right, merged = joined(governor, 4)
    for host, name in ((base, "base"), (left, "left"), (right, "right"), (merged, "merged")):
        host.workload = name
    register(governor, "base", tier=1)
    assert spend(governor, base, 2 * ASK) == ""
    for host in (left, right):
        register(governor, host.workload, tier=1, parents=("base",))
        assert spend(governor, host, ASK // 2) == ""
    register(governor, "merged", tier=1, parents=("left", "right"))
    assert spend(governor, merged, ASK) == "", "4 are allowed, 3 are in its ancestors"
    assert ask(governor, merged) == "workload.tier"


def test_an_ancestor_that_goes_on_counts_for_what_descends_from_it(
    governor: LocalGovernor,
) -> None:
    base, child = joined(governor, 2)
    base.workload, child.workload = "base", "child"
    register(governor, "base", tier=2)
    register(governor, "child", tier=1, parents=("base",))
    assert spend(governor, child, 3 * ASK) == ""
    assert spend(governor, base, ASK) == ""
    said = refusal(governor, base)
    assert said.reason == "workload.tier"
    assert "child, which descends from base" in said.detail
    assert "new name" in said.way_back


def test_what_went_in_elsewhere_counts(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    register(governor, "w1", tier=1, prior_tflop=4 * ASK - 10)
    assert ask(governor, host) == "workload.tier"
    register(governor, "w1", tier=2, prior_tflop=4 * ASK - 10)
    assert ask(governor, host, headroom=ASK) == ""


def test_inference_is_bound_by_its_rate_and_not_by_what_it_spends(
    governor: LocalGovernor,
) -> None:
    hosts = joined(governor, 4)
    register(governor, "w1", kind=WorkloadKind.INFERENCE, tier=1)
    assert spend(governor, hosts[0], 9 * ASK) == ""
    assert ask(governor, hosts[0]) == ""
    said = refusal(governor, hosts[1])
    assert said.reason == "workload.rate"
    register(governor, "w1", kind=WorkloadKind.INFERENCE, tier=2)
    assert [ask(governor, host) for host in hosts[1:]] == ["", "", "workload.rate"]
    # A restart knows what holds grants.
    governor.reopen()
    assert ask(governor, hosts[3]) == "workload.rate"
    assert ask(governor, hosts[0]) == ""


def test_inference_that_nobody_approved_is_bound_as_training(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    register(governor, "w1", kind=WorkloadKind.INFERENCE, tier=0)
    assert spend(governor, host, 2 * ASK) == ""
    assert ask(governor, host) == "workload.tier"


def test_training_relabelled_as_inference_counts_for_what_comes_of_it(
    governor: LocalGovernor,
) -> None:
    served, child = joined(governor, 2)
    served.workload, child.workload = "serve", "next"
    register(governor, "serve", kind=WorkloadKind.INFERENCE, tier=1)
    assert spend(governor, served, 5 * ASK) == ""
    register(governor, "next", tier=1, parents=("serve",))
    assert ask(governor, child) == "workload.tier"


def test_a_deployment_of_a_prohibited_model_is_refused(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    register(governor, "w1", kind=WorkloadKind.INFERENCE, tier=2, prior_tflop=8 * ASK + 1)
    assert ask(governor, host) == "workload.prohibited"


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (registration("undeclared"), "registration.name"),
        (registration("c", parents=("nobody",)), "registration.parent"),
        (registration("c", parents=("c",)), "registration.parent"),
        (registration("a", parents=("a",)), "registration.cycle"),
        (registration("a", parents=("b",)), "registration.cycle"),
        (registration("a", kind=WorkloadKind.INFERENCE), "registration.changed"),
        (registration("a", custodian="another"), "registration.changed"),
        (registration("b"), "registration.shrinks"),
        (registration("b", parents=("a",), prior_tflop=4), "registration.shrinks"),
    ],
)
def test_a_registration_that_cannot_stand_is_refused(order: Registration, code: str) -> None:
    works = NO_WORKS.registered(registration("a"))
    works = works.registered(registration("b", parents=("a",), prior_tflop=5))
    with pytest.raises(HistoryError) as refused:
        works.registered(order)
    assert refused.value.code == code
    assert refused.value.remedy


def test_at_most_so_many_are_registered() -> None:
    full = Works({str(number): registration(str(number)) for number in range(1024)})
    with pytest.raises(HistoryError, match="1024 workloads"):
        full.registered(registration("one more"))
    assert full.registered(registration("7", tier=2)).by_name["7"].tier == 2


def test_registrations_are_kept_and_no_gate_is_sent_them(governor: LocalGovernor) -> None:
    register(governor, "w1", tier=2)
    governor.reopen()
    assert governor.state.book.orders.works.by_name["w1"].tier == 2
    kinds = {order.envelope.payload_type for order in orders_for(governor.state, None)}
    assert PayloadType.REGISTRATION not in kinds


def test_a_registration_waits_and_a_veto_ends_it(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    governor.order(replace(POLICY, version=2, loosening_delay_ms=60_000))
    register(governor, "w1", tier=1)
    assert spend(governor, host, 3 * ASK) == "workload.unregistered"
    governor.clock.unix_ms += 60_000
    assert ask(governor, host) == ""


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_bound_that_no_policy_sets_is_null_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "g"
    root.mkdir()
    governor = LocalGovernor.make(root / "governor.sqlite", cluster_policy(100 * ASK))
    register(governor, "base", tier=1)
    folder_of(root, governor)
    shown = json.loads(told(capsys, "workload", "show", "base", "--dir", root, "--json")[1])
    assert (shown["most_tflop"], shown["most_tflop_per_s"]) == (None, None)
    assert "no bound" in told(capsys, "workload", "show", "base", "--dir", root)[1]


def test_what_is_registered_is_listed_shown_checked_and_rehearsed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "g"
    root.mkdir()
    governor = LocalGovernor.make(root / "governor.sqlite", POLICY)
    base, child = joined(governor, 2)
    base.workload, child.workload = "base", "child"
    register(governor, "base", tier=1)
    register(governor, "child", tier=1, parents=("base",), prior_tflop=ASK)
    assert spend(governor, base, ASK) == ""
    governor.clock.unix_ms += 30_000
    assert ask(governor, child, headroom=ASK) == ""
    folder_of(root, governor)
    code, out, _ = told(capsys, "workload", "list", "--dir", root, "--json")
    found = {one["workload"]: one for one in json.loads(out)}
    assert code == 0
    assert found["child"]["ancestors"] == {"base": ASK}
    assert found["child"]["used_tflop"] == ASK
    assert found["child"]["training_tflop"] >= 3 * ASK, "what silence may hide is beside it"
    assert found["base"]["heirs"] == ["child"]
    _, out, _ = told(capsys, "workload", "show", "child", "--dir", root)
    assert "  descends    5e17 FLOP  base\n" in out
    assert "  elsewhere   5e17 FLOP" in out
    assert told(capsys, "workload", "show", "nobody", "--dir", root)[0] == 2
    assert "base  training of cu  tier 1" in told(capsys, "workload", "list", "--dir", root)[1]
    tight: Policy = replace(POLICY, tiers=(Tier(training_tflop=3 * ASK, inference_tflop_per_s=1),))
    path = tmp_path / "form.toml"
    path.write_text(policy_text(tight))
    _, out, _ = told(capsys, "policy", "check", path, "--dir", root)
    assert "workload child: its lineage holds 1.5e18 FLOP of 1.5e18 FLOP" in out
    assert "workload base" not in out
    _, out, _ = told(capsys, "policy", "simulate", path, "--dir", root)
    assert "workload child: lineage" in out
    _, out, _ = told(
        capsys,
        *("workload", "register", "next", "--kind", "training", "--custodian", "cu"),
        *("--parent", "child", "--tier", "2", "--prior", "1e18 FLOP", "--reason", "asked for"),
        *("--dir", root, "--dry-run"),
    )
    assert "next: training of cu\ndescends from child\napproved: tier 2\n1e18 FLOP went" in out
