"""The laws of DESIGN section 3, as predicates over what really happened.

Each predicate sees hardware, wires and disks (`truth`), and may look at a core only to compare it
with them. It yields what is wrong, in words. `check` runs after every event, for whatever moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flopgate_agent.gate.asking import DEFAULT_WATCHDOG_MS
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.faults import LEDGER_FAILED
from flopgate_agent.gate.states import MAY_COMPUTE
from flopgate_sim.world.engine import US_PER_MS
from flopgate_sim.world.gone_law import left_alone
from flopgate_sim.world.governor import Governor
from flopgate_sim.world.host import Host
from flopgate_sim.world.jobs import Job
from flopgate_sim.world.license_law import spent_once
from flopgate_sim.world.plan import LanePlan
from flopgate_sim.world.rung_laws import barred, opened
from flopgate_sim.world.truth import is_free, lane_flop

TFLOP = 10**12
NEWCOMER_US = 9_000 * US_PER_MS
"""From the moment a gate can see work without permission until it stands: a look (1 s), the drain
of a freeze (5 s), the enforcement bound (2 s), and a second for looks in between and for dying."""
SILENCE_US = 30_000 * US_PER_MS
"""From the end of the watchdog time to a standstill that nobody can see: the stall timeout (5 s),
the drain (5 s), kills that are repeated every 10 s, and their bound (2 s)."""
ROUNDING_TFLOP = 4
_LAST_ENTRY = "SELECT max(position) FROM log_entry"
_ON_RECORD = "SELECT host_id, sequence FROM host"
_BOOKED = "SELECT scope, settled_tflop, outstanding_tflop, unaccounted_tflop FROM budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """One law.

    Attributes:
        host, governor: predicates over one host, or one governor, that moved.
    """

    number: int
    name: str
    host: Callable[[Host, int], Iterator[str]] | None = None
    governor: Callable[[Governor, int], Iterator[str]] | None = None


def _core(host: Host) -> GateCore | None:
    return None if host.runner is None else host.runner.core


def _acting(host: Host) -> bool:
    return host.runner is not None and not host.suspended and not host.hung


# ---------------------------------------------------------------------- 1 and 6: work ends in time


def _joined(host: Host) -> list[str]:
    return [courier.authority.name for courier in host.couriers]


def _until_us(host: Host, lane: LanePlan, now_us: int) -> int:
    """Up to when all authorities that the host needs allow the lane to work."""
    needed = host.truth.needed(_joined(host), now_us)
    return min(host.truth.deadline_us.get((name, lane.workload), 0) for name in needed)


def _late_jobs(host: Host, lane: LanePlan, until_us: int) -> Iterator[tuple[Job, int]]:
    acting_us, enrolled_us = host.truth.acting_since_us, host.truth.enrolled_us
    if acting_us is None or enrolled_us is None or is_free(host):
        return
    since_us = max(acting_us, enrolled_us, host.seeing_since_us)
    if host.phases.loose_until_us:
        since_us = max(since_us, host.phases.loose_until_us + host.phases.wind_down_us)
    if host.truth.seats.back_us:
        since_us = max(since_us, host.truth.seats.back_us + host.phases.wind_down_us)
    for job in host.hardware.jobs:
        last_us = job.last_work_us
        if last_us <= until_us or job.spinning or not set(job.chips) & set(lane.chips):
            continue
        if last_us > max(job.start_us, job.woken_us, since_us) + NEWCOMER_US:
            yield job, last_us


def expiry(host: Host, now_us: int) -> Iterator[str]:
    """1: work ends within the lifetime of the request that earned it."""
    if not _acting(host):
        return
    for lane in host.plan.lanes:
        until_us = _until_us(host, lane, now_us)
        for job, last_us in _late_jobs(host, lane, until_us):
            late_ms = (last_us - until_us) // US_PER_MS
            yield f"{host.name}: process {job.pid} worked {late_ms} ms after all permission"
    yield from barred(host, now_us)


def paused_work(host: Host, now_us: int) -> Iterator[str]:
    """6: a pause that reached the gate ends work after its wind-down, until it is lifted."""
    if not _acting(host):
        return
    for digest, pause in host.truth.pauses.items():
        if pause.ends_us is not None and now_us >= pause.ends_us:
            continue
        stop_ms = pause.wind_down_ms + pause.drain_ms + 4_000
        until_us = pause.came_us + stop_ms * US_PER_MS
        if now_us <= until_us:
            continue
        for lane in host.plan.lanes:
            if str(pause.pause.scope) in host.plan.scopes_of(lane.workload):
                for job, last_us in _late_jobs(host, lane, until_us):
                    late_ms = (last_us - until_us) // US_PER_MS
                    yield (
                        f"{host.name}: process {job.pid} worked {late_ms} ms beyond the wind-down "
                        f"of pause {digest.hex()[:12]}"
                    )


def _ask(governor: Governor, question: str) -> list[Any]:
    """Rows of the store of a governor that runs."""
    return [] if governor.database is None else governor.database.execute(question).fetchall()


def _noticed(law: int) -> Callable[[Governor, int], Iterator[str]]:
    """What was found when it happened, and nothing else."""
    return lambda governor, _now_us: _found(governor, law)


def _found(governor: Governor, law: int) -> Iterator[str]:
    for number, text in governor.truth.faults:
        if number == law:
            yield text


# ---------------------------------------------------------------------- 2: the cap


def ceilings(host: Host, _now_us: int) -> Iterator[str]:
    """2: the allotted book never passes the least of what every authority ever granted."""
    core = _core(host)
    if core is None:
        return
    truth = host.truth
    joined = [name for name in _joined(host) if name not in truth.seats.ever_out]
    for lane in core.lanes.values():
        most = min(truth.ever_tflop(name, lane.workload) for name in joined)
        if lane.book.allotted_tflop > most:
            yield (
                f"{host.name}: {lane.book.allotted_tflop} TFLOP allotted in {lane.workload}, "
                f"highest ceiling {most}"
            )


def escrow(governor: Governor, now_us: int) -> Iterator[str]:
    """2: settled and outstanding stay within the cap, in the books and in what gates may use."""
    yield from _found(governor, 2)
    truth = governor.truth
    if governor.state is None or truth.lost:
        return
    found = list(_over_the_cap(governor, now_us))
    if not truth.forgetful:
        yield from found
    elif not found and not any(_forgotten(governor)):
        # Reconciled, and it has again all that it once acknowledged: judged as ever from here on.
        truth.forgetful = False


def _booked(governor: Governor) -> dict[str, tuple[int, int, int]]:
    """By scope: settled, outstanding, and without a grant."""
    return {row[0]: (row[1], row[2], int(row[3])) for row in _ask(governor, _BOOKED)}


def _over_the_cap(governor: Governor, now_us: int) -> Iterator[str]:
    truth = governor.truth
    truth.pass_time(governor.clocks.wall_unix_ms)
    truth.count_usable(now_us, anew=False)
    if any(truth.usable_tflop.get(scope, 0) > cap for scope, cap in truth.caps_tflop.items()):
        # Grants that ran out meanwhile are still in the sums.
        truth.count_usable(now_us, anew=True)
    booked = _booked(governor)
    for scope, cap in truth.caps_tflop.items():
        done, outstanding, beside = booked.get(scope, (0, 0, 0))
        if done + outstanding > cap:
            yield f"{scope}: {done} settled and {outstanding} outstanding, cap {cap} TFLOP"
        if truth.usable_tflop.get(scope, 0) > cap:
            yield f"{scope}: gates may use {truth.usable_tflop[scope]} TFLOP, cap {cap}"
        # A report can be on record although its answer never left; not one that never came.
        ended = truth.rulings.spent_tflop.get(scope, 0)
        least, most = truth.settled_tflop.get(scope, 0) + ended, truth.offered_tflop.get(scope, 0)
        # What was spent of grants that a restored store lost stands beside.
        most += truth.spent_tflop.get(scope, 0)
        if not least - (beside if truth.restores else 0) <= done <= most:
            yield f"{scope}: {done} settled in the books, {least} acknowledged, {most} reported"


# ---------------------------------------------------------------------- 3: no unmetered time


def metered(host: Host, _now_us: int) -> Iterator[str]:
    """3: after a look, both books hold at least what the chips really did."""
    truth, core = host.truth, _core(host)
    if core is None or not truth.fresh_look or not truth.asked:
        return
    truth.fresh_look = False
    if any(chip.hiding for chip in host.hardware.chips):
        truth.excused = "its driver hides work: software alone can only tell that something is odd"
    excused, truth.excused = truth.excused, ""
    truth.excused_looks += bool(excused)
    for lane in host.plan.lanes:
        book = core.lanes[lane.workload].book
        booked = book.allotted_flop + book.unaccounted_flop
        did = lane_flop(host, lane.workload)
        slack = ROUNDING_TFLOP * TFLOP + did * abs(host.clocks.drift_ppm) // 1_000_000
        if did > booked + slack:
            if excused:
                truth.baseline_flop[lane.workload] += did - booked
                continue
            missing = (did - booked) // TFLOP
            yield f"{host.name}: {missing} TFLOP of {lane.workload} are in no book"


def silence_counted(governor: Governor, _now_us: int) -> Iterator[str]:
    """3: what has no grant is in the books, and nothing is granted from what silence may hide."""
    yield from _found(governor, 3)
    if governor.state is not None and not governor.truth.restores:
        yield from governor.truth.rulings.unbooked(governor.truth, _booked(governor))


# ---------------------------------------------------------------------- 7: logged and signed


def logged(governor: Governor, _now_us: int) -> Iterator[str]:
    """7: what leaves is durable with its log entry; the log lacks nothing that was signed."""
    yield from _found(governor, 7)
    if governor.state is None:
        return
    ((last,),) = _ask(governor, _LAST_ENTRY)
    wanted = governor.state.frontier.size
    if wanted != (0 if last is None else last + 1):
        yield f"{governor.name}: the log holds {last} entries, {wanted} were signed for"


def believed(host: Host, _now_us: int) -> Iterator[str]:
    """7: a gate counts as acknowledged only what an authority really acknowledged."""
    core = _core(host)
    if core is None:
        return
    for name, authority in core.authorities.items():
        known = host.truth.acknowledged.get(name, 0)
        # One that was asked only is sent nothing: from where it follows is the host's to say.
        if authority.admitted and authority.acknowledged_sequence > known:
            yield (
                f"{host.name}: believes that {name} has report {authority.acknowledged_sequence}, "
                f"it acknowledged {known}"
            )


# ---------------------------------------------------------------------- 8: fail closed, say why


def fails_closed(host: Host, now_us: int) -> Iterator[str]:
    """8: every lane that stands says why; without a ledger or a driver nothing runs for long.

    And nothing is stopped where officers let rules only observe or warn.
    """
    for text in host.phases.broken:
        yield f"{host.name}: {text}"
    yield from left_alone(host, now_us)
    core = _core(host)
    if core is None or host.truth.enrolled_us is None:
        return
    yield from _silent(host, core)
    yield from opened(host, now_us)
    for lane in core.lanes.values():
        if lane.state in MAY_COMPUTE:
            winds_down = lane.state is lane.state.WINDING_DOWN
            if core.has_fault(LEDGER_FAILED) and not winds_down and not host.phases.loose:
                yield f"{host.name}: {lane.workload} runs without a ledger"
        elif core.permissions and not (lane.why and lane.why.reason and lane.why.way_back):
            yield f"{host.name}: {lane.workload} stands and does not say why"


def _silent(host: Host, core: GateCore) -> Iterator[str]:
    truth = host.truth
    if not host.hung or truth.acting_since_us is None or host.suspended or is_free(host):
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


def plain_words(host: Host, _now_us: int) -> Iterator[str]:
    """10: reports claim no more than stands behind them, and tell what cannot be true."""
    for text in host.truth.odd:
        yield f"{host.name}: {text}"


# ---------------------------------------------------------------------- 9: acknowledged is durable


def kept(host: Host, _now_us: int) -> Iterator[str]:
    """9: what left a gate is in its ledger when it comes back."""
    truth = host.truth
    started, truth.started_sequence = truth.started_sequence, None
    if truth.loose:
        yield f"{host.name}: {truth.loose}"
    if started is not None and started < truth.left_sequence:
        yield f"{host.name}: comes back at report {started}, {truth.left_sequence} had left"


def remembered(governor: Governor, _now_us: int) -> Iterator[str]:
    """9: what a governor acknowledged is on record when it comes back."""
    truth = governor.truth
    if not truth.just_started or governor.state is None:
        return
    truth.just_started = False
    yield from _found(governor, 9)
    if not truth.forgetful:
        yield from _forgotten(governor)


def _forgotten(governor: Governor) -> Iterator[str]:
    """Reports that it acknowledged and does not have."""
    found = dict(_ask(governor, _ON_RECORD))
    for host_id, one in governor.truth.hosts.items():
        acknowledged = one.truth.acknowledged.get(governor.name, 0)
        if found.get(host_id, 0) < acknowledged:
            yield (
                f"{governor.name}: knows {one.name} up to report {found.get(host_id, 0)}, "
                f"acknowledged {acknowledged}"
            )


LAWS = (
    Law(number=1, name="expiry", host=expiry),
    Law(number=2, name="the cap", host=ceilings, governor=escrow),
    Law(number=3, name="no unmetered time", host=metered, governor=silence_counted),
    Law(number=4, name="one history", governor=_noticed(4)),
    Law(number=5, name="a license is spent once", host=spent_once, governor=_noticed(5)),
    Law(number=6, name="pause is cheap", host=paused_work, governor=_noticed(6)),
    Law(number=7, name="nothing unlogged or unsigned", host=believed, governor=logged),
    Law(number=8, name="fail closed, say why", host=fails_closed, governor=_noticed(8)),
    Law(number=9, name="acknowledged is durable", host=kept, governor=remembered),
    Law(
        number=10,
        name="nothing trusts the host's word alone",
        host=plain_words,
        governor=_noticed(10),
    ),
)


_OF_HOST = [(law, law.host) for law in LAWS if law.host is not None]
_OF_GOVERNOR = [(law, law.governor) for law in LAWS if law.governor is not None]


def broken_by_host(host: Host, now_us: int) -> Iterator[tuple[Law, str]]:
    """Laws that one host broke."""
    host.phases.look(now_us)
    for law, broken in _OF_HOST:
        for text in broken(host, now_us):
            yield law, text


def broken_by_governor(governor: Governor, now_us: int) -> Iterator[tuple[Law, str]]:
    """Laws that one governor broke."""
    for law, broken in _OF_GOVERNOR:
        for text in broken(governor, now_us):
            yield law, text
