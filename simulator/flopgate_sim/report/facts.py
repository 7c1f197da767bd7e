"""What a scenario is, for the head of a report."""

from __future__ import annotations

from flopgate_sim.campaign.words import clock, count
from flopgate_sim.report.markup import Child
from flopgate_sim.report.scales import quantity, seconds
from flopgate_sim.scenario import Cluster, Scenario

CLUSTERS_MAX = 20


def rows(scenario: Scenario) -> list[tuple[Child, ...]]:
    """(what, value), in words."""
    chips = sum(cluster.hosts * cluster.chips_per_host for cluster in scenario.clusters)
    peak = sum(
        cluster.hosts * cluster.chips_per_host * cluster.profile.spec.peak_8bit_up_flop_per_s
        for cluster in scenario.clusters
    )
    policy, network, authorities = scenario.policy, scenario.network, scenario.authorities
    found: list[tuple[Child, ...]] = [
        ("lasts", clock(scenario.duration_s).removesuffix(".000")),
        ("hosts", f"{scenario.hosts:,} with {count(chips, 'chip')}"),
        ("peak, dense 8-bit", quantity(float(peak), "FLOP/s")),
    ]
    found += [(f"cluster {one.name}", _cluster(one)) for one in scenario.clusters[:CLUSTERS_MAX]]
    if len(scenario.clusters) > CLUSTERS_MAX:
        found.append(("more clusters", f"{len(scenario.clusters) - CLUSTERS_MAX:,}"))
    lives, winds = seconds(policy.lifetime_ms / 1000), seconds(policy.wind_down_ms / 1000)
    renewed = seconds(policy.renew_after_ms / 1000)
    least, most = network.latency_ms
    lost, doubled = network.loss_percent, network.duplicate_percent
    reordered = network.reorder_percent
    officers = count(authorities.officers, "officer")
    found += [
        ("permit", f"lives {lives}, the last {winds} for winding down; renewed after {renewed}"),
        ("authorities", f"{', '.join(authorities.names)}; each {officers}"),
        ("quorum", count(authorities.quorum, "officer")),
        ("latency", f"{least} to {most} ms"),
        ("messages", f"lost {lost:g}%, doubled {doubled:g}%, reordered {reordered:g}%"),
        ("faults at random, per host or authority and hour", _rates(scenario)),
        ("faults at stated times", f"{len(scenario.timed_faults):,}"),
        ("acts of officers", f"{len(scenario.acts):,}"),
    ]
    return found


def _cluster(cluster: Cluster) -> str:
    shares = ", ".join(f"{one.name} {one.share * 100:g}%" for one in cluster.workloads)
    budget = cluster.budget_tflop
    cap = "no cap" if budget is None else f"cap {quantity(budget * 1e12, 'FLOP')}"
    return (
        f"{count(cluster.hosts, 'host')} with {cluster.chips_per_host} {cluster.chip} each, run by "
        f"{cluster.custodian} at {cluster.site} ({cluster.jurisdiction}); {cap}; {shares}"
    )


def _rates(scenario: Scenario) -> str:
    rates = scenario.faults.rates_per_h
    drift = scenario.faults.clock_drift_ppm
    told = [f"{kind} {rate:g}" for kind, rate in rates]
    if drift:
        told.append(f"clocks off by at most {drift} ppm")
    return ", ".join(told) or "none"
