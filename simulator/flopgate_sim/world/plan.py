"""What a host is made of, and the jobs that its scheduler starts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from flopgate_agent.gate.settings import REPORT_INTERVAL_MS
from flopgate_proto.chips import ChipSpec
from flopgate_proto.values.common import Phase, Scope, ScopeKind
from flopgate_proto.values.orders import LINK_MBIT_PER_S, Policy
from flopgate_sim.scenario.profiles import ChipProfile
from flopgate_sim.world.nature.engine import US_PER_MS
from flopgate_sim.world.nature.network import Weather


@dataclass(frozen=True, slots=True, kw_only=True)
class LanePlan:
    """A lane and the kind of job that runs in it.

    Attributes:
        chips: indices of its chips.
        busy_percent: of the chips' cycles while it works.
        period_ms, work_ms: bursts; 0 for steady work.
        drain_ms: of its queues after a freeze; ``None``: kernels run until the process is killed.
        spinning: it only waits for its network.
        forks: children that escape a freeze, one each time.
        mean_life_ms: it ends and comes again after a time around this; 0: it stays.
    """

    workload: str
    chips: tuple[int, ...]
    busy_percent: int = 80
    period_ms: int = 0
    work_ms: int = 0
    drain_ms: int | None = 50
    spinning: bool = False
    forks: int = 0
    mean_life_ms: int = 0

    def job_options(self) -> dict[str, object]:
        """Fields of the job in the hardware's units."""
        return {
            "busy_percent": self.busy_percent,
            "period_us": self.period_ms * US_PER_MS,
            "work_us": self.work_ms * US_PER_MS,
            "drain_us": None if self.drain_ms is None else self.drain_ms * US_PER_MS,
            "spinning": self.spinning,
            "forks": self.forks,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """One host.

    Attributes:
        drift_ppm: how much too fast its clocks run; negative: too slow.
        joins_ms: it is switched on then.
        phase_at_least: as its own configuration says.
        fabric: what it really hangs on; empty: one of its own cluster.
        claims: what its gate tells instead, where somebody makes it lie.
        port_mbit_per_s: of its port; a subnet of slow ones makes nobody one.
        tpm: one stands beside its ledger, and its authorities know.
        plain_ledger: no fault touches its disk: its ledger may do without a file.
    """

    name: str
    cluster: str
    custodian: str
    site: str
    jurisdiction: str
    chip: ChipProfile
    chips: int
    lanes: tuple[LanePlan, ...]
    drift_ppm: int = 0
    joins_ms: int = 0
    phase_at_least: Phase = Phase.OBSERVE
    fabric: str = ""
    claims: str = ""
    port_mbit_per_s: int = 400_000
    tpm: bool = False
    plain_ledger: bool = False

    @property
    def wire(self) -> tuple[str, str, str]:
        """Whoever has the same can find out that they hang together, without officers.

        A chip without NVLink fabric hangs on its subnet alone, which counts within one site.
        """
        site = "" if self.chip.gpm else self.site
        slow = not self.chip.gpm and self.port_mbit_per_s <= LINK_MBIT_PER_S
        hangs_on = self.cluster if slow else self.fabric or self.cluster
        return (hangs_on, self.custodian, site)

    def scopes_of(self, workload: str) -> tuple[str, ...]:
        """Every scope that a lane of this host belongs to, in words."""
        return _scopes_of(self.cluster, self.custodian, self.site, self.jurisdiction, workload)

    @property
    def spec(self) -> ChipSpec:
        """Of each chip."""
        return self.chip.spec

    @property
    def chip_name(self) -> str:
        """As NVML says it."""
        return self.chip.nvml_name

    @property
    def pci_device_id(self) -> int:
        """As PCI says it."""
        return self.chip.pci_device_id


@cache
def _scopes_of(
    cluster: str, custodian: str, site: str, jurisdiction: str, workload: str
) -> tuple[str, ...]:
    named = (
        ("cluster", cluster),
        ("custodian", custodian),
        ("site", site),
        ("jurisdiction", jurisdiction),
        ("workload", workload),
    )
    scopes = (f"{kind}:{name}" for kind, name in named if name)
    return ("everything", *scopes, run_of(custodian, workload))


def run_of(custodian: str, workload: str) -> str:
    """What one custodian computes under one name, beside the scopes."""
    return f"run of {custodian}: {workload}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something goes wrong at a moment.

    Attributes:
        at_ms: world time.
        kind: a name of `scenario.kinds.KINDS`.
        target: name of a host or authority, by the kind.
        span_ms: how long it lasts, 0 where that has no meaning.
        value: a number that the kind explains.
    """

    at_ms: int
    kind: str
    target: str
    span_ms: int = 0
    value: int = 0

    def __str__(self) -> str:
        """As people read it."""
        span = f" for {self.span_ms / 1000:g} s" if self.span_ms else ""
        value = f" ({self.value})" if self.value else ""
        return f"{self.kind} of {self.target}{span}{value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Officers of one authority do something.

    Attributes:
        act: one of `rulings.RULINGS`, or ``pause``, ``emergency``, ``policy_budget``,
            ``policy_phase``, ``resume`` (of all pauses that stand) or ``resume-first`` (of the
            oldest). What must not work: ``rogue-resume`` and ``rogue-cap`` (one officer signs
            twice), ``mixed-resume`` (his signature beside another's over other bytes),
            ``rehearsed-resume`` and ``rehearsed-cap`` (signed for a rehearsal of the same name). Of
            seats: ``demote`` (the other authority only receives, as far as this one is asked),
            ``promote`` (it has a say again), ``fallback`` (this one alone).
        scope: in words, as ``cluster:alpha``.
        authority: index.
        cap_tflop: of a ``policy_budget``; what went into a workload elsewhere.
        host: of ``adopt``, ``close``, ``relieve`` (half of what its lane has), ``relieve-all``
            (with what it counted before it joined) and ``relieve-more`` (than it ever had).
        names: clusters of ``unite`` and ``apart``; parents of a workload that is registered.
        tier: of a workload that is registered, by ``train`` or ``serve``.
        phase: of a ``policy_phase``, from then on.
        fallback_ms: of ``demote`` and ``fallback``.
    """

    at_ms: int
    act: str
    scope: str = "everything"
    authority: int = 0
    cap_tflop: int = 0
    phase: Phase = Phase.ENFORCE
    fallback_ms: int = 0
    host: str = ""
    names: tuple[str, ...] = ()
    tier: int = 0

    @property
    def within(self) -> Scope:
        """Its scope."""
        kind, _, name = self.scope.partition(":")
        return Scope(ScopeKind[kind.upper()], name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """Somebody goes to a host without a link.

    Attributes:
        errand: ``ask`` for a license and bring what an authority gives, ``return`` what is held,
            ``open`` a reserve; ``reimage`` it, which loses ledger and key, and enrol it anew;
            ``join`` an authority that it knew nothing of before.
        authority: index.
        span_ms, headroom_tflop, good_for_ms: of what is asked for and approved; the last is from
            the issue to its end.
        reserve: it is asked for, and given, as one.
        out_ms, back_ms: how long the file is on its way.
        installs: where it is installed, as often as a host is named; none: where it was asked for.
        signers: openers who sign.
        approved: by the ``quorum``. What must not work: ``one-twice`` (one officer signs twice),
            ``mixed`` (the other signed other bytes), ``another's`` (the quorum approved the
            request of another host).
        vetoed: one officer vetoes the approval, before it is used for ``giving`` the license, or
            while this is on its way, before ``taking`` it.
        places_of: host by whose kind of token, and so in whose places, one is enrolled anew.
        thief: it is made with the authority's online key, stolen, and the authority knows nothing
            of it.
    """

    at_ms: int
    host: str
    errand: str = "ask"
    authority: int = 0
    span_ms: int = 1_800_000
    headroom_tflop: int = 10**7
    good_for_ms: int = 7_200_000
    reserve: bool = False
    out_ms: int = 60_000
    back_ms: int = 60_000
    installs: tuple[str, ...] = ()
    signers: int = 2
    approved: str = "quorum"
    vetoed: str = ""
    places_of: str = ""
    thief: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedWork:
    """A job with a beginning and an end, on some chips of one host."""

    host: str
    chips: tuple[int, ...]
    start_ms: int
    end_ms: int
    busy_percent: int


CALM = Weather()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldPlan:
    """Everything that a world is made from, but its seed.

    Attributes:
        policy: of every authority; its authority's name is filled in.
        rhythm_ms: between looks of a gate; ``None``: at the latest moment.
        gather_ms: how long a governor gathers reports for one transaction.
        spare_places: of every join token, beyond the hosts of its cluster.
        delegation_span_ms: gate running time for which officers let the permit key sign.
        plain_stores: no fault touches a governor: stores may be in memory.
        lockdown: a lock-down stands beside every gate.
        jobs: by time; where there are none, every lane has a job from the beginning on.
    """

    name: str
    duration_ms: int
    hosts: tuple[HostPlan, ...]
    policy: Policy
    authorities: tuple[str, ...] = ("home.example",)
    officers: int = 3
    quorum: int = 2
    weather: Weather = CALM
    faults: tuple[Fault, ...] = ()
    acts: tuple[Act, ...] = ()
    errands: tuple[Errand, ...] = ()
    rhythm_ms: int | None = None
    report_interval_ms: int = REPORT_INTERVAL_MS
    gather_ms: int = 8
    spare_places: int = 0
    delegation_span_ms: int = 7 * 24 * 3600 * 1000
    plain_stores: bool = False
    lockdown: bool = False
    jobs: tuple[TimedWork, ...] = ()
