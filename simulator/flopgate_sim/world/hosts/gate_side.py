"""The gate's side of a host of the world: production core, ledger and runner, and their loop.

What a gate does in here is decided by production code alone. `host` is the machine around it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flopgate_agent.gate.actions import Deny, Freeze, Kill, Move, Restore, Slow, Tell, Thaw
from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.faults import LEDGER_FAILED
from flopgate_agent.gate.settings import GateSettings, GateToken, Now
from flopgate_agent.gate_process.runner import GateRunner
from flopgate_proto.errors import FlopgateError, PeerError
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.quick import maker
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Finding
from flopgate_sim.disk import Disk
from flopgate_sim.world.hardware.machine import Hardware
from flopgate_sim.world.hardware.setting import ChipSetting
from flopgate_sim.world.hardware.topology import topology_of
from flopgate_sim.world.hardware.tpm import HostTpm
from flopgate_sim.world.hosts.courier import Courier
from flopgate_sim.world.hosts.gate_disk import GateDisk
from flopgate_sim.world.hosts.lockdown import Lockdown
from flopgate_sim.world.hosts.plain_ledger import PlainLedger
from flopgate_sim.world.hosts.settings import GateWiring, chips_of, settings_of
from flopgate_sim.world.nature.clocks import Clocks
from flopgate_sim.world.nature.engine import US_PER_MS, US_PER_S, Engine, Event
from flopgate_sim.world.nature.randomness import Streams
from flopgate_sim.world.plan import HostPlan, LanePlan
from flopgate_sim.world.truths.host import HostTruth
from flopgate_sim.world.truths.licenses import answers_in
from flopgate_sim.world.truths.phases import PhaseTruth

make_now = maker(Now)

SNAPSHOT_MS, SNAPSHOT_MS_MAX = 100_000, 300_000
"""Between snapshots for couriers, when the gate wakes anyway and at most; the process shows one
each second, which people look at."""
GATE_RESTART_US = 2 * US_PER_S
"""From the death of a gate to its next start, when somebody restarts it at once."""


class GateSide:
    """The gate of one machine, with its door and its hand.

    Attributes:
        runner: the running gate, ``None`` while it is dead.
        joined: names of the authorities to which its couriers go.
        truth, phases: what really happened here, for the laws.
        schedules: whether a job is started in every lane after a boot.
        lockdown: what stands beside the gate; ``None``: nothing does.
        died_us: when the last gate died.
    """

    def __init__(
        self,
        engine: Engine,
        streams: Streams,
        *,
        plan: HostPlan,
        disk: Disk,
        wiring: GateWiring,
        clocks: Clocks,
    ) -> None:
        self.plan = plan
        self.name = plan.name
        self.clocks = clocks
        self.disk = disk
        self.key: SigningKey = streams.key(f"host/{plan.name}")
        self.host_id = key_digest(self.key.spki)
        self.tokens: tuple[GateToken, ...] = ()
        self.wiring = wiring
        self.hardware = Hardware(chips_of(plan), now_us=engine.now_us)
        self.truth = HostTruth(plan.name)
        self.phases = PhaseTruth(plan.scopes_of(""), plan.phase_at_least)
        self.couriers: list[Courier] = []
        self.joined: list[str] = []
        self.runner: GateRunner | None = None
        self.hung = False
        self.seeing_since_us = 0
        self.hung_since_us = 0
        self.asked_us = 0
        self.suspended = False
        self.up = True
        self.schedules = True
        self.lockdown: Lockdown | None = None
        self.died_us = 0
        self._engine = engine
        self._streams = streams
        self._runs = 0
        self._boots = 0
        self.tpm: HostTpm | None = None
        if plan.tpm:
            self.tpm = HostTpm(lambda: engine.now_us // US_PER_MS, lambda: disk.died)
        self.store = GateDisk(disk, PlainLedger() if plan.plain_ledger else None, self.tpm)
        self._wake: Event | None = None
        self._looked_ms = 0
        self._shown_ms = 0
        self._lives = streams.of(f"jobs/{plan.name}")
        self._losses = streams.of(f"power/{plan.name}")
        self._refusal = ""
        self._known: set[int] = set()
        self._queued: set[str] = set()
        self._setting = ChipSetting(
            engine, self.hardware, lambda: self.hung or self.suspended, self._chips_said
        )

    def join(self, courier: Courier, token: GateToken) -> None:
        """Another authority, by its courier; the next gate starts with its token."""
        self.tokens = (*self.tokens, token)
        self.couriers.append(courier)
        self.joined.append(courier.authority.name)

    # ------------------------------------------------------------------ the gate's process

    def now(self) -> Now:
        """This moment on the host's clocks."""
        return make_now(elapsed_ms=self.clocks.elapsed_ms, wall_unix_ms=self.clocks.wall_unix_ms)

    def start_gate(self) -> None:
        """The gate starts, unless it runs or the host is down; it comes back when it cannot."""
        if self.runner is not None or not self.up or self.suspended:
            return
        self._runs += 1
        self.disk.revive()
        try:
            keeper, memory = self.store.open()
            settings = replace(self._settings(), witness=self.store.witness)
            core = GateCore(settings, memory, self.tokens, self.now())
        except FlopgateError as error:
            self._engine.note(self.name, f"gate cannot start: {error.code}")
            self.store.close()
            self._engine.after(GATE_RESTART_US, "gate start", self.start_gate)
            return
        self.runner = GateRunner(
            core,
            keeper,
            hand=self,
            door=self,
            clock=self.now,
            tell=self._told,
            refused=self._refused,
        )
        for found in self.store.findings:
            core.findings.add(found.id, found.severity, detail=found.detail)
        self.hardware.opened()
        self._setting.start()
        seen = topology_of(self.plan, self.hardware, self._streams)
        core.chain.topology.take(seen, core.findings)
        self._looked_ms = self._shown_ms = self.clocks.elapsed_ms
        durable, now_us = self.store.durable, self._engine.now_us
        self.truth.gate_started(core, durable, now_us)
        self.phases.gate_started(
            core.chain.sequence, boot=self._boots, admitted=durable.admitted, now_us=now_us
        )
        self._engine.note(
            self.name, f"gate run {self._runs} starts at report {core.chain.sequence}"
        )
        for courier in self.couriers:
            courier.door_opened()
        self._settle()

    def kill_gate(self, why: str) -> None:
        """The gate is gone between two instructions; nothing of it is done any more."""
        if self.runner is None:
            return
        self._engine.note(self.name, f"gate dies: {why}")
        if self.lockdown is not None:
            self.lockdown.gate_dies(self.runner.core)
        self.runner, self.died_us = None, self._engine.now_us
        self.truth.gate_died()
        self.truth.licenses.stopped(self, self._engine.now_us)
        self._setting.stop()
        self.disk.crash()
        self.store.close()
        if self._wake is not None:
            self._wake.cancel()
        for courier in self.couriers:
            courier.door_lost()

    def _settings(self) -> GateSettings:
        return settings_of(
            self.plan,
            self.wiring,
            self.key,
            self._streams,
            self.hardware.chips,
            run=self._runs,
            boot=self._boots,
        )

    # ------------------------------------------------------------------ the gate's loop

    def _next_look_ms(self, core: GateCore) -> int:
        rhythm_ms = self.wiring.rhythm_ms
        if rhythm_ms is None:
            return core.look_by_ms
        return min(core.look_by_ms, self._looked_ms + rhythm_ms)

    def _serve(self) -> None:
        """What the gate's process does when it wakes."""
        self._wake = None
        runner = self.runner
        if runner is None or self.suspended:
            return
        now_ms = self.clocks.elapsed_ms
        turn_ms = self._setting.timer_ms
        if turn_ms is not None and now_ms >= turn_ms:
            runner.turn()
        if now_ms >= self._next_look_ms(runner.core):
            self._look(runner)
        if self.runner is not None:
            runner.handle_timer()
            if now_ms >= self._shown_ms + SNAPSHOT_MS:
                self._shown_ms = now_ms
                runner.show()
            runner.push()
        self._settle()

    def _look(self, runner: GateRunner) -> None:
        runner.core.asked(self.now())
        self._looked_ms = self.clocks.elapsed_ms
        if self.hung:
            if self.asked_us < self.hung_since_us:
                self.asked_us = self._engine.now_us
            return
        samples = self.hardware.sample(self._engine.now_us, self.clocks.elapsed_ms)
        runner.enter(runner.core.samples, samples)
        self.truth.looked()

    def _chips_said(self) -> None:
        """The child that sets chips has said something."""
        if self.runner is not None:
            self.runner.turn()
            self._settle()

    def from_courier(self, client_id: int, message: pb.ToGate) -> None:
        """A courier says something."""
        runner = self.runner
        if runner is None or self.suspended:
            return
        self._refusal, now_us = "", self._engine.now_us
        authority = runner.core.authorities[self.couriers[client_id].authority.name]
        answered = authority.quote.answer_digest
        answers, signer = answers_in(message.answers)
        self.truth.came(answers, signer)
        runner.from_courier(client_id, message)
        kept = not self.disk.died and not runner.core.has_fault(LEDGER_FAILED)
        orders = list(message.admission.orders) if message.HasField("admission") else []
        if message.HasField("order") and not self._refusal:
            orders.append(message.order)
        for order in orders if kept else ():
            self.truth.order_taken(runner.core, order, now_us)
        self.truth.unsure = orders if self.disk.died else []
        self.took_policy(authority, kept=kept)
        if message.HasField("admission") and not self._refusal:
            if kept:
                self.truth.admitted(now_us)
                named = pb.Admission.FromString(message.admission.admission.payload).policy_digest
                self.phases.admitted(authority.name, named, now_us)
                self.truth.seats.heard(authority.name, now_us)
            elif authority.admitted:
                self.phases.admitted_unkept()
                self.truth.admitted_unkept(now_us)
        if kept and answers and self.truth.keys.heard(authority, answered, signer, self._refusal):
            root = pb.BatchRoot.FromString(message.answers.batch_root.payload)
            self.phases.heard(authority.name, root.policy_digest, now_us)
            self.truth.licenses.heard(authority.name, answers, now_us)
            self.truth.seats.heard(authority.name, now_us)
        runner.push()
        self._settle()

    def took_policy(self, authority: Authority, *, kept: bool) -> None:
        """The gate may hold another policy now, ``kept`` by its ledger or not."""
        held = authority.orders
        if held is not None and held.policy is not None and not self.disk.died:
            digest, now_us = held.policy_digest, self._engine.now_us
            self.phases.took(authority.name, held.policy, digest, now_us, kept=kept)

    def _settle(self) -> None:
        """After anything: notice that the disk took the process with it, and plan the next wake."""
        runner = self.runner
        if runner is None:
            return
        core, died, now_us = runner.core, self.disk.died, self._engine.now_us
        if not died:
            # What a license lets run from now on is known before the report of now is judged.
            self.truth.licenses.look(self, core, now_us)
        if self.truth.made(core, now_us):
            self.phases.reported(core.chain.sequence, now_us)
        if died:
            self.kill_gate("while it wrote")
            self._engine.after(GATE_RESTART_US, "gate start", self.start_gate)
            return
        self.truth.mark()
        for courier in self.couriers:
            courier.authority.truth.moved.add(self.host_id)
        look_ms = self._next_look_ms(core)
        if self.hung:
            look_ms = max(look_ms, self._looked_ms + 1_000)
        times_ms = [core.get_timer(), self._shown_ms + SNAPSHOT_MS_MAX, look_ms]
        if self._setting.timer_ms is not None:
            times_ms.append(self._setting.timer_ms)
        at_us = self.clocks.when_us(max(min(times_ms), self.clocks.elapsed_ms))
        if self._wake is not None:
            if self._wake.at_us == at_us and not self._wake.cancelled:
                return
            self._wake.cancel()
        self._wake = self._engine.at(at_us, "gate", self._serve)

    def _told(self, told: Tell) -> None:
        if not self.disk.died:
            self._engine.note(self.name, f"{told.event} {told.subject} {told.detail}")

    def _refused(self, error: PeerError) -> None:
        self._refusal = error.code
        self.truth.refused[error.code] = self.truth.refused.get(error.code, 0) + 1
        self._engine.note(self.name, f"refused: {error.code}")

    # ------------------------------------------------------------------ the gate's door and hand

    @property
    def clients(self) -> Mapping[int, int]:
        """Couriers by number."""
        return {number: 0 for number, one in enumerate(self.couriers) if one.core is not None}

    def send(self, client_id: int, message: pb.FromGate) -> bool:
        """A message for a courier; it arrives after everything of this moment."""
        if self.disk.died:
            return False
        if message.HasField("report"):
            self.truth.left(message.report, self._engine.now_us)
        if message.HasField("enrolment"):
            self.hardware.advance(self._engine.now_us)
            self.truth.asks(self)
        courier = self.couriers[client_id]
        self._engine.after(0, "from gate", lambda: courier.from_gate(message))
        return True

    def broadcast(self, message: pb.FromGate) -> None:
        """A message for all couriers."""
        for client_id in self.clients:
            self.send(client_id, message)

    def protect(self, pids: Sequence[int]) -> None:
        """The sampler is no process here."""

    def carry_out(self, action: Move) -> list[Finding]:
        """Do it to the chips or processes of the lane."""
        if self.disk.died:
            return []
        now_us = self._engine.now_us
        lane = next(one for one in self.plan.lanes if one.workload == action.workload)
        mine = self._holders(lane)
        if isinstance(action, Freeze | Kill | Deny | Slow):
            newest = [policy for one in self.couriers if (policy := one.authority.truth.policy)]
            self.phases.stops(f"{type(action).__name__} of {action.workload}", newest)
        match action:
            case Freeze():
                self.hold(set(action.pids))
            case Thaw():
                self.hardware.thaw(mine & self._known, now_us)
            case Kill():
                self.hardware.kill(set(action.pids) | mine, now_us)
            case Deny() | Slow() | Restore():
                if isinstance(action, Restore):
                    self.truth.let_go()
                return self._setting.carry_out(action, self._uuids(lane), self.clocks.elapsed_ms)
        return []

    def hold(self, pids: set[int]) -> None:
        """Freeze them, so that the next thaw finds them."""
        self._known |= pids
        self.hardware.freeze(pids, self._engine.now_us)

    def turn(self, now_ms: int) -> list[Finding]:
        """Chips are set."""
        return self._setting.turn(now_ms)

    def close(self, now_ms: int) -> None:
        """Nothing takes time."""

    @property
    def closed(self) -> frozenset[str]:
        """Lanes whose chips were to be opened and are not yet."""
        lanes = () if self._setting.idle else self.plan.lanes
        return frozenset(one.workload for one in lanes if self._setting.pending(self._uuids(one)))

    def _uuids(self, lane: LanePlan) -> tuple[str, ...]:
        return tuple(self.hardware.chips[index].uuid for index in lane.chips)

    def _holders(self, lane: LanePlan) -> set[int]:
        return {job.pid for job in self.hardware.jobs if set(job.chips) & set(lane.chips)}
