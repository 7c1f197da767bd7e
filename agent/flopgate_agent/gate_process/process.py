"""The gate's process: one thread, one selector, the core in the middle. Opens no network socket.

What it owns: sampler child, ledger, door, enforcement. Everything is decided in `gate.core`.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Final

from flopgate_agent.clocks import read_boot_id
from flopgate_agent.config import GateConfig, load_gate, load_gate_tokens
from flopgate_agent.counters.client import SamplerClient, child_environment
from flopgate_agent.counters.frames import DriverError, Identities, Samples, Unreadable
from flopgate_agent.counters.sample import ChipIdentity as NvmlIdentity
from flopgate_agent.counters.topology_client import TopologyClient
from flopgate_agent.enforcement import Enforcer
from flopgate_agent.enforcement.chips import chip_limits
from flopgate_agent.enforcement.chips.device_filter import settle_filters
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.faults import DRIVER_SILENT
from flopgate_agent.gate.lifecycle.enrolling import enrolled_chips
from flopgate_agent.gate.settings import GateSettings, Now
from flopgate_agent.gate_process.announcing import Announcer
from flopgate_agent.gate_process.declaring import with_declared
from flopgate_agent.gate_process.gate_door import GateDoor
from flopgate_agent.gate_process.hand import Hand
from flopgate_agent.gate_process.host import free_bytes, read_clocks
from flopgate_agent.gate_process.host_chips import newcomer, tell_unnamed
from flopgate_agent.gate_process.host_settings import (
    enforcer_config,
    lane_chips,
    lane_globs,
    make_settings,
    reach_of,
    records_dir,
)
from flopgate_agent.gate_process.identity import anchored, open_identity
from flopgate_agent.gate_process.jobs_door import JobsDoor
from flopgate_agent.gate_process.kept_memory import KeptMemory
from flopgate_agent.gate_process.lease_keeper import LeaseKeeper
from flopgate_agent.gate_process.lockdown_told import LockdownTold
from flopgate_agent.gate_process.ran_file import RanFile
from flopgate_agent.gate_process.runner import OWNERS, Doer, GateRunner, answered, log_refused
from flopgate_agent.gate_process.service_manager import ServiceManager
from flopgate_agent.gate_process.status_file import StatusFile, status_path
from flopgate_agent.gate_process.tpm_looking import TpmLooking
from flopgate_agent.ledger import Ledger
from flopgate_agent.lockdown.lease import boot_lease_path, is_watched, lease_path
from flopgate_agent.logs import FIELDS, log_json
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Severity

SNAPSHOT_MS: Final = 1000
DRIVER_WAIT_MS: Final = 30_000
"""An enrolled host whose driver has not said what chips there are is held after this long."""
STOP_MS_MAX: Final = 15_000
"""Longest wait for standstill when the gate is told to stop."""
_LOG: Final = logging.getLogger("flopgate.gate")


HandMaker = Callable[[GateConfig, GateSettings, Sequence[NvmlIdentity]], Doer]


def make_hand(config: GateConfig, settings: GateSettings, found: Sequence[NvmlIdentity]) -> Hand:
    """The hand that stops processes on this host."""
    how = enforcer_config(config, settings)
    enforcer = Enforcer(how)
    env, boot_id = child_environment(os.environ), settings.boot_id.hex()
    limits = chip_limits(how, enforcer.capabilities, env, boot_id)
    globs, chips = lane_globs(config, settings, found), lane_chips(settings)
    return Hand(enforcer, globs, chips, limits, Announcer(config.notice_socket))


class GateProcess:
    """Everything that a running gate holds open."""

    def __init__(self, config: GateConfig, hand_maker: HandMaker) -> None:
        self._config = config
        self._hand_maker = hand_maker
        self._stopping = False
        self._manager = ServiceManager(os.environ, os.getpid())
        self._kept = KeptMemory(self._manager)
        self._lease_path = lease_path(config.door_path)
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        self._selector.register(self._wake_r, selectors.EVENT_READ, "wake")
        self._ledger = Ledger(config.state_dir / "ledger.sqlite", config.ledger_bytes_max)
        # A token that cannot be used is told now, not when the driver has named its chips.
        self._tokens = load_gate_tokens(config.state_dir)
        self._memory = self._ledger.load()
        self._identity = open_identity(config.state_dir, config.tpm, os.environ)
        self._anchored = anchored(self._ledger, self._identity, self._memory)
        if self._anchored is not None:
            self._memory = replace(self._memory, off_ms=self._anchored.off_ms)
        self._tpm_looking = TpmLooking(self._anchored, self._memory)
        self._enrolled = enrolled_chips(self._memory)
        self._hold_at_ms: int | None = None
        self._door = GateDoor(
            config.door_path,
            config.courier_uids,
            owner_uids={0, os.geteuid()},
            gid=config.door_gid,
        )
        self._door.register(self._selector)
        self._sampler = SamplerClient(env=child_environment(os.environ))
        self._selector.register(self._sampler, selectors.EVENT_READ, "sampler")
        self._jobs = JobsDoor(config, self._selector, read_clocks().elapsed_ms)
        self._topology = TopologyClient(env=child_environment(os.environ))
        self._runner: GateRunner | None = None
        self._lease: LeaseKeeper | None = None
        self._status = StatusFile(status_path(config.door_path), read_boot_id().hex())
        self._ran = RanFile(config.state_dir / "running")
        self._told = LockdownTold(records_dir(config), read_boot_id().hex())
        self._next_snapshot_ms = 0
        self._looked_ms = 0
        self._unnamed: tuple[Unreadable, ...] = ()

    def run(self) -> int:
        """Serve until a signal says stop; exit status."""
        signal.set_wakeup_fd(self._wake_w.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        now = read_clocks()
        if self._enrolled:
            self._hold_at_ms = now.elapsed_ms + DRIVER_WAIT_MS
        config = self._config
        settle_filters(records_dir(config), wanted=config.cgroup and config.device_filter)
        self._sampler.start(now.elapsed_ms)
        self._manager.ready()
        while not self._stopping:
            self._turn()
        self._manager.stopping()
        self._stop_lanes()
        if self._runner is not None:
            self._runner.hand.close(read_clocks().elapsed_ms)
            now = read_clocks()
            self._renew_lease(self._runner, now)
            self._show(self._runner, now)
            self._ran.write(self._runner.core, now.elapsed_ms, ending=True)
        if self._lease is not None:
            self._lease.close()
        self._sampler.close()
        self._topology.close()
        self._identity.close()
        self._door.close()
        self._jobs.close()
        self._ledger.close()
        return 0

    def _turn(self) -> None:
        timeout_ms = min(max(0, self._next_wake_ms() - read_clocks().elapsed_ms), SNAPSHOT_MS)
        for key, _events in self._selector.select(timeout_ms / 1000):
            self._on_ready(key)
        self._tick(read_clocks())

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        _LOG.info("stopping on signal %d", number)
        self._stopping = True

    def _stop_lanes(self) -> None:
        """Leave nothing running behind: hold every lane, and watch until it stands still.

        Where the next run finds what this one was permitted, and somebody else stops the lanes
        when it does not come, they run on.
        """
        runner = self._runner
        if runner is None or not runner.core.enrolled:
            return
        if self._outlives:
            _LOG.info("lanes run on: the next gate or the lock-down sees to them")
            # The fewer the next one has to make up for, the better.
            runner.core.chain.overdue = True
            runner.enter(runner.core.handle_timer)
            return
        reason, text = "gate.stopped", "the gate was told to stop"
        runner.enter(runner.core.fault, reason, text, "Start the gate again.")
        give_up_ms = read_clocks().elapsed_ms + STOP_MS_MAX
        while runner.core.must_stand and read_clocks().elapsed_ms < give_up_ms:
            self._turn()
        if not runner.core.must_stand:
            runner.enter(runner.core.settle_reserved)

    @property
    def _outlives(self) -> bool:
        """Whether what is permitted, and whoever stops the lanes, are there without this run."""
        runner = self._runner
        found = self._kept.stored or (runner is not None and runner.core.runs_on_licenses)
        return found and is_watched(self._lease_path)

    def _next_wake_ms(self) -> int:
        times = [self._next_snapshot_ms]
        if (sampler_ms := self._sampler.get_timer()) is not None:
            times.append(sampler_ms)
        if self._runner is None:
            times += [] if self._hold_at_ms is None else [self._hold_at_ms]
        else:
            times.append(self._runner.core.get_timer())
            if not self._sampler.waiting:
                look_ms = self._next_look_ms(self._runner.core)
                times.append(max(look_ms, self._sampler.get_timer() or 0))
        return min(times)

    def _next_look_ms(self, core: GateCore) -> int:
        """A steady rhythm shows early what the core could wait for; it says when it cannot."""
        return min(core.look_by_ms, self._looked_ms + self._config.sample_interval_ms)

    def _on_ready(self, key: selectors.SelectorKey) -> None:
        now = read_clocks()
        if key.data == "wake":
            self._wake_r.recv(64)
        elif key.data == "sampler":
            for message in self._sampler.on_readable(now.elapsed_ms):
                self._on_sampler(message, now)
        elif self._jobs.owns(key):
            core = self._runner.core if self._runner else None
            self._jobs.on_ready(key, core, kept=self._outlives, now_ms=now.elapsed_ms)
            self._stopping = self._stopping or self._jobs.moved
        else:
            for client_id, incoming in self._door.on_ready(key):
                self._on_courier(client_id, incoming, now)

    def _on_sampler(self, message: Identities | Samples | DriverError, now: Now) -> None:
        match message:
            case Identities():
                self._unnamed = message.unreadable
                if self._runner is None:
                    self._start(message.chips, message.driver_version, now)
                else:
                    self._runner.core.meter.reopened()
                    self._compare_chips(self._runner, message)
            case Samples():
                if self._runner is not None:
                    tell_unnamed(self._runner.core, self._unnamed)
                    self._runner.enter(self._runner.core.samples, message.samples)
            case DriverError():
                _LOG.warning(
                    "NVML says %s: nothing can be metered; check NVIDIA's driver with nvidia-smi",
                    message.name,
                )

    def _compare_chips(self, runner: GateRunner, message: Identities) -> None:
        """What came since the start cannot be metered in this run: stop, and start anew."""
        new = newcomer(runner.core, message)
        if new is not None and not runner.core.has_fault("host.chips-changed"):
            detail = f"chip {new} was not here when the gate started"
            runner.enter(runner.core.fault, "host.chips-changed", detail, "Restart the gate.")

    def _hold_unseen(self, now: Now) -> None:
        """The driver hangs since the start: what computes on an enrolled host must stop (law 8)."""
        runner = self._start((), "", now)
        detail = "the driver has said nothing since the gate started"
        _LOG.error("%s: %s; all lanes are held", DRIVER_SILENT, detail)
        way_back = "Check the driver, then restart the gate."
        runner.enter(runner.core.fault, DRIVER_SILENT, detail, way_back)

    def _start(self, found: Sequence[NvmlIdentity], driver_version: str, now: Now) -> GateRunner:
        config = self._config
        settings = make_settings(config, found, driver_version, self._enrolled, self._identity)
        lanes = with_declared(settings.lanes, settings.chips, self._jobs.declared)
        settings = replace(settings, witness=self._anchored, lanes=lanes)
        # Before the hand: a lock-down at work must have ended when it takes over what is held.
        lease = LeaseKeeper(
            self._lease_path,
            boot_lease_path(config.state_dir),
            settings.boot_id.hex(),
            now.elapsed_ms,
        )
        lease.reach(enforcer_config(config, settings), reach_of(config, settings, found))
        self._lease = lease
        hand = self._hand_maker(config, settings, found)
        memory = replace(self._memory, ran_ms=lease.ran_ms, kept_ms=self._ran.ran_ms)
        core = GateCore(settings, memory, self._tokens, now)
        self._carry_over(core, lease, now)
        self._told.tell(core)
        for told in self._anchored.findings if self._anchored else ():
            core.findings.add(told.id, told.severity, detail=told.detail)
        keeper = self._anchored or self._ledger
        quoting, leave = self._identity.quoting, self._kept.write_ahead
        self._runner = GateRunner(
            core, keeper, hand, self._door, read_clocks, quoting=quoting, leave=leave
        )
        self._protect_children()
        fields = {
            "host": settings.host_id.hex(),
            "chips": [chip.identity.name for chip in settings.chips],
        }
        _LOG.info("gate is up", extra={FIELDS: fields})
        self._next_snapshot_ms = 0
        return self._runner

    def _carry_over(self, core: GateCore, lease: LeaseKeeper, now: Now) -> None:
        """What the run before this one was permitted goes on."""
        kept = self._kept.read()
        on_time = [one for one in kept.winding_down if lease.in_time(one.workload, now.elapsed_ms)]
        for error in core.carry_over(replace(kept, winding_down=tuple(on_time))):
            log_refused(error)

    def _protect_children(self) -> None:
        """They hold the device nodes open, and hold no context."""
        if self._runner is not None:
            pids = (self._sampler.pid, self._topology.pid, self._identity.pid)
            self._runner.hand.protect([pid for pid in pids if pid is not None])

    def _look_around(self, runner: GateRunner, now: Now) -> None:
        """The topology, off the hot path: whatever it takes, metering goes on."""
        core = runner.core
        seen = self._topology.handle_timer(now.elapsed_ms)
        if self._topology.pid is not None:
            self._protect_children()
        if isinstance(seen, str):
            core.findings.add("topology.unreadable", Severity.WARNING, detail=seen)
        elif seen is not None:
            core.chain.topology.take(seen, core.findings)

    def _tick(self, now: Now) -> None:
        self._manager.alive(now.elapsed_ms)
        # A clock that was set back must not make anybody wait for it.
        self._looked_ms = min(self._looked_ms, now.elapsed_ms)
        self._next_snapshot_ms = min(self._next_snapshot_ms, now.elapsed_ms + SNAPSHOT_MS)
        self._sampler.handle_timer(now.elapsed_ms)
        self._protect_children()
        runner = self._runner
        if runner is None:
            if self._hold_at_ms is not None and now.elapsed_ms >= self._hold_at_ms:
                self._hold_unseen(now)
            return
        runner.turn()
        if now.elapsed_ms >= self._next_look_ms(runner.core):
            runner.core.asked(now)
            if self._sampler.request(now.elapsed_ms):
                self._looked_ms = now.elapsed_ms
        runner.handle_timer()
        self._tpm_looking.turn(runner, now)
        if now.elapsed_ms >= self._next_snapshot_ms:
            self._next_snapshot_ms = now.elapsed_ms + SNAPSHOT_MS
            # What is told of the lanes holds without this gate, too.
            self._renew_lease(runner, now)
            self._show(runner, now)
            self._ran.write(runner.core, now.elapsed_ms)
            self._look_around(runner, now)
            self._jobs.look(runner.core, now.elapsed_ms, kept=self._outlives)
            self._stopping = self._stopping or self._jobs.moved
            for found in self._door.take_findings():
                runner.core.findings.add(found.id, found.severity, detail=found.detail)
        elif self._lease is not None and self._lease.outdated(runner.core):
            self._renew_lease(runner, now)
        runner.push()
        self._told.forget(runner.core)
        self._kept.write_now(runner.core)

    def _show(self, runner: GateRunner, now: Now) -> None:
        self._status.write(runner.show(free_bytes(self._config.state_dir)), now.elapsed_ms)

    def _renew_lease(self, runner: GateRunner, now: Now) -> None:
        if self._lease is not None:
            self._lease.renew(runner.core, now.elapsed_ms)

    def _on_courier(self, client_id: int, message: pb.ToGate, now: Now) -> None:
        if message.WhichOneof("message") in OWNERS:
            own = self._door.is_own(client_id)
            reply = answered(self._runner, message, own=own)
            if own and self._runner is not None:
                # Before the reply: who looks next must see what came of it.
                self._show(self._runner, now)
            self._door.send(client_id, pb.FromGate(reply=reply))
        elif self._runner is not None:
            self._runner.from_courier(client_id, message)


def run(config_path: Path, hand_maker: HandMaker = make_hand) -> int:
    """Run the gate with this configuration; exit status.

    Raises:
        EnvironmentFault: configuration, key, ledger or door cannot be used.
    """
    log_json()
    config = load_gate(config_path)
    config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return GateProcess(config, hand_maker).run()
