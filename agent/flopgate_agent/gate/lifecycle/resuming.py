"""Begins a chain, or goes on from its end: totals, books, and the time in which no gate watched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.carried import CarriedOver
from flopgate_agent.gate.clock import HostClock
from flopgate_agent.gate.faults import KEY_REPLACED, Faults
from flopgate_agent.gate.findings import FindingLog
from flopgate_agent.gate.lanes.allowance import Allowed, allowance, ceiling_of, projected
from flopgate_agent.gate.lanes.book import LaneBook
from flopgate_agent.gate.lanes.chip_meter import ChipMeter
from flopgate_agent.gate.lanes.host_meter import HostMeter
from flopgate_agent.gate.lanes.lane import Lane
from flopgate_agent.gate.memory import LastReport, Memory
from flopgate_agent.gate.reports.answers import NOT_DURABLE, Sent, resume_answer
from flopgate_agent.gate.reports.chain import Chain
from flopgate_agent.gate.settings import GateSettings, LaneSetting, Now
from flopgate_proto.errors import ConfigError, PeerError
from flopgate_proto.limits import LANES_MAX
from flopgate_proto.values import Severity


def begin(chain: Chain, meter: HostMeter, lanes: Iterable[Lane], now_ms: int) -> None:
    """Running totals count from enrolment on: what ran before is not the authority's business."""
    meter.owe(now_ms)
    for chip in meter.chips:
        chip.begin()
    for lane in lanes:
        lane.book = LaneBook()
    chain.interval_start_ms = min(
        (chip.covered_until_ms for chip in meter.chips), default=chain.interval_start_ms
    )


def running_before(memory: Memory, settings: GateSettings, now: Now) -> int:
    """Gate running time up to this start: up to the last report, and what is known of after it.

    A gate that is killed before each report would else never grow older. No more than has passed
    since that report is believed, nor, after a reboot, than until the next one was due.
    """
    last = memory.last
    if last is None:
        return 0
    report = last.report
    if report.boot_id != settings.boot_id:
        most_ms = report.running_ms + settings.report_interval_ms
        return max(report.running_ms, min(memory.kept_ms, most_ms))
    passed_ms = max(0, now.elapsed_ms - report.made_ms)
    ran_ms = max(memory.ran_ms, memory.kept_ms)
    return max(report.running_ms, min(ran_ms, report.running_ms + passed_ms))


def least_running_ms(memory: Memory) -> int:
    """Gate running time up to this start, had one run as long as a TPM's clock did."""
    return 0 if memory.last is None else memory.last.report.running_ms + memory.off_ms


def resume_clock(
    clock: HostClock, last: LastReport | None, settings: GateSettings, faults: Faults
) -> Now:
    """Where time goes on after the last report, if that is this host's.

    A gate whose boot clock stands before its own last report starts nevertheless, and holds the
    host: one that did not start would leave the chips unwatched.
    """
    if last is None:
        return clock.now
    _check_key(last, settings, faults)
    if last.report.boot_id == settings.boot_id:
        conflict = clock.resume(last.report.made_ms, last.report.wall_unix_ms)
        if conflict is not None:
            faults.set(conflict.code, conflict.detail, conflict.remedy)
    return clock.now


def _check_key(last: LastReport, settings: GateSettings, faults: Faults) -> None:
    """A ledger is the account of one host key: under another one every report would be refused."""
    if last.report.host_id != settings.host_id:
        faults.set(
            KEY_REPLACED,
            f"this ledger is of host {last.report.host_id.hex()[:16]}, the host key in use makes "
            f"this host {settings.host_id.hex()[:16]}",
            "Put the old host key back into state_dir and restart the gate. If it is lost, join "
            "anew with an empty state_dir; the authority closes the old chain.",
        )


def resume(
    last: LastReport,
    settings: GateSettings,
    *,
    chain: Chain,
    chips: Sequence[ChipMeter],
    lanes: dict[str, Lane],
    findings: FindingLog,
    now: Now,
) -> None:
    """Put the last report's state into a fresh core.

    What lies between the last report and the first look is charged when that look comes: at the
    worst case, tightened by counters that survived (law 3). After a reboot the caller charges it
    at once, because the next report starts the clock anew.

    Raises:
        ConfigError: more workloads than one report can carry.
    """
    report = last.report
    same_boot = report.boot_id == settings.boot_id
    chain.sequence, chain.head, chain.lanes = report.sequence, last.digest, report.lanes
    if last.final:
        chain.ended = True
        chain.sent[last.digest] = Sent(
            sequence=report.sequence,
            made_ms=report.made_ms if same_boot else 0,
            allotted={},
            asked=False,
            run_nonce=report.run_nonce,
        )
    start_ms = report.interval_end_ms
    if not same_boot:
        # The time from last report to shutdown is not on this boot's clock; the wall clock bounds
        # it as far as it can be believed.
        made_wall_ms = report.wall_unix_ms - (report.made_ms - report.interval_end_ms)
        away_ms = max(0, now.wall_unix_ms - made_wall_ms)
        start_ms = min(0, now.elapsed_ms - away_ms)
        away = f"{now.elapsed_ms - start_ms} ms since the last report, charged"
        findings.add("gap.reboot", Severity.WARNING, detail=away)
    chain.interval_start_ms = max(0, start_ms)
    for chip, row in zip(chips, last.rows, strict=False):
        chip.resume(row, start_ms, same_boot=same_boot)
    for lane_report in report.lanes:
        workload = lane_report.workload
        if workload not in lanes:
            # Configured no more; its totals stay in every report, or they would go back.
            lanes[workload] = Lane(
                LaneSetting(workload=workload, chips=()), settings, (), now.elapsed_ms
            )
        lanes[workload].book = LaneBook.resumed(lane_report)
    if len(lanes) > LANES_MAX:
        raise ConfigError(
            f"{len(lanes)} workloads were ever configured here, a report carries {LANES_MAX}",
            code="config.lanes",
            remedy="Use workloads that this host served before, or enrol it anew.",
        )


def carry_over(
    kept: CarriedOver,
    authorities: Mapping[str, Authority],
    lanes: Mapping[str, Lane],
    settings: GateSettings,
    *,
    running_ms: int,
    now_ms: int,
) -> list[PeerError]:
    """Put what an earlier run of this boot was left into a fresh core; what did not hold."""
    errors: list[PeerError] = []
    done: set[str] = set()
    # The newest first: only where it did not become durable is the one before it in use.
    for answer in reversed(kept.answers):
        authority = authorities.get(answer.authority)
        if authority is None or not authority.admitted or authority.name in done:
            continue
        try:
            resume_answer(answer, authority, settings, running_ms=running_ms, now_ms=now_ms)
        except PeerError as error:
            errors.append(error)
            if error.code == NOT_DURABLE:
                continue
        done.add(authority.name)
    licensed = projected(lanes, authorities.values(), now_ms, running_ms).values()
    for name, lane in lanes.items():
        # The first look charges what ran meanwhile, before the first step.
        found = allowance(name, authorities.values(), now_ms, running_ms)
        lane.allowed = isinstance(found, Allowed) or any(name in names for names in licensed)
        lane.ceiling_tflop = ceiling_of(found, name, authorities.values(), now_ms)
    for one in kept.winding_down:
        if one.workload in lanes:
            lanes[one.workload].wind_on(one.freeze_at_ms)
    return errors
