"""Clusters that are found: covered, named and kept; officers rule on what is not sure."""

import json
import re
from dataclasses import replace

import pytest

from flopgate_governor.clusters.words import explain_lines, explained, list_lines
from flopgate_governor.commands.cluster import as_json
from flopgate_governor.commands.status import lines_of
from flopgate_governor.orders.accepting import orders_for
from flopgate_governor.service.overview import overview
from flopgate_proto.codec import PayloadType
from flopgate_proto.errors import ConfigError, ForgedError, HistoryError
from flopgate_proto.values import (
    Budget,
    Ceiling,
    Pause,
    Policy,
    Refusal,
    Scope,
    ScopeKind,
    Topology,
)
from tests.support.found_clusters import FABRIC, join, ruling
from tests.support.governor import AUTHORITY, OFFICERS, POLICY, FakeHost, LocalGovernor
from tests.support.governor_steps import AMPLE
from tests.support.statements import PORT

PEAK_TFLOP_PER_S = 1_979
"""Of an H100 at 8 bit."""
ASK = 10


def policy(hosts: int, *clusters: str, version: int = 1) -> Policy:
    """So many hosts with one H100 each reach the threshold; these clusters have a budget."""
    return replace(
        POLICY,
        version=version,
        threshold_tflop_per_s=hosts * PEAK_TFLOP_PER_S - 10,
        budgets=tuple(
            Budget(scope=Scope(ScopeKind.CLUSTER, name), cap_tflop=AMPLE) for name in clusters
        ),
    )


@pytest.fixture
def governor_policy() -> Policy:
    return policy(4, "alpha", "beta")


def ask(governor: LocalGovernor, host: FakeHost, told: Topology | None = None) -> str:
    """Ask for headroom; ``exempt``, ``covered``, or why nothing was granted."""
    host.topology = told
    answer = host.accept(governor.send(host.report(ASK))).answer
    host.topology = None
    (verdict,) = answer.verdicts
    if isinstance(verdict.outcome, Refusal):
        return verdict.outcome.reason
    assert isinstance(verdict.outcome, Ceiling)
    assert answer.terms is not None
    return "exempt" if answer.terms.exempt else "covered"


def scopes(host: FakeHost) -> set[str]:
    assert host.last is not None
    return {str(scope) for scope in host.last.answer.scopes if scope.kind is ScopeKind.CLUSTER}


def tell_all(governor: LocalGovernor, *hosts: FakeHost) -> None:
    for host in hosts:
        assert ask(governor, host, FABRIC) in {"exempt", "covered"}


def test_a_cluster_in_two_parts_below_the_threshold_is_covered_at_the_next_renewal(
    governor: LocalGovernor,
) -> None:
    alpha, beta = join(governor, "alpha", 1, 2), join(governor, "beta", 3, 4)
    tell_all(governor, *alpha, *beta)
    for host in (*alpha, *beta):
        assert ask(governor, host) == "covered"
        assert scopes(host) == {"cluster:alpha", "cluster:beta"}
    governor.reopen()
    assert {ask(governor, host) for host in (*alpha, *beta)} == {"covered"}


def test_an_exempt_host_holds_a_ceiling(governor: LocalGovernor) -> None:
    (host,) = join(governor, "alpha", 1)
    assert ask(governor, host) == "exempt"
    assert host.last is not None
    (verdict,) = host.last.answer.verdicts
    assert isinstance(verdict.outcome, Ceiling)
    assert verdict.outcome.ceiling_tflop == ASK


def test_a_part_without_a_budget_gets_nothing_and_is_told_with_whom_it_is_one(
    governor: LocalGovernor,
) -> None:
    alpha, gamma = join(governor, "alpha", 1, 2), join(governor, "gamma", 3, 4)
    tell_all(governor, *alpha, *gamma)
    assert ask(governor, alpha[0]) == "covered"
    assert ask(governor, gamma[0]) == "budget.missing"
    assert gamma[0].last is not None
    (verdict,) = gamma[0].last.answer.verdicts
    assert isinstance(verdict.outcome, Refusal)
    assert "as one with alpha" in verdict.outcome.detail


def test_what_each_part_uses_stays_on_its_own_budget(governor: LocalGovernor) -> None:
    alpha, beta = join(governor, "alpha", 1, 2), join(governor, "beta", 3, 4)
    assert {ask(governor, host) for host in (*alpha, *beta)} == {"exempt"}
    before = {b.scope.id: b.outstanding_tflop for b in overview(governor.state, ()).budgets}
    tell_all(governor, *alpha, *beta)
    governor.send(*(host.report(ASK, spend_tflop=3) for host in (*alpha, *beta)))
    after = {b.scope.id: b for b in overview(governor.state, ()).budgets}
    assert before == {"alpha": 2 * ASK, "beta": 2 * ASK}
    assert {name: b.settled_tflop for name, b in after.items()} == {"alpha": 6, "beta": 6}


