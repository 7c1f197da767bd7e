"""Laws over one host: what it did, and when; see `table`.

They are asked after every event, for whatever moved: what nearly always finds nothing makes no
generator to say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.faults import LEDGER_FAILED
from flopgate_agent.gate.lanes.asking import DEFAULT_WATCHDOG_MS
from flopgate_agent.gate.lanes.states import MAY_COMPUTE
from flopgate_proto.values import LaneState
from flopgate_sim.world.hardware.jobs import Job
from flopgate_sim.world.hosts.host import Host
from flopgate_sim.world.laws.gone import left_alone
from flopgate_sim.world.laws.rungs import barred, opened
from flopgate_sim.world.nature.engine import US_PER_MS
from flopgate_sim.world.plan import LanePlan
from flopgate_sim.world.truths.host import is_free
from flopgate_sim.world.truths.licenses import chips_flop

TFLOP = 10**12
NEWCOMER_US = 9_000 * US_PER_MS
"""From the moment a gate can see work without permission until it stands: a look (1 s), the drain
of a freeze (5 s), the enforcement bound (2 s), and a second for looks in between and for dying."""
UNSEEN_NEWCOMER_US = 13_000 * US_PER_MS
"""The same where none of its chips can be read: nobody sees that it came, and it is met by a kill
that is repeated every 10 s, with its bound (2 s), and a second for looks and for dying."""
SILENCE_US = 30_000 * US_PER_MS
"""From the end of the watchdog time to a standstill that nobody can see: the stall timeout (5 s),
the drain (5 s), kills that are repeated every 10 s, and their bound (2 s)."""
ROUNDING_TFLOP = 4


def _core(host: Host) -> GateCore | None:
    return None if host.runner is None else host.runner.core


def _acting(host: Host) -> bool:
    return host.runner is not None and not host.suspended and not host.hung


# ---------------------------------------------------------------------- 1 and 6: work ends in time


def _late_since_us(host: Host) -> int | None:
    """From when on work without permission counts; ``None``: nobody rules the host, or sees it."""
    truth, phases = host.truth, host.phases
    if truth.acting_since_us is None or truth.enrolled_us is None or is_free(host):
        return None
    since_us = max(truth.acting_since_us, truth.enrolled_us, host.seeing_since_us)
    if phases.loose_until_us:
        since_us = max(since_us, phases.loose_until_us + phases.wind_down_us)
    if truth.seats.back_us:
        since_us = max(since_us, truth.seats.back_us + phases.wind_down_us)
    return since_us


def _late_jobs(host: Host, lane: LanePlan, until_us: int, since_us: int) -> list[tuple[Job, int]]:
    """Jobs on the lane's chips that worked after that, with their last work."""
    return [
        (job, job.last_work_us)
        for job in host.hardware.jobs
        if job.last_work_us > until_us
        and not job.spinning
        and job.last_work_us > max(job.start_us, job.woken_us, since_us) + _newcomer_us(host, job)
        and set(job.chips) & set(lane.chips)
    ]


def _newcomer_us(host: Host, job: Job) -> int:
    """How long it may work after it came or woke."""
    chips = (host.hardware.chips[index] for index in job.chips)
    return NEWCOMER_US if any(not (one.lost or one.hung) for one in chips) else UNSEEN_NEWCOMER_US


def expiry(host: Host, now_us: int) -> Iterable[str]:
    """1: work ends within the lifetime of the request that earned it."""
    if not _acting(host):
        return ()
    late = () if is_allowed(host, now_us) else late_work(host, now_us)
    return [*late, *barred(host, now_us)]


def is_allowed(host: Host, now_us: int) -> bool:
    """Whether everybody who may have a say allows every lane to work now: no work can be late."""
    truth = host.truth
    if truth.seats.said:
        return False
    for lane in host.plan.lanes:
        for name in host.joined:
            if truth.deadline_us.get((name, lane.workload), 0) < now_us:
                return False
    return True


