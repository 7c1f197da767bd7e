"""Small worlds in which planted bugs show, by seed."""

from __future__ import annotations

from dataclasses import replace

from flopgate_proto.values.common import Phase, Scope, ScopeKind
from flopgate_proto.values.orders import Budget, PhaseRule
from flopgate_sim.scenario.policies import default_policy
from flopgate_sim.scenario.profiles import PROFILES
from flopgate_sim.world.faults.drawing import draw
from flopgate_sim.world.hardware import cutting
from flopgate_sim.world.nature.clocks import EPOCH_UNIX_MS
from flopgate_sim.world.nature.network import Weather
from flopgate_sim.world.nature.randomness import Streams
from flopgate_sim.world.plan import Act, Fault, HostPlan, LanePlan, WorldPlan

HOSTS, CHIPS = 3, 2
DURATION_MS, SHORT_MS = 2_400_000, 900_000
REPORT_INTERVAL_MS = 60_000
"""Reports that ask for nothing lie between those that do."""
AUTHORITY, OTHER_AUTHORITY = "home.example", "international.example"
POLICY = replace(
    default_policy(),
    threshold_tflop_per_s=1_000,
    wind_down_ms=60_000,
    budgets=(Budget(scope=Scope(ScopeKind.CLUSTER, "alpha"), cap_tflop=10**11),),
)
RATES = {
    "gate_crash": 1.0, "gate_crash_writing": 1.5, "courier_crash": 0.5, "host_reboot": 0.3,
    "power_loss": 1.5, "partition": 1.0, "one_way_up": 0.5, "one_way_down": 0.5, "lossy": 1.0,
    "sampler_hang": 1.5, "counter_jump": 1.5, "boot_clock_back": 1.0, "job_ends": 0.5,
    "job_joins": 1.0, "rungs_undone": 1.0, "courier_forges": 1.0, "courier_replays": 1.0,
    "ledger_restore": 1.0, "governor_crash": 1.0, "governor_crash_writing": 3.0,
    "governor_power_loss": 1.0,
}  # fmt: skip
"""Faults per hour: many, for little time."""


def hosts_of(lane: LanePlan, count: int = HOSTS) -> tuple[HostPlan, ...]:
    """Hosts of one cluster, each with this lane."""
    return tuple(
        HostPlan(
            name=f"host-{number}",
            cluster="alpha",
            custodian="operator",
            site="site-1",
            jurisdiction="x",
            chip=PROFILES["h100"],
            chips=CHIPS,
            lanes=(lane,),
            drift_ppm=(number - 1) * 150,
        )
        for number in range(count)
    )


def _plan(seed: int, rates: dict[str, float], lane: LanePlan | None = None) -> WorldPlan:
    hosts = hosts_of(lane or LanePlan(workload="run", chips=tuple(range(CHIPS))))
    names = [host.name for host in hosts]
    return WorldPlan(
        name="planted",
        duration_ms=DURATION_MS,
        hosts=hosts,
        policy=POLICY,
        report_interval_ms=REPORT_INTERVAL_MS,
        faults=draw(rates, names, [AUTHORITY], DURATION_MS, Streams(seed)),
    )


def plain(seed: int) -> WorldPlan:
    """Nothing goes wrong."""
    return _plan(seed, {})


def busy(seed: int) -> WorldPlan:
    """Every kind of bad luck."""
    return _plan(seed, RATES)


def late_network(seed: int) -> WorldPlan:
    """Answers take ten seconds, and then none come; queues are long."""
    lane = LanePlan(workload="run", chips=tuple(range(CHIPS)), drain_ms=4_000)
    plan = _plan(seed, {}, lane)
    cut = tuple(
        Fault(
            at_ms=700_000 + 10_000 * number, kind="partition", target=host.name, span_ms=1_500_000
        )
        for number, host in enumerate(plan.hosts)
    )
    return replace(plan, weather=Weather(latency_ms=(4_000, 6_000)), faults=cut)


def paused(seed: int) -> WorldPlan:
    """A pause arrives, then no answer does; kernels run until their process is dead."""
    return _paused(seed, LanePlan(workload="run", chips=tuple(range(CHIPS)), drain_ms=None))


def paused_softly(seed: int) -> WorldPlan:
    """The same with jobs that stand when they are frozen."""
    return _paused(seed, LanePlan(workload="run", chips=tuple(range(CHIPS))))


