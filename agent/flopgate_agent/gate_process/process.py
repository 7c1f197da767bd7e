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
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

from flopgate_agent.config import GateConfig, load_gate, load_gate_tokens
from flopgate_agent.counters.client import SamplerClient, child_environment
from flopgate_agent.counters.frames import DriverError, Identities, Samples
from flopgate_agent.counters.sample import ChipIdentity as NvmlIdentity
from flopgate_agent.enforcement import Enforcer, EnforcerConfig
from flopgate_agent.gate.actions import (
    Action,
    Freeze,
    KeepEnrolment,
    KeepOrder,
    KeepQuote,
    KeepReport,
    Kill,
    Notify,
    SendReport,
    Tell,
    Thaw,
)
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.enrolling import enrolled_chips
from flopgate_agent.gate.faults import DRIVER_SILENT, LEDGER_FAILED
from flopgate_agent.gate.settings import GateSettings, Now
from flopgate_agent.gate_process import inbox
from flopgate_agent.gate_process.gate_door import GateDoor
from flopgate_agent.gate_process.hand import Hand
from flopgate_agent.gate_process.host import read_clocks
from flopgate_agent.gate_process.host_settings import lane_globs, make_settings
from flopgate_agent.gate_process.outbox import Outbox
from flopgate_agent.gate_process.snapshot import snapshot
from flopgate_agent.ledger import Ledger
from flopgate_agent.logs import FIELDS, log_json
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.errors import (
    ClockError,
    HistoryError,
    PeerError,
    StorageError,
)
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Finding

SNAPSHOT_MS: Final = 1000
DRIVER_WAIT_MS: Final = 30_000
"""An enrolled host whose driver has not said what chips there are is held after this long."""
STOP_MS_MAX: Final = 15_000
"""Longest wait for standstill when the gate is told to stop."""
_LOG: Final = logging.getLogger("flopgate.gate")


class Doer(Protocol):
    """What carries out decisions upon processes."""

    def carry_out(self, action: Freeze | Thaw | Kill | Notify) -> Sequence[Finding]:
        """Do it; what the authorities should know of it."""

    def protect(self, pids: Sequence[int]) -> None:
        """Never touch these."""


HandMaker = Callable[[GateConfig, GateSettings, Sequence[NvmlIdentity]], Doer]


def make_hand(config: GateConfig, settings: GateSettings, found: Sequence[NvmlIdentity]) -> Hand:
    """The hand that stops processes on this host."""
    enforcer = Enforcer(
        EnforcerConfig(
            state_dir=config.state_dir / "enforcement",
            cgroup_base=f"flopgate-{settings.host_id.hex()[:8]}",
            use_cgroups=config.cgroup,
        )
    )
    return Hand(enforcer, lane_globs(config, settings, found))


