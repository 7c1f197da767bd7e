"""Worlds without a link, in which licenses are carried by people."""

from __future__ import annotations

from dataclasses import replace

from flopgate_proto.values.common import Scope, ScopeKind
from flopgate_proto.values.orders import Budget
from flopgate_sim.planted.worlds import AUTHORITY, OTHER_AUTHORITY, POLICY, SHORT_MS, plain
from flopgate_sim.world.faults.drawing import draw
from flopgate_sim.world.nature.randomness import Streams
from flopgate_sim.world.plan import Act, Errand, Fault, WorldPlan

DURATION_MS = 7_200_000
CUT_MS = 400_000
SPAN_MS, STEP_MS = 1_800_000, 300_000
YEAR_S = 365 * 86_400
LICENSED = replace(
    POLICY,
    license_span_ms=SPAN_MS,
    license_age_ms=14_400_000,
    license_headroom_max_tflop=10**7,
    license_step_ms=STEP_MS,
    reserve_after_ms=1_200_000,
    reserve_span_ms=600_000,
    reserve_headroom_max_tflop=10**7,
)
MIXED = (("", ""), ("host-0", "host-1", "host-2"), ("host-1", "", "host-2"))
"""Where a file is installed; an empty name is the host that asked."""
RATES = {
    "gate_crash": 3.0, "gate_crash_writing": 6.0, "host_reboot": 1.0, "power_loss": 1.5,
    "disk_error": 0.5, "disk_full": 0.5, "wall_step": 2.0, "job_ends": 0.5, "suspend": 0.5,
    "governor_crash": 1.0, "governor_crash_writing": 6.0, "governor_power_loss": 0.5,
}  # fmt: skip


def _cut_off(seed: int, *errands: Errand, faults: tuple[Fault, ...] = ()) -> WorldPlan:
    """Every link is cut soon and stays so; the first host has no TPM, the others have one."""
    plan = plain(seed)
    hosts = tuple(replace(host, tpm=number > 0) for number, host in enumerate(plan.hosts))
    cut = tuple(
        Fault(at_ms=CUT_MS, kind="partition", target=host.name, span_ms=DURATION_MS)
        for host in hosts
    )
    return replace(
        plan,
        name="licensed",
        hosts=hosts,
        policy=LICENSED,
        errands=errands,
        faults=(*cut, *faults),
        duration_ms=DURATION_MS,
    )


def licensed(seed: int) -> WorldPlan:
    """Each host gets a license, uses it up, and gets the next one."""
    errands = tuple(
        Errand(at_ms=at_ms + 20_000 * number, host=f"host-{number}", span_ms=SPAN_MS)
        for number in range(3)
        for at_ms in (CUT_MS + 60_000, CUT_MS + 2_700_000, CUT_MS + 5_000_000)
    )
    return _cut_off(seed, *errands)


def licensed_busily(seed: int) -> WorldPlan:
    """The same while everything goes wrong, and files are late, lost, doubled and mixed up."""
    plan, source = licensed(seed), Streams(seed).of("errands")
    names = [host.name for host in plan.hosts]
    errands = []
    for errand in plan.errands:
        kind = source.randrange(2 * len(MIXED))
        installs = tuple(one or errand.host for one in MIXED[kind]) if kind < len(MIXED) else ()
        back_ms = source.choice((1_000, 60_000, 900_000, DURATION_MS))
        errands.append(replace(errand, installs=installs, back_ms=back_ms))
        if kind > len(MIXED):
            at_ms = errand.at_ms + source.randrange(900_000)
            errands.append(Errand(at_ms=at_ms, host=errand.host, errand="return"))
    drawn = draw(RATES, names, [AUTHORITY], DURATION_MS, Streams(seed))
    return replace(plan, errands=tuple(errands), faults=(*plan.faults, *drawn))


def crashing_licensed(seed: int) -> WorldPlan:
    """Gates die every two minutes while they run on licenses for half an hour."""
    plan = licensed(seed)
    faults = tuple(
        Fault(at_ms=at_ms + 7_000 * number, kind="gate_crash", target=host.name)
        for number, host in enumerate(plan.hosts)
        for at_ms in range(CUT_MS + 200_000 + 1_000 * seed, DURATION_MS, 130_000)
    )
    return replace(plan, faults=(*plan.faults, *faults))