def late_work(host: Host, now_us: int) -> Iterator[str]:
    """Work that nobody allows any more."""
    truth = host.truth
    needed, since_us = truth.needed(host.joined, now_us), _late_since_us(host)
    if since_us is None:
        return
    for lane in host.plan.lanes:
        # Up to when all authorities that the host needs allow the lane to work.
        until_us = min([truth.deadline_us.get((name, lane.workload), 0) for name in needed])
        for job, last_us in _late_jobs(host, lane, until_us, since_us):
            late_ms = (last_us - until_us) // US_PER_MS
            yield f"{host.name}: process {job.pid} worked {late_ms} ms after all permission"


def paused_work(host: Host, now_us: int) -> Iterable[str]:
    """6: a pause that reached the gate ends work after its wind-down, until it is lifted."""
    since_us = _late_since_us(host) if host.truth.pauses and _acting(host) else None
    if since_us is None:
        return ()
    found: list[str] = []
    for digest, pause in host.truth.pauses.items():
        if pause.ends_us is not None and now_us >= pause.ends_us:
            continue
        stop_ms = pause.wind_down_ms + pause.drain_ms + 4_000
        until_us = pause.came_us + stop_ms * US_PER_MS
        if now_us <= until_us:
            continue
        for lane in host.plan.lanes:
            if str(pause.pause.scope) in host.plan.scopes_of(lane.workload):
                for job, last_us in _late_jobs(host, lane, until_us, since_us):
                    late_ms = (last_us - until_us) // US_PER_MS
                    found.append(
                        f"{host.name}: process {job.pid} worked {late_ms} ms beyond the wind-down "
                        f"of pause {digest.hex()[:12]}"
                    )
    return found


# ---------------------------------------------------------------------- 2: the cap


def ceilings(host: Host, _now_us: int) -> Iterable[str]:
    """2: the allotted book never passes the least of what every authority ever granted."""
    found: list[str] = []
    core = _core(host)
    if core is None:
        return found
    truth = host.truth
    ceiling_tflop, ever_out = truth.ceiling_tflop, truth.seats.ever_out
    for lane in core.lanes.values():
        allotted = lane.book.allotted_tflop
        for name in host.joined:
            # Reserves, which are on top, are added up only where that matters.
            if allotted <= ceiling_tflop.get((name, lane.workload), 0) or name in ever_out:
                continue
            if allotted > truth.ever_tflop(name, lane.workload):
                joined = [one for one in host.joined if one not in ever_out]
                most = min(truth.ever_tflop(one, lane.workload) for one in joined)
                text = f"{allotted} TFLOP allotted in {lane.workload}, highest ceiling {most}"
                found.append(f"{host.name}: {text}")
                break
    return found


# ---------------------------------------------------------------------- 3: no unmetered time


def metered(host: Host, _now_us: int) -> Iterable[str]:
    """3: after a look, both books hold at least what the chips really did."""
    truth, core = host.truth, _core(host)
    if core is None or not truth.fresh_look or not truth.asked:
        return ()
    found: list[str] = []
    truth.fresh_look = False
    if [chip for chip in host.hardware.chips if chip.hiding]:
        truth.excused = "its driver hides work: software alone can only tell that something is odd"
    excused, truth.excused = truth.excused, ""
    truth.excused_looks += bool(excused)
    for lane in host.plan.lanes:
        book = core.lanes[lane.workload].book
        booked = book.allotted_flop + book.unaccounted_flop
        did = chips_flop(host, lane.chips) - truth.baseline_flop.get(lane.workload, 0)
        slack = ROUNDING_TFLOP * TFLOP + did * abs(host.clocks.drift_ppm) // 1_000_000
        if did > booked + slack:
            if excused:
                truth.baseline_flop[lane.workload] += did - booked
                continue
            missing = (did - booked) // TFLOP
            found.append(f"{host.name}: {missing} TFLOP of {lane.workload} are in no book")
    return found


# ---------------------------------------------------------------------- 5: licenses


