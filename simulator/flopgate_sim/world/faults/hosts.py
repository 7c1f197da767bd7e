"""What befalls hosts: their machines, links, disks, chips, clocks and jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from flopgate_agent.counters.client import ANSWER_TIMEOUT_MS
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_sim.world.faults.bending import bend
from flopgate_sim.world.faults.disks import disk_error, disk_full
from flopgate_sim.world.hardware import cutting
from flopgate_sim.world.hardware.chips import Chip
from flopgate_sim.world.hosts.gate_side import GATE_RESTART_US
from flopgate_sim.world.hosts.host import BOOT_US, Host
from flopgate_sim.world.nature.engine import US_PER_MS, US_PER_S
from flopgate_sim.world.nature.network import DOWN, UP
from flopgate_sim.world.plan import Fault

if TYPE_CHECKING:
    from flopgate_sim.world.world import World

WALL_STEP_SEEN_MS = 5_000
"""Beyond what drift allows between two comparisons of the gate."""
MADE_ANEW = 6
"""While a chip is cut, its instances are destroyed and made again so often, less once."""
SEEN_WITHIN_MS = 600_000
"""A jump is beyond all doubt when the chip could not have counted so far in this time."""


def _host(world: World, fault: Fault) -> Host:
    found = world.named(fault.target)
    if not isinstance(found, Host):
        raise TypeError(fault.target)
    return found


def _gate_crash(world: World, fault: Fault) -> None:
    _host(world, fault).restart_gate_soon("kill -9", GATE_RESTART_US + fault.span_ms * US_PER_MS)


def _gate_crash_writing(world: World, fault: Fault) -> None:
    _host(world, fault).disk.fail_at(fault.value)


def _courier_crash(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    for courier in host.couriers:
        courier.kill()
        world.engine.after(
            fault.span_ms * US_PER_MS, "courier start", partial(_revive, host, courier)
        )


def _revive(host: Host, courier: object) -> None:
    for one in host.couriers:
        if one is courier and one.core is None and host.up:
            one.start()


def _reboot(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    if host.up and not host.suspended:
        host.power_off("reboot", clean=True)
        world.engine.after(BOOT_US + fault.span_ms * US_PER_MS, "boot", host.boot)


def _power_loss(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    if host.up and not host.suspended:
        host.power_off("power loss", clean=False)
        world.engine.after(BOOT_US + fault.span_ms * US_PER_MS, "boot", host.boot)


def _suspend(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    if host.up and not host.suspended:
        host.suspend()
        world.engine.after(fault.span_ms * US_PER_MS, "resume", host.resume)


def _cut(world: World, fault: Fault, directions: frozenset[str]) -> None:
    host = _host(world, fault)
    for courier in host.couriers:
        courier.link.cut |= directions
        courier.broken()
    world.engine.after(fault.span_ms * US_PER_MS, "mended", partial(_mend, host, directions))


def _mend(host: Host, directions: frozenset[str]) -> None:
    for courier in host.couriers:
        courier.link.cut -= directions


def _lossy(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    for courier in host.couriers:
        courier.link.lossy_percent = float(fault.value)
    world.engine.after(fault.span_ms * US_PER_MS, "mended", partial(_clear, host))


def _clear(host: Host) -> None:
    for courier in host.couriers:
        courier.link.lossy_percent = 0.0


def _host_disk_full(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    disk_full(world, fault)
    # Law 8: without a ledger the gate stands until somebody starts it anew.
    mended_us = fault.span_ms * US_PER_MS + US_PER_S
    world.engine.after(mended_us, "operator", partial(host.restart_gate_soon, "the disk has room"))


def _host_disk_error(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    disk_error(world, fault)
    world.engine.after(60 * US_PER_S, "operator", partial(host.restart_gate_soon, "a disk error"))


def _gpu_lost(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    host.hardware.advance(world.engine.now_us)
    host.hardware.chips[fault.value % len(host.hardware.chips)].lost = True
    host.truth.let_go()


def _sampler_hang(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    if not host.hung:
        host.hang()
        world.engine.after(fault.span_ms * US_PER_MS, "sampler", host.unhang)


def _chip_hang(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    host.hardware.advance(world.engine.now_us)
    chip = host.hardware.chips[fault.value % len(host.hardware.chips)]
    chip.hung = True
    host.truth.let_go()
    world.engine.after(fault.span_ms * US_PER_MS, "chip answers", partial(_unhang, world, chip))
    if not host.hung:
        # Until the sampler is given up and another one leaves that chip alone, nothing is read.
        host.hang()
        world.engine.after(ANSWER_TIMEOUT_MS * US_PER_MS, "sampler", host.unhang)


def _unhang(world: World, chip: Chip) -> None:
    chip.hung, chip.open_us = False, world.engine.now_us


def _mig_on(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    layout, which = divmod(fault.value, len(host.hardware.chips))
    chip = host.hardware.chips[which]
    _cut_up(world, host, chip, mig=True, layout=layout % 3)
    renewed = partial(_cut_anew, world, host, chip)
    for number in range(1, MADE_ANEW):
        at_us = fault.span_ms * US_PER_MS * number // MADE_ANEW
        world.engine.after(at_us, "instances made anew", renewed)
    whole = partial(_cut_up, world, host, chip, mig=False, layout=cutting.UNREADABLE)
    world.engine.after(fault.span_ms * US_PER_MS, "a whole chip", whole)


def _cut_up(world: World, host: Host, chip: Chip, *, mig: bool, layout: int) -> None:
    """A change of the mode resets the chip, so that its counters tell of it whenever it came."""
    host.hardware.advance(world.engine.now_us)
    if chip.mig != mig:
        chip.mig, chip.layout = mig, layout
        host.hardware.reset_counters(chip)


def _cut_anew(world: World, host: Host, chip: Chip) -> None:
    host.hardware.advance(world.engine.now_us)
    cutting.renew(chip, world.engine.now_us)


def _counter_jump(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    chip = host.hardware.chips[fault.value % len(host.hardware.chips)]
    chip.jump_cycles += fault.value * 10**9
    limit = chip.spec.max_clock_khz * chip.spec.sm_count * SEEN_WITHIN_MS
    seen = (
        chip.gpm
        and not chip.percent
        and not (chip.lost or chip.hung or chip.mig)
        and host.runner is not None
        and not host.hung
    )
    if fault.value * 10**9 > limit and seen:
        host.truth.jumped(host.clocks.elapsed_ms)


def _driver_reload(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    host.hardware.advance(world.engine.now_us)
    for chip in host.hardware.chips:
        host.hardware.reset_counters(chip)


def _wall_step(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    host.clocks.wall_offset_ms += fault.value * 1000
    if abs(fault.value) * 1000 > WALL_STEP_SEEN_MS and host.runner is not None:
        host.truth.wall_stepped()
    if fault.value < 0:
        host.truth.doubtful_at = host.truth.sequence


def _boot_clock_back(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    host.step_boot_clock(-fault.value)


def _job_ends(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    for lane in host.plan.lanes:
        host.stop_job(lane)
        world.engine.after(fault.span_ms * US_PER_MS, "job", partial(host.start_job, lane))


def _job_joins(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    lane = host.plan.lanes[fault.value % len(host.plan.lanes)]
    if host.up and not host.suspended and host.hardware.admits(lane.chips):
        host.hardware.start(lane.chips, world.engine.now_us, **lane.job_options())


def _rungs_undone(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    if host.up and not host.suspended:
        host.undo_rungs()
        _job_joins(world, fault)


def _job_forks(world: World, fault: Fault) -> None:
    for job in _host(world, fault).hardware.jobs:
        job.forks = fault.value


def _bent(world: World, fault: Fault) -> None:
    bend(world, _host(world, fault), fault)


def _ledger_restore(world: World, fault: Fault) -> None:
    host = _host(world, fault)
    snapshot, taken_us = host.disk.snapshot(), world.engine.now_us

    def restore() -> None:
        host.restore_ledger(snapshot, taken_us)

    world.engine.after(fault.span_ms * US_PER_MS, "ledger restored", restore)


def _retire(world: World, fault: Fault) -> None:
    _host(world, fault).wish(pb.ToGate(retire=pb.Retire()))


OF_HOSTS: Mapping[str, Callable[[World, Fault], None]] = {
    "gate_crash": _gate_crash,
    "gate_crash_writing": _gate_crash_writing,
    "courier_crash": _courier_crash,
    "host_reboot": _reboot,
    "power_loss": _power_loss,
    "suspend": _suspend,
    "partition": partial(_cut, directions=frozenset({UP, DOWN})),
    "one_way_up": partial(_cut, directions=frozenset({UP})),
    "one_way_down": partial(_cut, directions=frozenset({DOWN})),
    "lossy": _lossy,
    "disk_full": _host_disk_full,
    "disk_error": _host_disk_error,
    "ledger_restore": _ledger_restore,
    "gpu_lost": _gpu_lost,
    "sampler_hang": _sampler_hang,
    "chip_hang": _chip_hang,
    "mig_on": _mig_on,
    "counter_jump": _counter_jump,
    "driver_reload": _driver_reload,
    "wall_step": _wall_step,
    "boot_clock_back": _boot_clock_back,
    "rungs_undone": _rungs_undone,
    "job_ends": _job_ends,
    "job_joins": _job_joins,
    "job_forks": _job_forks,
    "host_retires": _retire,
    "courier_forges": _bent,
    "courier_replays": _bent,
    "courier_loosens": _bent,
    "courier_keeps": _bent,
    "roots_dropped": _bent,
    "host_lies": _bent,
    "revoked_answers": _bent,
    "numbers_made_up": _bent,
}
"""What each kind does that befalls a host."""