def _paused(seed: int, lane: LanePlan) -> WorldPlan:
    plan = _plan(seed, {}, lane)
    cut = tuple(
        Fault(at_ms=603_000, kind="one_way_up", target=host.name, span_ms=400_000)
        for host in plan.hosts[1:]
    )
    act = Act(at_ms=603_500, act="pause", scope="cluster:alpha")
    return replace(plan, faults=cut, acts=(act,))


def lifted(seed: int) -> WorldPlan:
    """A pause, during which somebody opens the chips and a call hangs at one, and its end."""
    plan = _plan(seed, {})
    undone = tuple(
        Fault(at_ms=900_000, kind="rungs_undone", target=host.name) for host in plan.hosts[1:]
    )
    hang = Fault(at_ms=600_000, kind="chip_hang", target=plan.hosts[0].name, span_ms=500_000)
    acts = (
        Act(at_ms=603_500, act="pause", scope="cluster:alpha"),
        Act(at_ms=1_500_000, act="resume"),
    )
    return replace(plan, faults=(hang, *undone), acts=acts)


def retiring(seed: int) -> WorldPlan:
    """Two hosts retire, one of them behind a link that is cut; their jobs go on by themselves."""
    lane = LanePlan(workload="run", chips=tuple(range(CHIPS)), drain_ms=None)
    plan = _plan(seed, {"gate_crash": 4.0, "lossy": 4.0}, lane)
    last = tuple(Fault(at_ms=600_000, kind="host_retires", target=f"host-{n}") for n in (0, 1))
    cut = Fault(at_ms=601_000, kind="partition", target="host-0", span_ms=600_000)
    # Whoever asked before a restart asks again.
    again = tuple(replace(one, at_ms=one.at_ms + 400_000) for one in last)
    return replace(plan, faults=(*plan.faults, *last, cut, *again))


def crashing(seed: int) -> WorldPlan:
    """The governor dies in the middle of its writes, again and again."""
    return _plan(seed, {"governor_crash_writing": 60.0})


def gates_gone(seed: int) -> WorldPlan:
    """Gates die and stay away for minutes, a lock-down beside them; kernels are persistent."""
    lane = LanePlan(workload="run", chips=tuple(range(CHIPS)), drain_ms=None)
    plan = _plan(seed, {}, lane)
    gone = tuple(
        Fault(at_ms=600_000 + 1_000 * seed, kind="gate_crash", target=host.name, span_ms=300_000)
        for host in plan.hosts
    )
    return replace(plan, faults=gone, lockdown=True)


def reloaded(seed: int) -> WorldPlan:
    """A driver is loaded anew twice: before a gate dies, and while it is away."""
    plan = _plan(seed, {})
    faults = []
    for number, host in enumerate(plan.hosts):
        at_ms = 240_000 + 17_000 * number + 1_000 * seed
        first = Fault(at_ms=at_ms, kind="driver_reload", target=host.name)
        died = Fault(at_ms=at_ms + 65_000, kind="gate_crash", target=host.name, span_ms=480_000)
        faults += [first, died, replace(first, at_ms=at_ms + 265_000)]
    return replace(plan, faults=tuple(faults), duration_ms=SHORT_MS)


def hung_and_reloaded(seed: int) -> WorldPlan:
    """A driver is loaded anew, and again while one sampler hangs and the next is not there yet."""
    plan = _plan(seed, {})
    faults = []
    for number, host in enumerate(plan.hosts):
        for at_ms in range(420_000 + 7_000 * number, 800_000, 20_000):
            first = Fault(at_ms=at_ms, kind="driver_reload", target=host.name)
            hang = Fault(at_ms=at_ms + 2_000, kind="sampler_hang", target=host.name, span_ms=4_500)
            faults += [first, hang, replace(first, at_ms=at_ms + 4_000)]
    return replace(plan, faults=tuple(faults), duration_ms=SHORT_MS)


def hung(seed: int) -> WorldPlan:
    """Every driver hangs for some minutes."""
    plan = _plan(seed, {})
    hang = tuple(
        Fault(at_ms=300_000, kind="sampler_hang", target=host.name, span_ms=400_000)
        for host in plan.hosts
    )
    return replace(plan, faults=hang)


def joined_late(seed: int) -> WorldPlan:
    """The second authority cannot be reached when hosts join both."""
    down = Fault(at_ms=0, kind="governor_crash", target=OTHER_AUTHORITY, span_ms=300_000)
    plan = replace(_plan(seed, {}), authorities=(AUTHORITY, OTHER_AUTHORITY))
    return replace(plan, faults=(down,), duration_ms=SHORT_MS)