def put_back(seed: int) -> WorldPlan:
    """A disk of before is put back, on a host with a TPM and on others."""
    plan = licensed(seed)
    faults = tuple(
        Fault(at_ms=at_ms, kind="ledger_restore", target=host.name, span_ms=900_000)
        for host in plan.hosts
        for at_ms in (CUT_MS + 400_000 + 1_000 * seed,)
    )
    return replace(plan, faults=(*plan.faults, *faults), duration_ms=3_200_000)


def clocks_set(seed: int) -> WorldPlan:
    """Wall clocks are set by a year, back and forward, while licenses run and when they end."""
    plan = licensed(seed)
    faults = tuple(
        Fault(at_ms=at_ms, kind="wall_step", target=host.name, value=value)
        for host in plan.hosts
        for at_ms, value in (
            (CUT_MS + 300_000 + 1_000 * seed, -YEAR_S),
            (CUT_MS + 1_200_000, 2 * YEAR_S),
            (CUT_MS + 3_500_000, -3 * YEAR_S),
        )
    )
    return replace(plan, faults=(*plan.faults, *faults))


def short_lived(seed: int) -> WorldPlan:
    """Licenses end before their span does; clocks are set back by a year before that."""
    plan = clocks_set(seed)
    return replace(plan, errands=tuple(replace(one, good_for_ms=1_000_000) for one in plan.errands))


def given_back(seed: int) -> WorldPlan:
    """Licenses go back, and are installed once more from their files."""
    plan = licensed(seed)
    again = tuple(
        replace(one, installs=(one.host, one.host), back_ms=(60_000, 900_000)[number % 2])
        for number, one in enumerate(plan.errands)
    )
    back = tuple(
        Errand(at_ms=one.at_ms + 600_000, host=one.host, errand="return") for one in plan.errands
    )
    return replace(plan, errands=(*again, *back))


def reserved(seed: int) -> WorldPlan:
    """Reserves lie sealed; some are opened too early, some by too few, one under a pause."""
    ask = tuple(
        Errand(at_ms=200_000, host=f"host-{number}", reserve=True, span_ms=600_000,
               good_for_ms=DURATION_MS)
        for number in range(3)
    )  # fmt: skip
    opened = tuple(
        Errand(at_ms=at_ms, host=f"host-{number}", errand="open", signers=signers)
        for number in range(3)
        for at_ms, signers in ((900_000, 2), (3_000_000, 1), (3_100_000, 2), (3_200_000, 2))
    )
    plan = _cut_off(seed, *ask, *opened)
    pause = Act(at_ms=CUT_MS - 50_000, act="pause", scope="everything")
    return replace(plan, acts=(pause,) if seed % 2 else ())


def unapproved(seed: int) -> WorldPlan:
    """One host's license is approved as it should be, those of the others by too few officers."""
    return _unapproved(seed, thief=False)


def stolen_key(seed: int) -> WorldPlan:
    """The same, and whoever approves by too few has the authority's online key."""
    return _unapproved(seed, thief=True)


def _unapproved(seed: int, *, thief: bool) -> WorldPlan:
    first = Errand(at_ms=CUT_MS + 1_000 * seed, host="host-0")
    others = tuple(
        Errand(at_ms=at_ms, host=f"host-{number}", approved=approved, thief=thief)
        for number in (1, 2)
        for at_ms, approved in (
            (CUT_MS + 200_000, "one-twice"),
            (CUT_MS + 500_000, "mixed"),
            (CUT_MS + 800_000, "another's"),
        )
    )
    return replace(_cut_off(seed, first, *others), duration_ms=2_400_000)


def tight_license(seed: int) -> WorldPlan:
    """A license is long on its way while other hosts are online, under one small cap."""
    ask = Errand(at_ms=CUT_MS + 60_000, host="host-1", span_ms=600_000)
    late = replace(ask, good_for_ms=900_000, back_ms=1_600_000)
    small = replace(ask, at_ms=1_800_000, headroom_tflop=500_000)
    plan = _cut_off(seed, late, small)
    budget = Budget(scope=Scope(ScopeKind.CLUSTER, "alpha"), cap_tflop=12_000_000)
    return replace(
        plan,
        faults=plan.faults[1:2],
        policy=replace(LICENSED, budgets=(budget,)),
        duration_ms=5_400_000,
    )


