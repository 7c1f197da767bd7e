"""What an oversight body's Prometheus reads of its authority."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flopgate_governor.service.overview import overview
from flopgate_governor.views.metrics import metrics_text
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.governor import LocalGovernor, joined
from tests.support.governor_steps import ask, lost


def samples(reply: pb.GetStatusReply) -> dict[tuple[str, ...], float]:
    """Values by name and labels' values, in the order of the labels' names."""
    return {
        (one.name, *(value for _, value in sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(metrics_text(reply))
        for one in family.samples
    }


def test_an_authority_in_daily_life(governor: LocalGovernor) -> None:
    hosts = joined(governor)
    (host,) = hosts
    assert ask(governor, host) == ""
    found = samples(overview(governor.state, {host.host_id}))
    assert found["flopgate_authority_grants",] == 1
    assert found["flopgate_authority_time_timestamp_seconds",] == governor.state.now_ms() / 1000
    assert found["flopgate_authority_clock_ahead_seconds",] == 0
    assert found["flopgate_authority_hosts", "linked"] == 1
    assert found["flopgate_authority_hosts", "not_linked"] == 0
    assert found["flopgate_authority_log_entries_total",] == governor.state.frontier.size > 0
    assert not any(name.endswith(("_halted", "_closed", "_pauses")) for name, *_ in found)


def test_a_halt_tells_its_reason_and_no_more(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    host.quote = lost(governor, governor.state.batch_number + 1)
    assert ask(governor, host) == "governor.rolled-back"
    found = samples(overview(governor.state, ()))
    assert found["flopgate_authority_grants",] == 0
    assert found["flopgate_authority_halted", "governor.rolled-back"] == 1


def test_amounts_are_flop_and_spans_seconds() -> None:
    reply = pb.GetStatusReply(governor_unix_ms=1_000_000, doors=pb.DoorStatus(held_back_ms=2_500))
    reply.clusters.add(
        cluster="alpha", capacity_tflop_per_s=10, covered=True, hosts=4, hosts_warned=1
    )
    budget = reply.budgets.add(cap_tflop=100, settled_tflop=5, silent_tflop=7)
    budget.scope.kind, budget.scope.id = pb.SCOPE_KIND_CLUSTER, 'al"pha\\'
    reply.held_clock.wall_unix_ms = 990_000
    reply.delegation.until_unix_ms = 9_000_000
    for reason in ("host.fork", "host.fork", "host.quote"):
        reply.hosts.add(refused_reason=reason)
    for kind in (pb.SCOPE_KIND_EVERYTHING, pb.SCOPE_KIND_EVERYTHING):
        reply.pauses.add().scope.kind = kind
    found = samples(reply)
    scope = 'cluster:al"pha\\'
    assert found["flopgate_cluster_capacity_flop_per_second", "alpha"] == 10**13
    assert found["flopgate_cluster_covered", "alpha"] == 1
    assert found["flopgate_cluster_hosts", "alpha", "enforce"] == 3
    assert found["flopgate_cluster_hosts", "alpha", "warn"] == 1
    assert found["flopgate_budget_cap_flop", scope] == 10**14
    used = {part: value for (name, part, *_), value in _used(found).items()}
    assert used == {"settled": 5e12, "outstanding": 0, "unaccounted": 0, "silent": 7e12}
    assert found["flopgate_authority_clock_ahead_seconds",] == -10
    assert found["flopgate_authority_delegation_end_timestamp_seconds",] == 9_000
    assert found["flopgate_authority_hosts_closed", "host.fork"] == 2
    assert found["flopgate_authority_hosts_closed", "host.quote"] == 1
    assert found["flopgate_authority_pauses", "everything"] == 2
    assert found["flopgate_governor_held_back_seconds_total",] == pytest.approx(2.5)


def _used(found: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    return {key: value for key, value in found.items() if key[0] == "flopgate_budget_used_flop"}