def test_a_pause_of_one_part_holds_for_all(governor: LocalGovernor) -> None:
    alpha, beta = join(governor, "alpha", 1, 2), join(governor, "beta", 3, 4)
    tell_all(governor, *alpha, *beta)
    pause = Pause(
        authority=AUTHORITY,
        scope=Scope(ScopeKind.CLUSTER, "alpha"),
        nonce=bytes(16),
        reason="test",
        emergency=False,
        lapse_ms=None,
    )
    governor.order(pause, OFFICERS[:1])
    assert ask(governor, beta[0]) == "pause.latched"


def test_a_liar_that_names_a_neighbours_fabric_changes_nothing_but_what_officers_see(
    governor: LocalGovernor,
) -> None:
    mine = join(governor, "beta", 1, 2)
    liars = join(governor, "alpha", 3, 4, custodian="liar")
    tell_all(governor, *mine, *liars)
    assert {ask(governor, host) for host in (*mine, *liars)} == {"exempt"}
    assert scopes(mine[0]) == {"cluster:beta"}
    (merge,) = overview(governor.state, ()).merges
    assert (merge.a, merge.b, merge.state, merge.why) == ("alpha", "beta", "waiting", "custodians")
    assert {end.sequence for end in merge.ends} == {1}
    governor.order(ruling("alpha", apart=True))
    (merge,) = overview(governor.state, ()).merges
    assert merge.state == "apart"
    governor.reopen()
    tell_all(governor, *mine, *liars)
    assert overview(governor.state, ()).merges == [merge]


def test_officers_confirm_what_waits(governor: LocalGovernor) -> None:
    mine = join(governor, "beta", 1, 2)
    theirs = join(governor, "alpha", 3, 4, custodian="other")
    tell_all(governor, *mine, *theirs)
    with pytest.raises(ForgedError):
        governor.order(ruling("alpha", "beta"), OFFICERS[:1])
    digest = governor.order(ruling("alpha", "beta"))
    assert governor.order(ruling("alpha", "beta")) == digest
    assert {ask(governor, host) for host in (*mine, *theirs)} == {"covered"}
    status = {one.cluster: one for one in overview(governor.state, ()).clusters}
    assert list(status["alpha"].one_with) == ["beta"]
    assert status["alpha"].whole_tflop_per_s == 2 * status["alpha"].capacity_tflop_per_s + 1
    governor.order(ruling("beta", apart=True))
    assert {ask(governor, host) for host in (*mine, *theirs)} == {"exempt"}
    governor.reopen()
    assert {ask(governor, host) for host in (*mine, *theirs)} == {"exempt"}


def test_a_ruling_that_loosens_waits_and_is_sent_to_no_host(governor: LocalGovernor) -> None:
    delay_ms = 60_000
    governor.order(replace(policy(4, "alpha", "beta", version=2), loosening_delay_ms=delay_ms))
    alpha, beta = join(governor, "alpha", 1, 2), join(governor, "beta", 3, 4)
    tell_all(governor, *alpha, *beta)
    governor.order(ruling("alpha", apart=True))
    assert {ask(governor, host) for host in (*alpha, *beta)} == {"covered"}
    kinds = {order.envelope.payload_type for order in orders_for(governor.state, None)}
    assert PayloadType.CLUSTER_RULING not in kinds
    governor.clock.unix_ms += delay_ms + 1
    assert {ask(governor, host) for host in (*alpha, *beta)} == {"exempt"}
    governor.reopen()
    tell_all(governor, *alpha, *beta)
    assert {ask(governor, host) for host in (*alpha, *beta)} == {"exempt"}


def test_a_ruling_on_a_cluster_that_nobody_declared_is_refused(governor: LocalGovernor) -> None:
    join(governor, "alpha", 1)
    entries = governor.count("log_entry")
    with pytest.raises(HistoryError, match=r"ruling\.cluster-unknown"):
        governor.order(ruling("alpha", "omega"))
    assert governor.count("log_entry") == entries


def test_another_rate_of_links_finds_more(governor: LocalGovernor) -> None:
    port = replace(PORT, subnet_prefix=0xFEC0_0000_0000_0001, rate_mbit_per_s=90_000)
    subnet = Topology(ports=(port,))
    alpha, beta = join(governor, "alpha", 1, 2), join(governor, "beta", 3, 4)
    for host in (*alpha, *beta):
        assert ask(governor, host, subnet) == "exempt"
    lower = replace(policy(4, "alpha", "beta", version=2), cluster_link_mbit_per_s=80_000)
    governor.order(lower)
    assert {ask(governor, host) for host in (*alpha, *beta)} == {"covered"}
    assert governor.count("cluster_merge") == 1


def test_what_was_told_to_older_software_is_read_when_it_opens(governor: LocalGovernor) -> None:
    alpha, beta = join(governor, "alpha", 1, 2), join(governor, "beta", 3, 4)
    tell_all(governor, *alpha, *beta)
    with governor.state.store.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM cluster_told")
        connection.exec_driver_sql("DELETE FROM cluster_merge")
    governor.reopen()
    assert {ask(governor, host) for host in (*alpha, *beta)} == {"covered"}
    assert governor.count("cluster_told") == 4


