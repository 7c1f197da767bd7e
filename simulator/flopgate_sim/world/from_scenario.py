"""From a scenario and a seed to the plan of a world."""

from __future__ import annotations

from flopgate_sim.scenario import Bursty, Communicating, Restarting, Scenario, fleet
from flopgate_sim.scenario.fleet import Host, Lane
from flopgate_sim.scenario.kinds import GOVERNOR, KINDS
from flopgate_sim.scenario.values import TimedErrand, TimedFault
from flopgate_sim.world.faults.drawing import draw
from flopgate_sim.world.nature.network import Weather
from flopgate_sim.world.nature.randomness import Streams
from flopgate_sim.world.plan import Act, Errand, Fault, HostPlan, LanePlan, TimedWork, WorldPlan

FORKS = 2
"""Children that a forking job leaves behind, one at each freeze."""
GATHER_MS = 8
TOUCHES_A_LEDGER = frozenset(
    {"gate_crash_writing", "power_loss", "disk_full", "disk_error", "ledger_restore"}
)
"""Faults that a disk feels; what only kills a process loses nothing that was committed."""


def plan_of(scenario: Scenario, seed: int) -> WorldPlan:
    """The world of this scenario for a seed: hosts, drawn faults, acts."""
    streams = Streams(seed)
    found = fleet(scenario)
    names = [host.name for host in found]
    duration_ms = scenario.duration_s * 1000
    drawn = draw(
        dict(scenario.faults.rates_per_h),
        names,
        list(scenario.authorities.names),
        duration_ms,
        streams,
    )
    timed = [
        fault
        for one in scenario.timed_faults
        for fault in _timed(one, names, scenario.authorities.names)
    ]
    faults = sorted([*drawn, *timed], key=lambda one: (one.at_ms, one.kind, one.target))
    touched = {one.target for one in faults if one.kind in TOUCHES_A_LEDGER}
    network = scenario.network
    return WorldPlan(
        name=scenario.name,
        duration_ms=duration_ms,
        hosts=tuple(
            _host(host, scenario, streams, plain=not scenario.errands and host.name not in touched)
            for host in found
        ),
        policy=scenario.policy,
        authorities=scenario.authorities.names,
        officers=scenario.authorities.officers,
        quorum=scenario.authorities.quorum,
        weather=Weather(
            latency_ms=network.latency_ms,
            loss_percent=network.loss_percent,
            duplicate_percent=network.duplicate_percent,
            reorder_percent=network.reorder_percent,
        ),
        faults=tuple(faults),
        acts=tuple(
            Act(
                at_ms=act.at_ms,
                act=act.act,
                scope=act.scope,
                authority=act.authority,
                cap_tflop=act.budget_tflop or act.prior_tflop,
                phase=act.phase,
                host="" if act.host is None else names[act.host],
                names=act.clusters or act.parents,
                tier=act.tier,
                fallback_ms=act.fallback_ms,
            )
            for act in scenario.acts
        ),
        errands=tuple(one for errand in scenario.errands for one in _errands(errand, names)),
        rhythm_ms=scenario.gate.looks_ms,
        report_interval_ms=scenario.gate.report_interval_ms,
        gather_ms=GATHER_MS,
        plain_stores=all(KINDS[one.kind].target != GOVERNOR for one in faults),
        jobs=tuple(
            TimedWork(
                host=names[job.host],
                chips=job.chips,
                start_ms=job.start_s * 1000,
                end_ms=job.end_s * 1000,
                busy_percent=job.utilisation_percent,
            )
            for job in scenario.jobs
        ),
    )


def _host(host: Host, scenario: Scenario, streams: Streams, *, plain: bool) -> HostPlan:
    cluster, most_ppm = host.cluster, scenario.faults.clock_drift_ppm
    return HostPlan(
        name=host.name,
        cluster=cluster.name,
        custodian=cluster.custodian,
        site=cluster.site,
        jurisdiction=cluster.jurisdiction,
        chip=cluster.profile,
        chips=cluster.chips_per_host,
        lanes=tuple(map(_lane, host.lanes)),
        drift_ppm=streams.of(f"drift/{host.name}").randint(-most_ppm, most_ppm),
        joins_ms=cluster.joins_at_s * 1000,
        phase_at_least=cluster.phase_at_least,
        fabric=cluster.fabric,
        tpm=cluster.tpm,
        plain_ledger=plain,
    )


def _lane(lane: Lane) -> LanePlan:
    kind, pattern = lane.kind, lane.kind.pattern
    bursty = pattern if isinstance(pattern, Bursty) else Bursty(period_ms=0, busy_ms=0)
    return LanePlan(
        workload=lane.workload,
        chips=lane.chips,
        busy_percent=kind.utilisation_percent,
        period_ms=bursty.period_ms,
        work_ms=bursty.busy_ms,
        drain_ms=kind.drain_ms,
        spinning=isinstance(pattern, Communicating),
        forks=FORKS if kind.forks else 0,
        mean_life_ms=pattern.mean_life_s * 1000 if isinstance(pattern, Restarting) else 0,
    )


def _timed(fault: TimedFault, hosts: list[str], authorities: tuple[str, ...]) -> list[Fault]:
    targets = [hosts[index] for index in fault.hosts]
    targets += [authorities[index] for index in fault.authorities]
    return [
        Fault(
            at_ms=fault.at_ms,
            kind=fault.kind,
            target=target,
            span_ms=fault.span_ms,
            value=fault.value,
        )
        for target in targets
    ]


def _errands(errand: TimedErrand, hosts: list[str]) -> list[Errand]:
    return [
        Errand(
            at_ms=errand.at_ms,
            host=hosts[index],
            errand=errand.errand,
            authority=errand.authority,
            span_ms=errand.span_ms,
            headroom_tflop=errand.headroom_tflop,
            good_for_ms=errand.good_for_ms,
            reserve=errand.reserve,
            out_ms=errand.out_ms,
            back_ms=errand.back_ms,
            installs=tuple(hosts[one] for one in errand.installs),
            signers=errand.signers,
        )
        for index in errand.hosts
    ]
