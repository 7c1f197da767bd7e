"""What a host is made of, and the jobs that its scheduler starts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from flopgate_proto.chips import ChipSpec, spec_for
from flopgate_proto.errors import ConfigError
from flopgate_proto.values.orders import Policy
from flopgate_sim.world.engine import US_PER_MS
from flopgate_sim.world.network import Weather


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipProfile:
    """A model of accelerator: NVML name, PCI device id, and whether it has GPM cycle counters."""

    nvml_name: str
    pci_device_id: int
    gpm: bool

    @property
    def spec(self) -> ChipSpec:
        """What the chip table says of it."""
        return spec_for(self.pci_device_id, self.nvml_name)


PROFILES = {
    "h100": ChipProfile(nvml_name="NVIDIA H100 80GB HBM3", pci_device_id=0x2330, gpm=True),
    "h200": ChipProfile(nvml_name="NVIDIA H200", pci_device_id=0x2335, gpm=True),
    "b200": ChipProfile(nvml_name="NVIDIA B200", pci_device_id=0x2901, gpm=True),
    "a100": ChipProfile(nvml_name="NVIDIA A100-SXM4-80GB", pci_device_id=0x20B2, gpm=False),
    "v100": ChipProfile(nvml_name="Tesla V100-SXM2-32GB", pci_device_id=0x1DB5, gpm=False),
}
"""By the names that scenarios use. GPM exists since Hopper."""


def profile(name: str) -> ChipProfile:
    """A profile by name.

    Raises:
        ConfigError: there is none.
    """
    found = PROFILES.get(name)
    if found is None:
        raise ConfigError(
            f"no chip profile {name!r}",
            code="scenario.chip",
            remedy=f"Use one of {', '.join(sorted(PROFILES))}.",
        )
    return found


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
    """

    workload: str
    chips: tuple[int, ...]
    busy_percent: int = 80
    period_ms: int = 0
    work_ms: int = 0
    drain_ms: int | None = 50
    spinning: bool = False
    forks: int = 0

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

    def scopes_of(self, workload: str) -> tuple[str, ...]:
        """Every scope that a lane of this host belongs to, in words."""
        return _scopes_of(self, workload)

    @property
    def spec(self) -> ChipSpec:
        """Of each chip."""
        return self.chip.spec

    @property
    def gpm(self) -> bool:
        """Whether the chips show cycle counters."""
        return self.chip.gpm

    @property
    def chip_name(self) -> str:
        """As NVML says it."""
        return self.chip.nvml_name

    @property
    def pci_device_id(self) -> int:
        """As PCI says it."""
        return self.chip.pci_device_id


@cache
def _scopes_of(host: HostPlan, workload: str) -> tuple[str, ...]:
    named = (
        ("cluster", host.cluster),
        ("custodian", host.custodian),
        ("site", host.site),
        ("jurisdiction", host.jurisdiction),
        ("workload", workload),
    )
    return ("everything", *(f"{kind}:{name}" for kind, name in named if name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something goes wrong at a moment.

    Attributes:
        at_ms: world time.
        kind: a name of `faults.KINDS`.
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
    """Officers do something.

    Attributes:
        act: ``pause``, ``emergency``, ``resume`` (of all that stands) or ``cap``.
        scope: in words, as ``cluster:alpha``; of a resume it does not matter.
        authority: index.
    """

    at_ms: int
    act: str
    scope: str = "everything"
    authority: int = 0
    cap_tflop: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldPlan:
    """Everything that a world is made from, but its seed.

    Attributes:
        policy: of every authority; its authority's name is filled in.
        caps_tflop: by scope in words, beside what the policy says.
        rhythm_ms: between looks of a gate; ``None``: at the latest moment.
        gather_ms: how long a governor gathers reports for one transaction.
        jobs: (host name, workload, starts at, ends at), in ms; where there are none, every lane
            has a job from the beginning on.
    """

    name: str
    duration_ms: int
    hosts: tuple[HostPlan, ...]
    policy: Policy
    authorities: tuple[str, ...] = ("home.example",)
    officers: int = 3
    quorum: int = 2
    weather: Weather = Weather()
    faults: tuple[Fault, ...] = ()
    acts: tuple[Act, ...] = ()
    rhythm_ms: int | None = None
    report_interval_ms: int = 60_000
    gather_ms: int = 8
    jobs: tuple[tuple[str, str, int, int], ...] = ()