def test_a_transaction_that_failed_leaves_no_merge_behind(governor: LocalGovernor) -> None:
    alpha, beta = join(governor, "alpha", 1, 2), join(governor, "beta", 3, 4)
    tell_all(governor, *alpha, beta[0])
    governor.state.forget()
    assert {ask(governor, host) for host in (*alpha, *beta)} == {"exempt"}
    tell_all(governor, beta[1])
    assert {ask(governor, host) for host in (*alpha, *beta)} == {"covered"}


# ---------------------------------------------------------------------- in words


def told_lines(governor: LocalGovernor) -> list[str]:
    return list_lines(overview(governor.state, ()))


def test_the_list_sums_up_each_whole_and_tells_what_waits(governor: LocalGovernor) -> None:
    mine, theirs = join(governor, "alpha", 1, 2), join(governor, "beta", 3, 4, custodian="other")
    tell_all(governor, *mine, *theirs)
    first, second, waits, ways = told_lines(governor)
    assert first.startswith(
        "alpha  2 hosts  3.96e15 FLOP/s (alpha 3.96e15 FLOP/s)  exempt: threshold 7.91e15 FLOP/s, "
        "peaks at "
    )
    assert second.startswith("beta  2 hosts")
    key = FABRIC.chips[0].fabric_cluster_uuid.hex()
    assert waits.startswith(f"alpha - beta: waiting, hosts of both name fabric {key} (report 1 of ")
    assert waits.endswith(": they are of different custodians")
    assert "cluster confirm alpha beta" in ways
    governor.order(ruling("alpha", "beta"))
    (whole,) = told_lines(governor)
    assert whole.startswith(
        "alpha+beta  4 hosts  7.92e15 FLOP/s (alpha 3.96e15 FLOP/s, beta 3.96e15 FLOP/s)  covered"
    )


def test_explain_names_the_way_from_one_host_to_another(governor: LocalGovernor) -> None:
    alpha, beta = join(governor, "alpha", 1, 2), join(governor, "beta", 3, 4)
    gamma = join(governor, "gamma", 5, 6)
    tell_all(governor, *alpha, *beta)
    reply = overview(governor.state, ())
    first, second = alpha[0].host_id.hex()[:12], beta[0].host_id.hex()
    what = explained(reply, first, second)
    assert [merge.state for merge in what.path or ()] == ["found"]
    one, way, total, beside = explain_lines(reply, what)
    # An H100 does 989.4 TFLOP/s at 16 bit and 1978.9 at 8 bit, its fastest; TPP 15831.
    figures = [float(number) for number in re.findall(r"[0-9.]+e[0-9]+|[0-9]{4,}", beside)]
    wanted = (4 * 989.4e12, 4 * 1978.9e12, 4 * 15831.2)
    assert figures == [pytest.approx(figure, rel=0.005) for figure in wanted]
    assert one == "alpha and beta are one cluster."
    assert "name fabric" in way
    assert alpha[0].host_id.hex()[:16] in way or alpha[1].host_id.hex()[:16] in way
    assert total.startswith("alpha+beta  4 hosts")
    two = explain_lines(reply, explained(reply, "alpha", gamma[0].host_id.hex()))
    assert two[0] == "alpha and gamma are two clusters."
    same = explain_lines(reply, explained(reply, first, alpha[1].host_id.hex()))
    assert same[0] == "Declared as one: both are in alpha."
    document = json.loads(as_json(what))
    assert (document["one"], document["path"][0]["state"]) == (True, "found")
    assert not json.loads(as_json(explained(reply, "alpha", "gamma")))["one"]


def test_explain_tells_what_officers_ruled(governor: LocalGovernor) -> None:
    alpha, beta = join(governor, "alpha", 1, 2), join(governor, "beta", 3, 4)
    tell_all(governor, *alpha, *beta)
    digest = governor.order(ruling("beta", apart=True))
    reply = overview(governor.state, ())
    lines = explain_lines(reply, explained(reply, "alpha", "beta"))
    assert lines[0] == "alpha and beta are two clusters."
    assert "apart" in lines[1]
    assert digest.hex()[:16] in lines[1]


@pytest.mark.parametrize("name", ["omega", "0", "ff" * 32])
def test_explain_of_nobody_is_refused(governor: LocalGovernor, name: str) -> None:
    join(governor, "alpha", 1)
    reply = overview(governor.state, ())
    with pytest.raises(ConfigError, match=r"cluster\.unknown"):
        explained(reply, "alpha", name)


def test_status_tells_what_is_one_and_what_waits(governor: LocalGovernor) -> None:
    alpha, beta = join(governor, "alpha", 1, 2), join(governor, "beta", 3, 4)
    gamma = join(governor, "gamma", 5, 6, custodian="other")
    tell_all(governor, *alpha, *beta, *gamma)
    lines = lines_of(overview(governor.state, ()))
    assert any("one with beta: 7.92e15 FLOP/s" in line for line in lines)
    assert sum("waits for officers" in line for line in lines) == 1