class GateProcess:
    """Everything that a running gate holds open."""

    def __init__(self, config: GateConfig, hand_maker: HandMaker) -> None:
        self._config = config
        self._hand_maker = hand_maker
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        self._selector.register(self._wake_r, selectors.EVENT_READ, "wake")
        self._ledger = Ledger(config.state_dir / "ledger.sqlite")
        self._memory = self._ledger.load()
        self._enrolled = enrolled_chips(self._memory)
        self._hold_at_ms: int | None = None
        self._door = GateDoor(config.door_path, config.courier_uids, gid=config.door_gid)
        self._door.register(self._selector)
        self._sampler = SamplerClient(
            env=child_environment(os.environ),
        )
        self._selector.register(self._sampler, selectors.EVENT_READ, "sampler")
        self._core: GateCore | None = None
        self._hand: Doer | None = None
        self._outbox = Outbox(self._door, self._ledger, self._first_unacknowledged)
        self._next_snapshot_ms = 0

    def run(self) -> int:
        """Serve until a signal says stop; exit status."""
        signal.set_wakeup_fd(self._wake_w.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        now = read_clocks()
        if self._enrolled:
            self._hold_at_ms = now.elapsed_ms + DRIVER_WAIT_MS
        self._sampler.start(now.elapsed_ms)
        while not self._stopping:
            self._turn()
        self._stop_lanes()
        self._sampler.close()
        self._door.close()
        self._ledger.close()
        return 0

    def _turn(self) -> None:
        timeout_ms = max(0, self._next_wake_ms() - read_clocks().elapsed_ms)
        for key, _events in self._selector.select(timeout_ms / 1000):
            self._on_ready(key)
        self._tick(read_clocks())

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        _LOG.info("stopping on signal %d", number)
        self._stopping = True

    def _stop_lanes(self) -> None:
        """Leave nothing running behind: hold every lane, and watch until it stands still."""
        core = self._core
        if core is None or not core.enrolled:
            return
        reason, text = "gate.stopped", "the gate was told to stop"
        self._do(core.fault(reason, text, "Start the gate again.", read_clocks()))
        give_up_ms = read_clocks().elapsed_ms + STOP_MS_MAX
        while not core.standing_still and read_clocks().elapsed_ms < give_up_ms:
            self._turn()

    def _next_wake_ms(self) -> int:
        times = [self._next_snapshot_ms]
        if (sampler_ms := self._sampler.get_timer()) is not None:
            times.append(sampler_ms)
        if self._core is None:
            times += [] if self._hold_at_ms is None else [self._hold_at_ms]
        else:
            times.append(self._core.get_timer())
            if not self._sampler.waiting:
                times.append(max(self._core.meter.next_look_ms, self._sampler.get_timer() or 0))
        return min(times)

    def _on_ready(self, key: selectors.SelectorKey) -> None:
        now = read_clocks()
        if key.data == "wake":
            self._wake_r.recv(64)
        elif key.data == "sampler":
            for message in self._sampler.on_readable(now.elapsed_ms):
                self._on_sampler(message, now)
        else:
            for client_id, incoming in self._door.on_ready(key):
                self._on_courier(client_id, incoming)

    def _on_sampler(self, message: Identities | Samples | DriverError, now: Now) -> None:
        match message:
            case Identities():
                if self._core is None:
                    self._start_core(message.chips, message.driver_version, now)
                else:
                    self._compare_chips(self._core, message)
            case Samples():
                if self._core is not None:
                    self._enter(self._core.samples, message.samples)
            case DriverError():
                _LOG.warning(
                    "NVML says %s: nothing can be metered; check NVIDIA's driver with nvidia-smi",
                    message.name,
                )

    def _compare_chips(self, core: GateCore, message: Identities) -> None:
        """A chip that was not here at the start is metered by nobody: stop, and start anew."""
        known = {chip.identity.uuid for chip in core.settings.chips}
        new = sorted({chip.uuid for chip in message.chips} - known)
        if new and not core.has_fault("host.chips-changed"):
            detail = f"chip {new[0]} was not here when the gate started"
            self._enter(core.fault, "host.chips-changed", detail, "Restart the gate.")

    def _hold_unseen(self, now: Now) -> None:
        """The driver hangs since the start: what computes on an enrolled host must stop (law 8)."""
        core = self._start_core((), "", now)
        detail = "the driver has said nothing since the gate started"
        _LOG.error("%s: %s; all lanes are held", DRIVER_SILENT, detail)
        self._enter(core.fault, DRIVER_SILENT, detail, "Check the driver, then restart the gate.")

    def _start_core(self, found: Sequence[NvmlIdentity], driver_version: str, now: Now) -> GateCore:
        config = self._config
        settings = make_settings(config, found, driver_version, self._enrolled)
        self._hand = self._hand_maker(config, settings, found)
        tokens = load_gate_tokens(config.state_dir)
        self._core = GateCore(settings, self._memory, tokens, now)
        fields = {
            "host": settings.host_id.hex(),
            "chips": [chip.identity.name for chip in settings.chips],
        }
        _LOG.info("gate is up", extra={FIELDS: fields})
        self._next_snapshot_ms = 0
        return self._core

    def _tick(self, now: Now) -> None:
        self._sampler.handle_timer(now.elapsed_ms)
        core = self._core
        if core is None:
            if self._hold_at_ms is not None and now.elapsed_ms >= self._hold_at_ms:
                self._hold_unseen(now)
            return
        if now.elapsed_ms >= core.meter.next_look_ms and self._sampler.request(now.elapsed_ms):
            core.looked(now)
        if now.elapsed_ms >= core.get_timer():
            self._enter(core.handle_timer)
        if now.elapsed_ms >= self._next_snapshot_ms:
            self._next_snapshot_ms = now.elapsed_ms + SNAPSHOT_MS
            self._door.broadcast(pb.FromGate(snapshot=snapshot(core)))
            for found in self._door.take_findings():
                core.findings.add(found.id, found.severity, detail=found.detail)
        self._push(core)

    def _push(self, core: GateCore) -> None:
        try:
            self._outbox.push(core.chain.sequence)
        except StorageError as error:
            self._ledger_failed(core, error)

    def _first_unacknowledged(self, authority: str) -> int:
        known = self._core.authorities.get(authority) if self._core else None
        return known.acknowledged_sequence + 1 if known else 1

    def _on_courier(self, client_id: int, message: pb.ToGate) -> None:
        core = self._core
        if core is None:
            return
        try:
            match message.WhichOneof("message"):
                case "hello":
                    self._hello(core, client_id, message.hello)
                case "answers":
                    actions, errors = inbox.take_answers(core, message.answers, read_clocks())
                    self._do(actions)
                    for error in errors:
                        self._refused(error)
                case "order":
                    self._do(inbox.take_order(core, message.order, read_clocks()))
                case "admission":
                    self._do(inbox.take_admission(core, message.admission, read_clocks()))
                case "resend":
                    resend = message.resend
                    self._outbox.resend(client_id, resend.authority, resend.from_sequence)
                case _:
                    pass
        except PeerError as error:
            self._refused(error)
        except ClockError as error:
            self._clock_failed(core, error)

    def _hello(self, core: GateCore, client_id: int, hello: pb.CourierHello) -> None:
        self._door.send(client_id, pb.FromGate(snapshot=snapshot(core)))
        self._do(core.enrol(hello.authority, hello.courier_spki, read_clocks()))
        enrolment = core.authorities[hello.authority].enrolment
        if enrolment is not None:
            wire = pb.Enrollable(enrolment=envelope_to_wire(enrolment))
            self._door.send(client_id, pb.FromGate(enrolment=wire))

    def _refused(self, error: PeerError) -> None:
        fields = {"code": error.code, "remedy": error.remedy}
        _LOG.warning("refused: %s", error.detail, extra={FIELDS: fields})

    # ------------------------------------------------------------------ carrying out

    def _enter(self, event: Callable[..., list[Action]], *arguments: object) -> None:
        core = self._core
        if core is None:
            return
        try:
            self._do(event(*arguments, read_clocks()))
        except ClockError as error:
            self._clock_failed(core, error)

    def _do(self, actions: Sequence[Action]) -> None:
        """Carry out actions in order; when one cannot be kept, none after it happens."""
        if self._core is None or self._hand is None:
            return
        if self._sampler.pid is not None:
            self._hand.protect([self._sampler.pid])
        for action in actions:
            match action:
                case KeepReport() | KeepOrder() | KeepQuote() | KeepEnrolment():
                    try:
                        self._ledger.keep(action)
                    except (StorageError, HistoryError) as error:
                        self._ledger_failed(self._core, error)
                        return
                case Thaw() if read_clocks().elapsed_ms >= action.until_ms:
                    _LOG.error("thaw of %s came too late", action.workload)
                case Freeze() | Thaw() | Kill() | Notify():
                    for found in self._hand.carry_out(action):
                        self._core.findings.add(
                            found.id, found.severity, subject=found.subject, detail=found.detail
                        )
                case SendReport():
                    self._push(self._core)
                case Tell():
                    fields = {"subject": action.subject, "detail": action.detail}
                    _LOG.info("%s", action.event, extra={FIELDS: fields})

    def _ledger_failed(self, core: GateCore, error: StorageError | HistoryError) -> None:
        """Nothing can be kept: nothing may run (law 8). A restart reads what is durable."""
        _LOG.error("%s", error)
        if not core.has_fault(LEDGER_FAILED):
            self._do(core.fault(LEDGER_FAILED, error.detail, error.remedy, read_clocks()))

    def _clock_failed(self, core: GateCore, error: ClockError) -> None:
        _LOG.error("%s", error)
        if not core.has_fault(error.code):
            self._do(core.fault(error.code, error.detail, error.remedy, read_clocks()))


def run(config_path: Path, hand_maker: HandMaker = make_hand) -> int:
    """Run the gate with this configuration; exit status.

    Raises:
        EnvironmentFault: configuration, key, ledger or door cannot be used.
    """
    log_json()
    config = load_gate(config_path)
    config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A token that cannot be used is told now, not when the driver has named its chips.
    load_gate_tokens(config.state_dir)
    return GateProcess(config, hand_maker).run()
