"""A host of the world: chips that keep the truth, jobs, clocks, and how all these fail."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial

from flopgate_agent.gate_process.runner import GateRunner
from flopgate_proto.codec import envelope_from_wire
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_sim.disk import Snapshot
from flopgate_sim.world.hardware import nodes
from flopgate_sim.world.hosts.gate_disk import GateDisk
from flopgate_sim.world.hosts.gate_side import GATE_RESTART_US, GateSide
from flopgate_sim.world.nature.engine import US_PER_MS, US_PER_S
from flopgate_sim.world.nature.randomness import waits_ms
from flopgate_sim.world.plan import LanePlan
from flopgate_sim.world.truths.licenses import answers_in

BOOT_US = 40 * US_PER_S
RETRY_US = 30 * US_PER_S
"""How long a scheduler waits with a job that found no chip open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryImage:
    """A virtual machine's memory, disk and boot clock as they were; chips and TPM are not in it."""

    taken_us: int
    elapsed_ms: int
    runner: GateRunner
    store: GateDisk
    deadline_us: dict[tuple[str, str], int]


class Host(GateSide):
    """One machine: the gate's side of it, and all the rest."""

    def take_identity(self, other: Host) -> None:
        """This machine has the other's key; what is known of the one counts for both."""
        self.key, self.host_id = other.key, other.host_id
        mine, theirs = self.truth, other.truth
        mine.requests_us, mine.granted_us = theirs.requests_us, theirs.granted_us
        mine.ceiling_tflop, mine.acknowledged = theirs.ceiling_tflop, theirs.acknowledged
        mine.asked = theirs.asked
        mine.licenses.cloned(theirs.licenses)
        mine.excused = "a clone goes on with the history of another machine"
        for courier in self.couriers:
            courier.host_id = other.host_id

    # ------------------------------------------------------------------ work on it

    def start_job(self, lane: LanePlan) -> None:
        """The scheduler starts the lane's job, unless one is there."""
        if not self.up or self.suspended:
            return
        if self._holders(lane):
            return
        if not self.hardware.admits(lane.chips):
            if lane.workload not in self._queued:
                self._queued.add(lane.workload)
                self._engine.after(RETRY_US, "job", partial(self._start_queued, lane))
            return
        job = self.hardware.start(lane.chips, self._engine.now_us, **lane.job_options())
        if lane.mean_life_ms:
            life_us = waits_ms(self._lives, lane.mean_life_ms) * US_PER_MS
            self._engine.after(life_us, "job ends", partial(self._renew_job, lane, job.pid))

    def _start_queued(self, lane: LanePlan) -> None:
        self._queued.discard(lane.workload)
        self.start_job(lane)

    def _renew_job(self, lane: LanePlan, pid: int) -> None:
        self.end_process(pid)
        self._engine.after(US_PER_S, "job", partial(self.start_job, lane))

    def end_process(self, pid: int) -> None:
        """A process ends by itself."""
        self.hardware.kill({pid}, self._engine.now_us)

    def stop_job(self, lane: LanePlan) -> None:
        """The job ends by itself."""
        self.hardware.kill(self._holders(lane), self._engine.now_us)

    # ------------------------------------------------------------------ its own people

    def wish(self, message: pb.ToGate) -> pb.Reply | None:
        """Its own people want something; ``None``: no gate is there to hear it."""
        if self.runner is None or self.suspended:
            return None
        runner, now_us = self.runner, self._engine.now_us
        said = runner.from_owner(message)
        what = message.WhichOneof("message")
        self._engine.note(self.name, f"{what}: {said.code or 'done'}")
        if message.HasField("license") and not self.disk.died:
            kept = self.store.durable.orders
            for order in message.license.orders:
                if envelope_from_wire(order.envelope).digest in kept:
                    self.truth.order_taken(runner.core, order, now_us)
            authority = runner.core.authorities[message.license.authority]
            self.took_policy(authority, kept=True)
            if not said.code:
                root = pb.BatchRoot.FromString(message.license.answer.batch_root.payload)
                self.phases.heard(authority.name, root.policy_digest, now_us)
                answers, _ = answers_in(message.license.answer)
                self.truth.licenses.heard(authority.name, answers, now_us)
        self.truth.unsure = list(message.license.orders) if self.disk.died else []
        died = self.disk.died
        self._settle()
        return None if died else said

    # ------------------------------------------------------------------ the machine

    def power_off(self, why: str, *, clean: bool) -> None:
        """The host goes down; what was not synced is lost unless it was ``clean``."""
        self._engine.note(self.name, f"goes down: {why}")
        self.hardware.advance(self._engine.now_us)
        self.kill_gate(why)
        for courier in self.couriers:
            courier.kill()
        self.up = False
        self.hardware.on = False
        if self.tpm is not None:
            self.tpm.reset(orderly=clean)
        if not clean:
            self.disk.power_loss(self._losses)

    def boot(self) -> None:
        """The host comes up again: clocks, driver and processes start anew."""
        self._boots += 1
        self.up = self.hardware.on = True
        self.hardware.now_us = self._engine.now_us
        self.hardware.reload(self._engine.now_us)
        self.clocks.boot(5_000)
        self.hung = False
        self._known.clear()
        self._setting.boot()
        nodes.boot(self.hardware)
        self.truth.booted()
        self._engine.note(self.name, f"boot {self._boots}")
        self.suspended = False
        for courier in self.couriers:
            courier.start()
        self.start_gate()
        # Until the host denies new contexts from its first instruction on, schedulers come later.
        if self.schedules:
            self._engine.after(10 * US_PER_S, "jobs", self.start_jobs)

    def start_jobs(self) -> None:
        """Every lane gets its job."""
        for lane in self.plan.lanes:
            self.start_job(lane)

    def suspend(self) -> None:
        """Everything stands still; the boot clock goes on."""
        self.hardware.advance(self._engine.now_us)
        self._engine.note(self.name, "suspends")
        self.suspended = True
        self.hardware.on = False
        for courier in self.couriers:
            courier.suspend()

    def resume(self) -> None:
        """Everything goes on."""
        if not self.suspended:
            return
        self.hardware.advance(self._engine.now_us)
        self.hardware.now_us = self._engine.now_us
        self.hardware.on = True
        self.suspended = False
        self.seeing_since_us = self._engine.now_us
        self._engine.note(self.name, "resumes")
        for courier in self.couriers:
            courier.resume()
        if self.runner is None:
            self.start_gate()
        self._settle()

    def hang(self) -> None:
        """The driver answers nobody."""
        self.truth.let_go()
        self.hung = True
        self.hung_since_us = self._engine.now_us
        self._engine.note(self.name, "the driver hangs")
        self._settle()

    def unhang(self) -> None:
        """The driver answers again, another sampler."""
        if self.hung:
            self.hung = False
            self.hardware.opened()
            if self.runner is not None:
                self.runner.core.meter.reopened()
            self.seeing_since_us = self._engine.now_us
            self._engine.note(self.name, "the driver answers again")
            self._settle()

    def undo_rungs(self) -> None:
        """Somebody with root undoes what the gate set of its chips."""
        barred = [chip for chip in self.hardware.chips if chip.barred]
        known = any(chip.uuid in self._setting.held for chip in barred)
        reachable = not any(chip.lost or chip.hung or chip.mig for chip in barred)
        self.hardware.undo_settings(self._engine.now_us)
        tells = known and reachable and self.runner is not None
        if tells and not (self.hung or self.suspended):
            self.truth.undone(self._engine.now_us)

    def step_boot_clock(self, by_ms: int) -> None:
        """Somebody moves the boot clock; the gate stands from then on until it is started anew."""
        if self.suspended:
            # It is nothing but a shorter sleep: no gate can tell.
            self._engine.note(self.name, "the boot clock cannot step while the host sleeps")
            return
        if self.runner is not None:
            # A gate of production looks each second: it heard of the time before the step.
            self._look(self.runner)
        self.truth.doubtful_at = self.truth.sequence
        self.truth.boot_clock_stepped()
        self.clocks.step(by_ms)
        self._engine.note(self.name, f"the boot clock steps by {by_ms} ms")
        if self.runner is not None:
            self.runner.turn()
            self._serve()

    def slow_boot_clock(self, by_ppm: int) -> None:
        """Somebody holds the boot clock back from now on; nothing on the host sees it."""
        self.clocks.slow(by_ppm)
        self._engine.note(self.name, f"the boot clock is slowed by {by_ppm} ppm")
        self._settle()

    def restore_ledger(self, snapshot: Snapshot, taken_us: int) -> None:
        """A copy of the disk from that moment takes the place of the ledger."""
        self.kill_gate("its disk is replaced")
        self.disk.restore(snapshot)
        self.truth.rolled_back(taken_us, self.store.durable.sequence)
        self.phases.rolled_back(taken_us)
        self._engine.note(self.name, "an older ledger was put back")
        self._engine.after(GATE_RESTART_US, "gate start", self.start_gate)

    def memory_image(self) -> MemoryImage:
        """A snapshot of this machine, its gate included, which runs; jobs are left out.

        Only where no fault touches the gate's disk: an open file of SQLite has no copy.
        """
        if self.runner is None:
            raise ValueError("no gate runs whose memory could be copied")
        runner, store = self._copied(self.runner, self.store)
        return MemoryImage(
            taken_us=self._engine.now_us,
            elapsed_ms=self.clocks.elapsed_ms,
            runner=runner,
            store=store,
            deadline_us=dict(self.truth.deadline_us),
        )

    def put_memory_back(self, image: MemoryImage) -> None:
        """The machine goes on from a snapshot; its jobs, chips, TPM and wall clock from now."""
        for courier in self.couriers:
            courier.kill()
        self.hardware.advance(self._engine.now_us)
        self.runner, self.store = self._copied(image.runner, image.store)
        self.clocks.boot(image.elapsed_ms)
        self._looked_ms = self._shown_ms = image.elapsed_ms
        truth, back_us = self.truth, self._engine.now_us - image.taken_us
        truth.left_sequence = truth.sequence = self.runner.core.chain.sequence
        known = {
            digest: one for digest, one in truth.pauses.items() if one.came_us <= image.taken_us
        }
        truth.pauses = known
        # No software on the host has another clock: how long permission lasts, and whether counters
        # can have come so far, goes by that one.
        truth.excused = "its boot clock went back with the memory of its gate"
        truth.deadline_us = {key: us + back_us for key, us in image.deadline_us.items()}
        self.phases.rolled_back(image.taken_us)
        self._engine.note(self.name, "goes on from a snapshot of its memory")
        for courier in self.couriers:
            courier.start()
            courier.door_opened()
        self._settle()

    def _copied(self, runner: GateRunner, store: GateDisk) -> tuple[GateRunner, GateDisk]:
        around = (self, self._engine, self.hardware, self.clocks, self.disk, self.tpm, self.key)
        return copy.deepcopy((runner, store), {id(one): one for one in around})

    @property
    def computing(self) -> frozenset[int]:
        """Chips with a job that works now, bursts and the rests between them included."""
        now_us = self._engine.now_us
        busy: set[int] = set()
        for job in self.hardware.jobs:
            end_us = job.end_us()
            if not job.spinning and job.busy_percent and (end_us is None or end_us > now_us):
                busy |= set(job.chips)
        return frozenset(busy) if self.hardware.on else frozenset()

    def ended_us(self, chips: frozenset[int]) -> int:
        """When the last job on some chips that stand did its last work, as far as it is known."""
        ends_us = [job.end_us() for job in self.hardware.jobs if chips & set(job.chips)]
        return max((end_us for end_us in ends_us if end_us is not None), default=0)

    def restart_gate_soon(self, why: str, wait_us: int = GATE_RESTART_US) -> None:
        """The gate is killed and comes back."""
        self.kill_gate(why)
        self._engine.after(wait_us, "gate start", self.start_gate)
