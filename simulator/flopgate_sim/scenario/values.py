"""What a scenario says. Checked where it is read (`loader`); these are plain values.

Moments are milliseconds of world time, from the beginning of the scenario.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flopgate_agent.gate.settings import REPORT_INTERVAL_MS
from flopgate_proto.values.common import Phase
from flopgate_proto.values.orders import Policy
from flopgate_sim.scenario.profiles import PROFILES, ChipProfile

ActKind = Literal[
    "pause", "emergency", "resume", "policy_budget", "policy_phase", "veto", "adopt", "close",
    "relieve", "unite", "apart", "train", "serve", "demote", "promote", "fallback",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Steady:
    """Works all the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bursty:
    """Works in the first ``busy_ms`` of each ``period_ms``."""

    period_ms: int
    busy_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarting:
    """Ends and comes again, after a time that is drawn around ``mean_life_s``."""

    mean_life_s: int


@dataclass(frozen=True, slots=True)
class Communicating:
    """Only waits for its network: the SMs are active, no compute pipe is."""


Pattern = Steady | Bursty | Restarting | Communicating


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What runs on some hosts of a cluster.

    Attributes:
        name: as registered; a host's second lane serves ``NAME-2`` and so on.
        share: part of the cluster's hosts, above 0 to 1; the shares of a cluster add up to 1.
        lanes: per host, 1 to the chips of a host, which they divide as evenly as they can.
        utilisation_percent: of the chips' cycles while it works, 0 to 100.
        drain_ms: of its queues after a freeze; ``None``: persistent kernels, which run until their
            process is killed.
        ignores_signals: is stopped by nothing but a freeze or a kill.
        forks: leaves a child behind when it is frozen.
    """

    name: str
    share: float = 1.0
    lanes: int = 1
    utilisation_percent: int = 80
    pattern: Pattern = Steady()
    drain_ms: int | None = 50
    ignores_signals: bool = False
    forks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Hosts of one kind on one interconnect. Several of one name are parts of one cluster.

    Attributes:
        hosts: 1 to 20,000.
        chips_per_host: 1 to 16.
        chip: a name of `profiles.PROFILES`.
        budget_tflop: cap of the whole cluster; ``None``: the highest cap there is.
        joins_at_s: these hosts are switched on then.
        phase_at_least: of their own configuration: rules bite at least so far.
        fabric: what they really hang on; clusters on one fabric are one, whatever was declared.
        tpm: each of these hosts has one, and its authorities know.
        workloads: at least one.
    """

    name: str
    custodian: str
    site: str
    jurisdiction: str
    hosts: int
    chips_per_host: int
    chip: str
    budget_tflop: int | None = None
    joins_at_s: int = 0
    phase_at_least: Phase = Phase.OBSERVE
    fabric: str = ""
    tpm: bool = False
    workloads: tuple[Workload, ...]

    @property
    def profile(self) -> ChipProfile:
        """Of every chip in it."""
        return PROFILES[self.chip]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateWiring:
    """How gates are driven.

    Attributes:
        looks_ms: between looks at the counters; ``None``: at the latest moment that the core says.
    """

    looks_ms: int | None = None
    report_interval_ms: int = REPORT_INTERVAL_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorities:
    """Whose permission every host needs, by name, and how many officers each has."""

    names: tuple[str, ...] = ("home.example",)
    officers: int = 3
    quorum: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What every message between a host and an authority meets."""

    latency_ms: tuple[int, int] = (1, 50)
    loss_percent: float = 0.0
    duplicate_percent: float = 0.0
    reorder_percent: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong at random.

    Attributes:
        rates_per_h: (kind, mean number per host or authority and hour), none with rate 0, by name.
        clock_drift_ppm: host clocks run too fast or too slow by at most this.
    """

    rates_per_h: tuple[tuple[str, float], ...] = ()
    clock_drift_ppm: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedFault:
    """What goes wrong at a stated moment.

    Attributes:
        kind: a name of `kinds.KINDS`.
        hosts: indices of the hosts that it befalls; empty for a kind that befalls a governor.
        authorities: indices of the authorities that it befalls; empty for a kind of hosts.
        span_ms: how long it lasts, 0 where that has no meaning.
        value: a number that the kind explains, 0 where it has none.
    """

    at_ms: int
    kind: str
    hosts: tuple[int, ...] = ()
    authorities: tuple[int, ...] = ()
    span_ms: int = 0
    value: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficerAct:
    """Officers of one authority do something.

    Attributes:
        act: ``resume`` lifts every pause of this authority that stands; ``veto`` ends the first
            order that waits; ``demote`` and ``promote`` say whether the other authority has a say.
        scope: in words, as ``cluster:alpha``.
        authority: index.
        budget_tflop: the new cap of a ``policy_budget``, else 0.
        phase: of a ``policy_phase``: how far rules bite from then on.
        host: index, of ``adopt``, ``close`` and ``relieve``.
        clusters: of ``unite`` and ``apart``.
        parents, tier, prior_tflop: of a workload that ``train`` or ``serve`` registers.
        fallback_ms: of ``demote`` and ``fallback``; 0: none.
    """

    at_ms: int
    act: ActKind
    scope: str = "everything"
    authority: int = 0
    budget_tflop: int = 0
    phase: Phase = Phase.ENFORCE
    host: int | None = None
    clusters: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    tier: int = 0
    prior_tflop: int = 0
    fallback_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedJob:
    """A job with a beginning and an end. Several may share a chip.

    Attributes:
        name: for people.
        host: index.
        chips: indices on that host, at least one.
        start_s, end_s: from the scenario's beginning; the end is later.
        utilisation_percent: of the chips' cycles, 0 to 100.
    """

    name: str
    host: int
    chips: tuple[int, ...]
    start_s: int
    end_s: int
    utilisation_percent: int = 80