def spent_once(host: Host, now_us: int) -> Iterable[str]:
    """5: a license is spent once: its FLOP, its span, up to its end, and not after it went back."""
    licenses = host.truth.licenses
    return licenses.broken(host, now_us) if licenses.judged else ()


# ---------------------------------------------------------------------- 7: logged and signed


def believed(host: Host, _now_us: int) -> Iterable[str]:
    """7: a gate counts as acknowledged only what an authority really acknowledged."""
    found: list[str] = []
    core = _core(host)
    if core is None:
        return found
    for name, authority in core.authorities.items():
        known = host.truth.acknowledged.get(name, 0)
        # One that was asked only is sent nothing: from where it follows is the host's to say.
        if authority.admitted and authority.acknowledged_sequence > known:
            found.append(
                f"{host.name}: believes that {name} has report {authority.acknowledged_sequence}, "
                f"it acknowledged {known}"
            )
    return found


# ---------------------------------------------------------------------- 8: fail closed, say why


def fails_closed(host: Host, now_us: int) -> Iterable[str]:
    """8: every lane that stands says why; without a ledger or a driver nothing runs for long.

    And nothing is stopped where officers let rules only observe or warn.
    """
    found = [f"{host.name}: {text}" for text in (*host.phases.broken, *host.truth.keys.faults)]
    if host.lockdown is not None:
        found += left_alone(host, now_us)
    core = _core(host)
    if core is None or host.truth.enrolled_us is None:
        return found
    if host.hung:
        found += _silent(host, core)
    if host.hardware.changed:
        found += opened(host, now_us)
    unledgered = core.has_fault(LEDGER_FAILED) and not host.phases.loose
    for lane in core.lanes.values():
        if lane.state in MAY_COMPUTE:
            if unledgered and lane.state is not LaneState.WINDING_DOWN:
                found.append(f"{host.name}: {lane.workload} runs without a ledger")
        elif core.permissions and not (lane.why and lane.why.reason and lane.why.way_back):
            found.append(f"{host.name}: {lane.workload} stands and does not say why")
    return found


def _silent(host: Host, core: GateCore) -> Iterator[str]:
    truth = host.truth
    if truth.acting_since_us is None or host.suspended or is_free(host):
        return
    policies = [one.policy for one in core.authorities.values() if one.policy is not None]
    watchdog_ms = min((policy.watchdog_ms for policy in policies), default=DEFAULT_WATCHDOG_MS)
    if host.asked_us < host.hung_since_us:
        return  # nobody wanted to know yet, nor had to
    since_us = max(
        host.asked_us,
        truth.acting_since_us,
        host.seeing_since_us,
        truth.enrolled_us or 0,
        host.phases.loose_until_us,
    )
    until_us = since_us + watchdog_ms * US_PER_MS + SILENCE_US
    for job in host.hardware.jobs:
        if not job.spinning and job.last_work_us > max(until_us, job.start_us + SILENCE_US):
            yield f"{host.name}: process {job.pid} works on, though the driver is silent"


# ---------------------------------------------------------------------- 10: no claim, no silence


def plain_words(host: Host, _now_us: int) -> Iterable[str]:
    """10: reports claim no more than stands behind them, and tell what cannot be true."""
    odd = host.truth.odd
    return [f"{host.name}: {text}" for text in odd] if odd else ()


# ---------------------------------------------------------------------- 9: acknowledged is durable


def kept(host: Host, _now_us: int) -> Iterable[str]:
    """9: what left a gate is in its ledger when it comes back."""
    truth = host.truth
    if truth.started_sequence is None and not truth.loose:
        return ()
    found: list[str] = []
    started, truth.started_sequence = truth.started_sequence, None
    if truth.loose:
        found.append(f"{host.name}: {truth.loose}")
    if started is not None and started < truth.left_sequence:
        text = f"comes back at report {started}, {truth.left_sequence} had left"
        found.append(f"{host.name}: {text}")
    return found