def two_pauses(seed: int) -> WorldPlan:
    """Two pauses stand, one of them is lifted."""
    acts = (
        Act(at_ms=600_000, act="pause", scope="cluster:alpha"),
        Act(at_ms=601_000, act="pause", scope="custodian:operator"),
        Act(at_ms=900_000, act="resume-first"),
    )
    return replace(_plan(seed, {}), acts=acts)


def tight(seed: int) -> WorldPlan:
    """The budget is spent within the half hour, while messages get lost."""
    plan = _plan(seed, {"lossy": 4.0, "gate_crash": 2.0, "partition": 2.0})
    budget = Budget(scope=Scope(ScopeKind.CLUSTER, "alpha"), cap_tflop=4_000_000)
    return replace(plan, policy=replace(POLICY, budgets=(budget,)))


def nested(seed: int) -> WorldPlan:
    """Budgets of all, a country and a workload lie over that of the cluster; two are tight."""
    caps = {
        Scope(ScopeKind.EVERYTHING): 4_000_000,
        Scope(ScopeKind.JURISDICTION, "x"): 5_000_000,
        Scope(ScopeKind.WORKLOAD, "run"): 10**8,
        Scope(ScopeKind.CLUSTER, "alpha"): 10**11,
    }
    budgets = tuple(Budget(scope=scope, cap_tflop=cap) for scope, cap in caps.items())
    return replace(tight(seed), policy=replace(POLICY, budgets=budgets))


def gone_silent(seed: int) -> WorldPlan:
    """One host is cut off for most of the time, and what it may do meanwhile would fill the cap."""
    plan = _plan(seed, {})
    cut = Fault(at_ms=300_000, kind="partition", target=plan.hosts[0].name, span_ms=1_900_000)
    budget = Budget(scope=Scope(ScopeKind.CLUSTER, "alpha"), cap_tflop=9_000_000)
    return replace(plan, policy=replace(POLICY, budgets=(budget,)), faults=(cut,))


def kept_back(seed: int) -> WorldPlan:
    """The same host is not cut off: its courier hands in its reports one by one, long after."""
    plan = gone_silent(seed)
    return replace(plan, faults=tuple(replace(one, kind="courier_keeps") for one in plan.faults))


def cut_short(seed: int) -> WorldPlan:
    """A ceiling covers some minutes only, and no answer comes after the first few."""
    cut = tuple(
        Fault(at_ms=280_000, kind="partition", target=host.name, span_ms=1_500_000)
        for host in _plan(seed, {}).hosts
    )
    policy = replace(POLICY, headroom_max_tflop=500_000)
    return replace(_plan(seed, {}), policy=policy, faults=cut, duration_ms=SHORT_MS)


def cut_up(seed: int) -> WorldPlan:
    """Chips are cut into instances that no driver shows, and calls hang at others."""
    plan = _plan(seed, {"mig_on": 6.0, "chip_hang": 6.0})
    faults = tuple(
        replace(fault, value=fault.value % CHIPS) if fault.kind == "mig_on" else fault
        for fault in plan.faults
    )
    return replace(plan, faults=faults, duration_ms=SHORT_MS)


def cut_anew(seed: int) -> WorldPlan:
    """Chips are cut into instances, which are destroyed and made again while they work."""
    plan = _plan(seed, {})
    cut = tuple(
        Fault(
            at_ms=200_000 + 9_000 * number,
            kind="mig_on",
            target=host.name,
            span_ms=600_000,
            value=CHIPS * cutting.HALVES + which,
        )
        for number, host in enumerate(plan.hosts)
        for which in range(CHIPS)
    )
    return replace(plan, faults=cut, duration_ms=SHORT_MS)


def clocks_back(seed: int) -> WorldPlan:
    """Boot clocks go back by minutes, while nothing else wakes a gate."""
    plan = _plan(seed, {})
    back = tuple(
        Fault(
            at_ms=430_000 + 7_000 * number, kind="boot_clock_back", target=host.name, value=300_000
        )
        for number, host in enumerate(plan.hosts)
    )
    return replace(plan, faults=back, duration_ms=SHORT_MS)


def wall_clocks_set(seed: int) -> WorldPlan:
    """Wall clocks are set forward and back by minutes."""
    plan = _plan(seed, {})
    steps = tuple(
        Fault(
            at_ms=430_000 + 7_000 * number,
            kind="wall_step",
            target=host.name,
            value=300 * (-1) ** number,
        )
        for number, host in enumerate(plan.hosts)
    )
    return replace(plan, faults=steps, duration_ms=SHORT_MS)


