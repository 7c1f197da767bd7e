"""What `--dry-run` says of an order, by the code that takes orders and decides."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.orders.effects import effect_document, effect_lines, effects
from flopgate_proto.errors import HistoryError
from flopgate_proto.values import (
    Budget,
    Closure,
    Order,
    Pause,
    Phase,
    PhaseRule,
    Policy,
    Resume,
    Scope,
    ScopeKind,
    TrustRoot,
)
from tests.support.governor import (
    AUTHORITY,
    FakeHost,
    LocalGovernor,
    answers,
    cluster_policy,
    joined,
    ours,
)

CAP_TFLOP = 10**9
CLUSTER = Scope(ScopeKind.CLUSTER, "c1")


def running(folder: Path, policy: Policy | None = None) -> tuple[LocalGovernor, list[FakeHost]]:
    governor = LocalGovernor.make(folder / "g.sqlite", policy or cluster_policy(CAP_TFLOP))
    hosts = joined(governor, 2)
    for host in hosts:
        host.accept(governor.send(host.report(1_000_000)))
        host.accept(governor.send(host.report(1_000_000, spend_tflop=500_000)))
    return governor, hosts


def pause(scope: Scope = CLUSTER, nonce: int = 1) -> Pause:
    return Pause(
        authority=AUTHORITY,
        scope=scope,
        nonce=bytes([nonce]) * 16,
        reason="looked at",
        emergency=False,
        lapse_ms=None,
    )


def said(governor: LocalGovernor, order: Order) -> list[str]:
    return effect_lines(effects(governor.state, ours(order)))


def test_a_pause_names_the_hosts_that_it_stops(tmp_path: Path) -> None:
    governor, hosts = running(tmp_path)
    done = effects(governor.state, ours(pause()))
    (line,) = effect_lines(done)
    assert line.startswith("stops 2 lanes on 2 hosts of cluster c1, pause.latched: ")
    assert all(host.host_id.hex()[:16] in line for host in hosts)
    told = '"effect": "stops", "cluster": "c1", "reason": "pause.latched"'
    assert told in json.dumps(effect_document(done))
    down = governor.send(hosts[0].report(1_000_000))
    assert "pause.latched" in str(answers(down)[0].answer.verdicts), "and then it does"


def test_a_pause_of_nobody_says_so(tmp_path: Path) -> None:
    governor, _ = running(tmp_path)
    found = said(governor, pause(Scope(ScopeKind.CLUSTER, "typo")))
    assert found == ["no lane stops or goes on by it, and no budget changes"]


def test_what_loosens_says_until_when_it_waits_and_what_it_does_then(tmp_path: Path) -> None:
    policy = replace(cluster_policy(CAP_TFLOP), loosening_delay_ms=3_600_000)
    governor, _ = running(tmp_path, policy)
    latched = governor.order(pause())
    resume = Resume(
        authority=AUTHORITY, nonce=bytes(16), lifts=(latched,), reason="as it should be"
    )
    done = effects(governor.state, ours(resume))
    assert done.due_unix_ms == governor.clock.unix_ms + 3_600_000
    lines = effect_lines(done)
    assert lines[0].startswith("loosens: ")
    assert lines[1].startswith("would wait until ")
    assert lines[2].startswith("lets go on 2 lanes on 2 hosts of cluster c1: ")
    assert '"effect": "goes on"' in json.dumps(effect_document(done))


@pytest.mark.parametrize("cap_tflop", [500_000, 10**9 + 1])
def test_a_policy_says_which_budgets_run_out(tmp_path: Path, cap_tflop: int) -> None:
    governor, _ = running(tmp_path)
    lines = said(governor, cluster_policy(cap_tflop, version=2))
    budget = next(line for line in lines if line.startswith("budget cluster:c1: "))
    spent = cap_tflop == 500_000
    assert budget.endswith("nothing left") is spent
    assert any("budget.spent" in line for line in lines) is spent
    assert ("would not wait: no delay is set" in lines) is not spent


def test_where_rules_do_not_bite_nothing_is_stopped_but_told(tmp_path: Path) -> None:
    rules = (PhaseRule(scope=Scope(ScopeKind.EVERYTHING), phase=Phase.WARN, from_unix_ms=0),)
    governor, _ = running(tmp_path, replace(cluster_policy(CAP_TFLOP), phases=rules))
    (line,) = said(governor, pause())
    assert line.startswith("would stop, if enforced, 2 lanes on 2 hosts of cluster c1, ")
    (tmp_path / "again").mkdir()
    governor, _ = running(tmp_path / "again", replace(cluster_policy(CAP_TFLOP), phases=rules))
    governor.order(pause())
    lines = said(governor, cluster_policy(CAP_TFLOP, version=2))
    assert any(line.startswith("stops 2 lanes on 2 hosts of cluster c1, pause.") for line in lines)


def test_what_would_be_refused_is_refused(tmp_path: Path) -> None:
    governor, _ = running(tmp_path)
    with pytest.raises(HistoryError, match="policy version 1"):
        said(governor, cluster_policy(CAP_TFLOP))
    with pytest.raises(HistoryError):
        said(
            governor,
            Closure(authority=AUTHORITY, nonce=bytes(16), host_id=bytes(32), reason="nobody"),
        )


def test_a_closed_chain_spends_what_its_host_holds(tmp_path: Path) -> None:
    governor, hosts = running(tmp_path)
    closure = Closure(
        authority=AUTHORITY, nonce=bytes(16), host_id=hosts[0].host_id, reason="replaced"
    )
    lines = said(governor, closure)
    assert f"ends for good 1 lane on 1 host of cluster c1: {hosts[0].host_id.hex()[:16]}" in lines
    assert not any(line.startswith("stops") for line in lines), lines


def test_another_root_is_judged_without_its_officers_keys(tmp_path: Path) -> None:
    governor, _ = running(tmp_path)
    held = governor.state.book.orders.trust.root
    root = TrustRoot(authority=AUTHORITY, version=2, keys=held.keys[:2], roles=held.roles[:0])
    roles = tuple(replace(role, keys=(0, 1)) for role in held.roles)
    lines = said(governor, replace(root, roles=roles))
    assert lines[-1] == "no lane stops or goes on by it, and no budget changes"


def test_budgets_that_come_and_go_are_told(tmp_path: Path) -> None:
    governor, _ = running(tmp_path)
    budget = Budget(scope=Scope(ScopeKind.CUSTODIAN, "cu"), cap_tflop=10**8)
    policy = cluster_policy(CAP_TFLOP, version=2)
    lines = said(governor, replace(policy, budgets=(*policy.budgets, budget)))
    assert any(line.startswith("budget custodian:cu: no budget -> ") for line in lines)
