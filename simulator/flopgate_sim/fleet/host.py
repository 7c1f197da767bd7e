"""One simulated host: the production core and ledger of the gate around simulated GPUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flopgate_agent.gate.actions import Tell
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.settings import Chip, GateSettings, GateToken, LaneSetting, Now
from flopgate_agent.gate_process.runner import Door, GateRunner
from flopgate_agent.ledger import Ledger
from flopgate_proto.chips import spec_for
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import MisuseError, PeerError
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import ChipIdentity, LaneState, Software
from flopgate_sim.fleet.gpu import SimulatedGpu
from flopgate_sim.fleet.hardware import Hardware

H100_PCI_ID = 0x2330
H100_NAME = "NVIDIA H100 80GB HBM3"
COURIER = 1
"""Client id of whoever carries for the host."""


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


def make_gpus(plan: HostPlan, now_ms: int, *, busy: bool = True) -> list[SimulatedGpu]:
    """New GPUs of a host."""
    return [
        SimulatedGpu(
            f"GPU-{plan.name}-{index}",
            now_ms,
            share_percent=plan.share_percent,
            drain_ms=plan.drain_ms,
            busy=busy,
        )
        for index in range(plan.chips)
    ]


class SimulatedHost:
    """A host without processes: its GPUs obey freeze, thaw and kill by themselves.

    Args:
        plan: what it is made of.
        token: its half of a join token.
        ledger_path: of its ledger.
        entropy: gives random bytes.
        now: this moment.
        key: the host key; a new one is made by default.
        hardware: its GPUs; new ones by default.
        door: where its couriers are; by default whoever owns it carries, by its methods.

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
        *,
        key: SigningKey | None = None,
        hardware: Hardware | None = None,
        door: Door | None = None,
    ) -> None:
        self.plan = plan
        key = key or SigningKey.generate()
        hardware = hardware or Hardware(make_gpus(plan, now.elapsed_ms))
        self.gpus = hardware.gpus
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
        self.outgoing: list[pb.SignedReport] = []
        self.told: list[tuple[int, Tell]] = []
        self.errors: list[PeerError] = []
        self._now = now
        self._looked_ms = now.elapsed_ms
        ledger = Ledger(ledger_path)
        self._runner = GateRunner(
            GateCore(settings, ledger.load(), [token], now),
            ledger,
            hand=hardware.hand(lambda: self._now.elapsed_ms),
            door=door or self,
            clock=lambda: self._now,
            tell=lambda told: self.told.append((self._now.elapsed_ms, told)),
            refused=self.errors.append,
        )
        self._authority = token.authority

    @property
    def core(self) -> GateCore:
        """The gate's decisions."""
        return self._runner.core

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
        return min(self.core.get_timer(), self._next_look_ms())

    def _next_look_ms(self) -> int:
        rhythm_ms = self._looked_ms + self.plan.sample_interval_ms
        return min(rhythm_ms, self.core.look_by_ms)

    def step(self, now: Now) -> None:
        """Read the counters if it is time, and let time act."""
        self._now = now
        if now.elapsed_ms >= self._next_look_ms():
            self._looked_ms = now.elapsed_ms
            samples = [gpu.sample(now.elapsed_ms) for gpu in self.gpus]
            self._runner.enter(self.core.samples, samples)
        self._runner.handle_timer()

    def enrolment(self, courier_spki: bytes, now: Now) -> Envelope:
        """The signed enrolment statement."""
        hello = pb.CourierHello(authority=self._authority, courier_spki=courier_spki)
        self.from_courier(COURIER, pb.ToGate(hello=hello), now)
        envelope = self.core.authorities[self._authority].enrolment
        if envelope is None:
            raise MisuseError("no enrolment was made", code="sim.enrolment")
        return envelope

    def admitted(self, reply: pb.EnrollReply, now: Now) -> None:
        """What `Enroll` returned."""
        self.from_courier(COURIER, pb.ToGate(admission=reply), now)
        self.resend()

    def answers(self, batch: pb.AnswerBatch, now: Now) -> None:
        """Answers for this host."""
        self.from_courier(COURIER, pb.ToGate(answers=batch), now)

    def order(self, order: pb.SignedOrder, now: Now) -> None:
        """An order that the link brought."""
        self.from_courier(COURIER, pb.ToGate(order=order), now)

    def resend(self, from_sequence: int = 0) -> None:
        """Queue reports again: from a sequence, or from what is unacknowledged."""
        self.outgoing.clear()
        resend = pb.Resend(authority=self._authority, from_sequence=from_sequence)
        self.from_courier(COURIER, pb.ToGate(resend=resend), self._now)

    def from_courier(self, client_id: int, message: pb.ToGate, now: Now) -> None:
        """One message that came through the door."""
        self._now = now
        self._runner.from_courier(client_id, message)
        self._runner.push()

    def show(self) -> None:
        """Tell couriers where this host stands; they miss reports by it."""
        self._runner.show()

    # ------------------------------------------------------------------ its own door

    @property
    def clients(self) -> dict[int, int]:
        """The one courier."""
        return {COURIER: 0}

    def send(self, _client_id: int, message: pb.FromGate) -> bool:
        """Reports go out; who asks for a snapshot looks at the core."""
        if message.HasField("report"):
            self.outgoing.append(message.report)
        return True

    def broadcast(self, message: pb.FromGate) -> None:
        """Nobody asks for snapshots here."""
