"""One simulated host: the production core and ledger of the gate around simulated GPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from flopgate_agent.gate.settings import Chip, GateSettings, GateToken, LaneSetting, Now
from flopgate_agent.gate_process import inbox
from flopgate_agent.ledger import Ledger
from flopgate_proto.chips import spec_for
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import MisuseError, PeerError
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import ChipIdentity, LaneState, Software
from flopgate_sim.fleet.gpu import SimulatedGpu

H100_PCI_ID = 0x2330
H100_NAME = "NVIDIA H100 80GB HBM3"
RESEND_MAX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """What a simulated host is made of; ``entropy`` gives random bytes."""

    name: str
    workload: str
    chips: int
    share_percent: int
    drain_ms: int
    sample_interval_ms: int
    boot_id: bytes
    software: Software


class SimulatedHost:
    """A host without processes: its GPUs obey freeze, thaw and kill by themselves.

    Attributes:
        outgoing: reports ready to leave.
        told: events that the core told, with the host time; the owner empties it.
        errors: what was refused, by code; the owner empties it.
    """

    def __init__(
        self,
        plan: HostPlan,
        token: GateToken,
        ledger_path: Path | str,
        entropy: Callable[[int], bytes],
        now: Now,
    ) -> None:
        self.plan = plan
        key = SigningKey.generate()
        self.gpus = [
            SimulatedGpu(
                f"GPU-{plan.name}-{index}",
                now.elapsed_ms,
                share_percent=plan.share_percent,
                drain_ms=plan.drain_ms,
            )
            for index in range(plan.chips)
        ]
        settings = GateSettings(
            host_spki=key.spki,
            host_id=key_digest(key.spki),
            signer=key,
            boot_id=plan.boot_id,
            run_nonce=entropy(16),
            salt_secret=entropy(32),
            chips=tuple(
                Chip(
                    identity=ChipIdentity(
                        vendor="NVIDIA",
                        uuid=gpu.uuid,
                        serial="",
                        pdi=None,
                        name=H100_NAME,
                        pci_device_id=H100_PCI_ID,
                    ),
                    spec=spec_for(H100_PCI_ID, H100_NAME),
                )
                for gpu in self.gpus
            ),
            lanes=(LaneSetting(workload=plan.workload, chips=tuple(range(plan.chips))),),
            software=plan.software,
            driver_version="simulated",
            sample_interval_ms=plan.sample_interval_ms,
        )
        self.ledger = Ledger(ledger_path)
        self.core = GateCore(settings, self.ledger.load(), [token], now)
        self.outgoing: list[pb.SignedReport] = []
        self.told: list[tuple[int, Tell]] = []
        self.errors: list[PeerError] = []
        self._authority = token.authority

    @property
    def host_id(self) -> bytes:
        """SHA-256 of the host key."""
        return self.core.settings.host_id

    @property
    def state(self) -> LaneState:
        """State of the one lane."""
        return self.core.lanes[self.plan.workload].state

    def wake_ms(self) -> int:
        """When `step` must be called next."""
        return min(self.core.get_timer(), self.core.meter.next_look_ms)

    def step(self, now: Now) -> None:
        """Read the counters if it is time, and let time act."""
        if now.elapsed_ms >= self.core.meter.next_look_ms:
            self.core.looked(now)
            self._do(self.core.samples([gpu.sample(now.elapsed_ms) for gpu in self.gpus], now), now)
        if now.elapsed_ms >= self.core.get_timer():
            self._do(self.core.handle_timer(now), now)

    def enrolment(self, courier_spki: bytes, now: Now) -> Envelope:
        """The signed enrolment statement."""
        self._do(self.core.enrol(self._authority, courier_spki, now), now)
        envelope = self.core.authorities[self._authority].enrolment
        if envelope is None:
            raise MisuseError("no enrolment was made", code="sim.enrolment")
        return envelope

    def admitted(self, reply: pb.EnrollReply, now: Now) -> None:
        """What `Enroll` returned."""
        self._do(inbox.take_admission(self.core, reply, now), now)

    def answers(self, batch: pb.AnswerBatch, now: Now) -> None:
        """Answers for this host."""
        actions, errors = inbox.take_answers(self.core, batch, now)
        self._do(actions, now)
        self.errors += errors

    def order(self, order: pb.SignedOrder, now: Now) -> None:
        """An order that the link brought."""
        self._do(inbox.take_order(self.core, order, now), now)

    def resend(self, from_sequence: int = 0) -> None:
        """Queue reports again: from a sequence, or from what is unacknowledged."""
        known = self.core.authorities[self._authority]
        first = from_sequence or known.acknowledged_sequence + 1
        self.outgoing = [signed for _seq, signed in self.ledger.reports(first, RESEND_MAX)]

    def _do(self, actions: Sequence[Action], now: Now) -> None:
        for action in actions:
            match action:
                case KeepReport() | KeepOrder() | KeepQuote() | KeepEnrolment():
                    self.ledger.keep(action)
                case SendReport():
                    self.outgoing += [
                        signed for _seq, signed in self.ledger.reports(action.sequence, 1)
                    ]
                case Freeze():
                    for gpu in self.gpus:
                        gpu.freeze(now.elapsed_ms)
                case Thaw():
                    for gpu in self.gpus:
                        gpu.thaw(now.elapsed_ms)
                case Kill():
                    for gpu in self.gpus:
                        gpu.stop(now.elapsed_ms)
                case Tell():
                    self.told.append((now.elapsed_ms, action))
                case Notify():
                    pass