def over_when_it_comes(seed: int) -> WorldPlan:
    """By the time it arrives a license is over, and its host has booted since it asked."""
    plan = tight_license(seed)
    fault = Fault(at_ms=1_000_000 + 1_000 * seed, kind="host_reboot", target="host-1")
    return replace(
        plan, errands=plan.errands[:1], faults=(*plan.faults, fault), duration_ms=3_200_000
    )


def side_by_side(seed: int) -> WorldPlan:
    """A reserve beside licenses: opened while one runs, it lasts for when each is used up."""
    ask = tuple(
        Errand(at_ms=200_000 + 1_000 * seed, host=f"host-{number}", reserve=True, span_ms=600_000,
               headroom_tflop=800_000, good_for_ms=DURATION_MS)
        for number in range(3)
    )  # fmt: skip
    licenses = tuple(
        Errand(at_ms=at_ms, host=f"host-{number}", span_ms=SPAN_MS)
        for number in range(3)
        for at_ms in (CUT_MS + 60_000 + 1_000 * number, 2_500_000)
    )
    opened = tuple(
        Errand(at_ms=2_000_000, host=f"host-{number}", errand="open") for number in range(3)
    )
    return _cut_off(seed, *ask, *licenses, *opened)


def side_by_side_busily(seed: int) -> WorldPlan:
    """The same while gates and hosts die."""
    plan = side_by_side(seed)
    names = [host.name for host in plan.hosts]
    rates = {name: RATES[name] for name in ("gate_crash", "gate_crash_writing", "host_reboot")}
    drawn = draw(rates, names, [AUTHORITY], DURATION_MS, Streams(seed))
    return replace(plan, faults=(*plan.faults, *drawn))


def reserve_without_its_say(seed: int) -> WorldPlan:
    """An opened reserve, whose authority falls silent, loses its say, and is back for a while."""
    ask = tuple(
        Errand(at_ms=200_000 + 1_000 * seed, host=f"host-{number}", authority=1, reserve=True,
               span_ms=900_000, headroom_tflop=2_000_000, good_for_ms=DURATION_MS)
        for number in range(3)
    )  # fmt: skip
    opened = tuple(replace(one, at_ms=760_000, errand="open") for one in ask)
    downs = ((0, 400_000), (1, 1_500_000), (1, DURATION_MS))
    begins_ms = (400_000, 400_000, 1_960_000)
    authorities = (AUTHORITY, OTHER_AUTHORITY)
    return replace(
        plain(seed),
        name="licensed",
        authorities=authorities,
        policy=replace(LICENSED, reserve_after_ms=300_000, reserve_span_ms=900_000),
        acts=(
            Act(at_ms=150_000, act="fallback", authority=1, fallback_ms=900_000),
            Act(at_ms=250_000, act="demote"),
        ),
        errands=(*ask, *opened),
        faults=tuple(
            Fault(at_ms=at_ms, kind="governor_crash", target=authorities[index], span_ms=span_ms)
            for at_ms, (index, span_ms) in zip(begins_ms, downs, strict=True)
        ),
        duration_ms=3_200_000,
    )


def tight_reserve(seed: int) -> WorldPlan:
    """A sealed reserve and a license of one host, while others spend all else of one small cap."""
    reserve = Errand(at_ms=200_000, host="host-1", reserve=True, span_ms=600_000,
                     headroom_tflop=3_000_000, good_for_ms=DURATION_MS)  # fmt: skip
    ask = Errand(at_ms=CUT_MS + 60_000, host="host-1", span_ms=600_000, headroom_tflop=2_000_000)
    again = replace(ask, at_ms=1_400_000, headroom_tflop=300_000)
    opened = Errand(at_ms=3_000_000, host="host-1", errand="open")
    plan = _cut_off(seed, reserve, ask, again, opened)
    budget = Budget(scope=Scope(ScopeKind.CLUSTER, "alpha"), cap_tflop=12_000_000)
    return replace(
        plan,
        faults=plan.faults[1:2],
        policy=replace(LICENSED, budgets=(budget,)),
        duration_ms=5_400_000,
    )


def vetoed(seed: int) -> WorldPlan:
    """One officer vetoes what the quorum approved: before it is given, or on its way."""
    asks = tuple(
        Errand(at_ms=200_000 + 1_000 * seed, host=f"host-{number}", vetoed=vetoed)
        for number, vetoed in enumerate(("giving", "taking", ""))
    )
    return replace(
        plain(seed), name="licensed", policy=LICENSED, errands=asks, duration_ms=SHORT_MS
    )