def _rule(phase: Phase, at_ms: int = 0, scope: Scope | None = None) -> PhaseRule:
    from_unix_ms = EPOCH_UNIX_MS + at_ms if at_ms else 0
    return PhaseRule(
        scope=scope or Scope(ScopeKind.EVERYTHING), phase=phase, from_unix_ms=from_unix_ms
    )


ROLLOUT = (
    _rule(Phase.OBSERVE),
    _rule(Phase.WARN, 500_000, Scope(ScopeKind.CUSTODIAN, "operator")),
    _rule(Phase.ENFORCE, 900_000, Scope(ScopeKind.SITE, "site-1")),
)
"""Everybody is observed, the custodian is warned, one of its sites is enforced upon from a date."""


def _rolled_out(plan: WorldPlan) -> WorldPlan:
    """Under the rollout: the second host on another site, the third stricter by itself."""
    first, *others = plan.hosts
    elsewhere, strict = (replace(one, cluster="beta", site="site-2") for one in others)
    beta = Budget(scope=Scope(ScopeKind.CLUSTER, "beta"), cap_tflop=10**11)
    policy = replace(plan.policy, phases=ROLLOUT, budgets=(*plan.policy.budgets, beta))
    hosts = (first, elsewhere, replace(strict, phase_at_least=Phase.ENFORCE))
    return replace(plan, hosts=hosts, policy=policy)


def rollout(seed: int) -> WorldPlan:
    """A pause stands before the date of `enforce`, and a host reboots after it, cut off."""
    acts = (
        Act(at_ms=400_000, act="pause", scope="custodian:operator"),
        Act(at_ms=1_800_000, act="policy_phase", scope="site:site-1", phase=Phase.OBSERVE),
        Act(at_ms=2_100_000, act="policy_phase", scope="custodian:operator"),
    )
    faults = (
        Fault(at_ms=1_200_000, kind="partition", target="host-0", span_ms=400_000),
        Fault(at_ms=1_210_000, kind="host_reboot", target="host-0"),
        Fault(at_ms=1_400_000, kind="gate_crash", target="host-0"),
    )
    return replace(_rolled_out(_plan(seed, {})), acts=acts, faults=faults)


def busy_rollout(seed: int) -> WorldPlan:
    """The same rollout, in which everything else goes wrong."""
    acts = (
        Act(at_ms=700_000, act="pause"),
        Act(at_ms=1_500_000, act="policy_phase", scope="site:site-1", phase=Phase.WARN),
        Act(at_ms=1_900_000, act="policy_phase", scope="site:site-2", phase=Phase.ENFORCE),
    )
    return replace(_rolled_out(_plan(seed, RATES)), acts=acts)


def grown_old(seed: int) -> WorldPlan:
    """Nobody signs a new version of a policy that only observes, and a budget is spent."""
    plan = tight(seed)
    policy = replace(plan.policy, phases=(_rule(Phase.OBSERVE),), loose_phase_age_ms=1_200_000)
    return replace(plan, policy=policy)


def slowly_admitted(seed: int) -> WorldPlan:
    """Hosts ask for admission long before it comes, and a date lies as far ahead."""
    plan = _plan(seed, {})
    cut = tuple(
        Fault(at_ms=0, kind="partition", target=host.name, span_ms=1_500_000) for host in plan.hosts
    )
    rules = (_rule(Phase.OBSERVE), _rule(Phase.ENFORCE, 2_300_000))
    return replace(plan, faults=cut, policy=replace(plan.policy, phases=rules))


def two_rollouts(seed: int) -> WorldPlan:
    """Both authorities only observe; then one of them enforces, and a pause stands."""
    acts = (
        Act(at_ms=300_000, act="pause", scope="cluster:alpha"),
        Act(at_ms=500_000, act="policy_phase", authority=1),
    )
    plan = replace(_plan(seed, {}), authorities=(AUTHORITY, OTHER_AUTHORITY), acts=acts)
    policy = replace(plan.policy, phases=(_rule(Phase.OBSERVE),))
    return replace(plan, policy=policy, duration_ms=SHORT_MS)


def gate_away(seed: int) -> WorldPlan:
    """A gate is dead for minutes behind a cut link, before the date of `enforce`."""
    faults = (
        Fault(at_ms=500_000, kind="partition", target="host-0", span_ms=1_000_000),
        Fault(at_ms=520_000, kind="gate_crash", target="host-0", span_ms=300_000),
    )
    return replace(rollout(seed), faults=faults, duration_ms=1_400_000)