ErrandKind = Literal["ask", "return", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedErrand:
    """Somebody goes to hosts without a link at a stated moment.

    Attributes:
        errand: ``ask`` for a license and bring it, ``return`` what is held, ``open`` a reserve.
        hosts: their numbers; each for itself.
        authority: index.
        span_ms, headroom_tflop, good_for_ms, reserve: of what is asked for and approved.
        out_ms, back_ms: how long a file is on its way.
        installs: hosts at which the license is installed, in turn; none: where it was asked for.
        signers: openers who sign.
    """

    at_ms: int
    errand: ErrandKind
    hosts: tuple[int, ...]
    authority: int = 0
    span_ms: int = 0
    headroom_tflop: int = 0
    good_for_ms: int = 0
    reserve: bool = False
    out_ms: int = 0
    back_ms: int = 0
    installs: tuple[int, ...] = ()
    signers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything that a simulated cluster is made from, but its seed.

    Attributes:
        summary: one line.
        expect: what should happen, in words.
        policy: of every authority, with the budgets of all clusters; its authority is empty.
        faults: at random.
        timed_faults, acts, errands: by time.
        jobs: by time; where there are any, no other job runs.
        notes: what was assumed and left out where it was not read from a scenario's file.
    """

    name: str
    summary: str
    duration_s: int
    expect: tuple[str, ...] = ()
    clusters: tuple[Cluster, ...]
    policy: Policy
    gate: GateWiring = GateWiring()
    authorities: Authorities = Authorities()
    network: Network = Network()
    faults: Faults = Faults()
    timed_faults: tuple[TimedFault, ...] = ()
    acts: tuple[OfficerAct, ...] = ()
    errands: tuple[TimedErrand, ...] = ()
    jobs: tuple[TimedJob, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def hosts(self) -> int:
        """In all clusters."""
        return sum(cluster.hosts for cluster in self.clusters)

    @property
    def hours(self) -> float:
        """How long it lasts."""
        return self.duration_s / 3600
