"""One simulated cluster: hosts, governors, links, officers, faults, and the laws over all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from flopgate_agent.gate.settings import GateToken
from flopgate_governor.joining.tokens import TokenRecord, write_token
from flopgate_governor.orders.accepting import accept_order, found
from flopgate_governor.state import open_state
from flopgate_proto.envelope import Envelope
from flopgate_sim.disk import DiskLayer
from flopgate_sim.world.acts.errands import JOIN, Errands
from flopgate_sim.world.acts.keys import KeyReplacement
from flopgate_sim.world.acts.posing import POSED, posing
from flopgate_sim.world.acts.rulings import RULINGS, ruling
from flopgate_sim.world.faults.table import APPLY
from flopgate_sim.world.governors.governor import Governor
from flopgate_sim.world.governors.officers import Officers
from flopgate_sim.world.hosts.courier import Courier
from flopgate_sim.world.hosts.host import RETRY_US, Host
from flopgate_sim.world.hosts.lockdown import Lockdown
from flopgate_sim.world.hosts.settings import GateWiring
from flopgate_sim.world.laws.table import Law, broken_by_governor, broken_by_host
from flopgate_sim.world.nature.clocks import EPOCH_UNIX_MS, Clocks
from flopgate_sim.world.nature.engine import US_PER_MS, US_PER_S, Engine
from flopgate_sim.world.nature.network import Link
from flopgate_sim.world.nature.randomness import Streams
from flopgate_sim.world.plan import Act, Fault, HostPlan, TimedWork, WorldPlan

TOKEN_EXPIRES_UNIX_MS = 2_000_000_000_000
START_SPREAD_US = 5 * US_PER_S
SWEEP_US = 60 * US_PER_S
RECONCILE_US = 60 * US_PER_S
"""How often officers look after a governor that was restored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A law was broken: after which step, and how."""

    law: Law
    detail: str
    at_us: int
    step: int


class World:
    """Everything of one seed.

    Not ``judged``: no law is looked at. Whoever holds a key that counts breaks them as he likes.

    Attributes:
        broken: the first law that was broken, ``None`` while all hold.
        counts: faults so far, by kind.
    """

    def __init__(
        self, plan: WorldPlan, seed: int, disks: DiskLayer, *, judged: bool = True
    ) -> None:
        self.plan = plan
        self._disks = disks
        self.engine: Engine = Engine()
        self.streams = Streams(seed)
        self.broken: Broken | None = None
        self.counts: dict[str, int] = {}
        self._on_act: Callable[[Act], None] = _ignore
        self._on_fault: Callable[[str, str], None] = _ignore
        self._moved_hosts: dict[str, Host] = {}
        self._moved_governors: dict[str, Governor] = {}
        self.governors = [self._governor(name, disks) for name in plan.authorities]
        self.hosts = [self._host(one, disks) for one in plan.hosts]
        self._by_name: dict[str, Host | Governor] = {one.name: one for one in self.hosts}
        self._by_name |= {one.name: one for one in self.governors}
        for host in self.hosts:
            host.truth.mark = partial(self._host_moved, host)
        for governor in self.governors:
            governor.truth.mark = partial(self._governor_moved, governor)
        self.errands = Errands(self)
        self._judged = judged
        if judged:
            self.engine.checks.append(self._check)
        self._plan_start()

    def watch(self, act: Callable[[Act], None], mark: Callable[[str, str], None]) -> None:
        """Tell somebody what officers do, and what goes wrong."""
        self._on_act, self._on_fault = act, mark

    # ------------------------------------------------------------------ making it

    def _governor(self, name: str, disks: DiskLayer) -> Governor:
        plan = self.plan
        officers = Officers(
            self.streams, name, plan.policy, count=plan.officers, quorum=plan.quorum
        )
        clocks = Clocks(self.engine, 0, 0)
        governor = Governor(
            self.engine,
            officers,
            disks.disk(name),
            clocks,
            plan.gather_ms * US_PER_MS,
            plain=plan.plain_stores,
        )
        store = governor.store.open()
        found(store, officers.root)
        state = open_state(store, officers.permit, officers.log, governor.machine())
        for order in officers.first_orders(plan.delegation_span_ms):
            accept_order(state, order)
            governor.truth.ordered(order, officers.trust_root, state.now_ms())
        with store.transaction() as connection:
            for cluster in self._clusters():
                write_token(connection, self._token(name, officers, cluster))
        governor.store.abandon(store)
        return governor

    def _clusters(self) -> list[HostPlan]:
        """One host of each cluster."""
        return list({host.cluster: host for host in reversed(self.plan.hosts)}.values())

    def _token(self, authority: str, officers: Officers, host: HostPlan) -> TokenRecord:
        name = f"token/{authority}/{host.cluster}"
        return TokenRecord(
            token_id=self.streams.entropy(name, 16),
            secret=self.streams.entropy(f"secret/{name}", 32),
            trust_root_digest=officers.root.digest,
            cluster=host.cluster,
            custodian=host.custodian,
            site=host.site,
            jurisdiction=host.jurisdiction,
            hosts_max=sum(one.cluster == host.cluster for one in self.plan.hosts)
            + self.plan.spare_places,
            capacity_tflop_per_s=0,
            expires_unix_ms=TOKEN_EXPIRES_UNIX_MS,
        )

    def _host(self, plan: HostPlan, disks: DiskLayer) -> Host:
        wiring = GateWiring(
            rhythm_ms=self.plan.rhythm_ms,
            report_interval_ms=self.plan.report_interval_ms,
        )
        late = [one for one in self.plan.errands if one.errand == JOIN and one.host == plan.name]
        host = Host(
            self.engine,
            self.streams,
            plan=plan,
            disk=disks.disk(plan.name),
            wiring=wiring,
            clocks=Clocks(self.engine, plan.drift_ppm, 0),
        )
        if self.plan.lockdown:
            host.lockdown = Lockdown(self.engine, host)
        for number in range(len(self.governors)):
            if number not in {one.authority for one in late}:
                self.join(host, number)
        return host

    def join(self, host: Host, number: int) -> Courier:
        """A host has a token of an authority from now on, and a courier to it."""
        governor, plan = self.governors[number], host.plan
        courier = Courier(
            self.engine,
            self.streams,
            clocks=host.clocks,
            authority=governor,
            link=Link(self.engine, self.streams, f"{plan.name}-{governor.name}", self.plan.weather),
            to_gate=partial(host.from_courier, len(host.couriers)),
            host_id=host.host_id,
        )
        record = self._token(governor.name, governor.officers, plan)
        host.join(courier, gate_token(governor.name, record))
        governor.truth.hosts[host.host_id] = host
        if plan.tpm:
            governor.backed.add(host.host_id)
        governor.truth.clusters.join(host.host_id, plan)
        return courier

    def clone(self, host: Host, *, new_key: bool = False, places: HostPlan | None = None) -> Host:
        """A second machine on a copy of a host's disk, with its chips' names, and its key or not.

        It is judged with the original: to everybody else the two are one.
        """
        plan = replace(places or host.plan, name=f"{host.name}-clone", drift_ppm=0)
        clone = self._host(plan, self._disks)
        for chip, original in zip(clone.hardware.chips, host.hardware.chips, strict=True):
            chip.uuid = original.uuid
        if not new_key:
            clone.take_identity(host)
            clone.disk.restore(host.disk.snapshot())
            for governor in self.governors:
                governor.truth.hosts[host.host_id] = host
        self.hosts.append(clone)
        self._by_name[clone.name] = clone
        clone.truth.mark = partial(self._host_moved, clone)
        clone.clocks.boot(host.clocks.elapsed_ms)
        self.engine.note(clone.name, f"appears beside {host.name}")
        self._begin(clone)
        return clone

    def _plan_start(self) -> None:
        source = self.streams.of("start")
        for governor in self.governors:
            self.engine.at(0, "governor start", governor.start)
        for host in self.hosts:
            at_us = US_PER_S + source.randrange(START_SPREAD_US) + host.plan.joins_ms * US_PER_MS
            self.engine.at(at_us, "host start", partial(self._begin, host))
        for job in self.plan.jobs:
            self.engine.at(job.start_ms * US_PER_MS, "job", partial(self._start_work, job))
        for fault in self.plan.faults:
            self.engine.at(fault.at_ms * US_PER_MS, "fault", partial(self._fault, fault))
        for act in self.plan.acts:
            self.engine.at(act.at_ms * US_PER_MS, "officers", partial(self.act, act))
        for errand in self.plan.errands:
            self.engine.at(errand.at_ms * US_PER_MS, "errand", partial(self.errands.run, errand))
        for rule in self.plan.policy.phases:
            at_us = (rule.from_unix_ms - EPOCH_UNIX_MS) * US_PER_MS
            if at_us > 0:
                self.engine.at(at_us, "date of a phase", self._advance_all)
        self.engine.at(SWEEP_US, "sweep", self._sweep)

    def _begin(self, host: Host) -> None:
        for courier in host.couriers:
            courier.start()
        host.start_gate()
        host.schedules = not self.plan.jobs
        if host.schedules:
            host.start_jobs()

    def _fault(self, fault: Fault) -> None:
        self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1
        self.engine.note("fault", str(fault))
        self._on_fault("fault", str(fault))
        APPLY[fault.kind](self, fault)

    def _start_work(self, job: TimedWork) -> None:
        host = self.named(job.host)
        if not isinstance(host, Host) or not host.up or host.suspended:
            return
        end_us = job.end_ms * US_PER_MS
        if host.hardware.admits(job.chips):
            work = host.hardware.start(job.chips, self.engine.now_us, busy_percent=job.busy_percent)
            self.engine.at(end_us, "job ends", partial(host.end_process, work.pid))
        elif self.engine.now_us + RETRY_US < end_us:
            self.engine.after(RETRY_US, "job", partial(self._start_work, job))

    # ------------------------------------------------------------------ what officers do

    def act(self, act: Act) -> None:
        """Officers sign, and bring it to their governor; again while that does not answer."""
        self._on_act(act)
        governor = self.governors[act.authority]
        officers = governor.officers
        if act.act in RULINGS:
            host = self.named(act.host) if act.host else None
            ruled = ruling(act, governor, host)
            if ruled is not None:
                self.engine.note(governor.name, f"officers: {act.act} {act.host or act.names}")
                self._bring(governor, ruled)
            return
        match act.act:
            case "pause" | "emergency":
                order = officers.pause(act.within, emergency=act.act == "emergency")
            case "resume" | "resume-first":
                standing = tuple(governor.truth.pauses)
                if not standing:
                    return
                order = officers.resume(standing if act.act == "resume" else standing[:1])
            case posed if posed in POSED:
                order = posing(act, officers, tuple(governor.truth.pauses))
            case "demote":
                other = self.governors[1 - act.authority].name
                order = officers.seats((other,), act.fallback_ms)
            case "promote" | "fallback":
                order = officers.seats((), act.fallback_ms)
            case "policy_phase":
                now_unix_ms = governor.clocks.true_unix_ms
                order = officers.phase(act.within, act.phase, now_unix_ms)
            case _:
                order = officers.cap(act.within, act.cap_tflop)
        self.engine.note(governor.name, f"officers: {act.act} {act.scope}")
        self._bring(governor, order)

    def _bring(self, governor: Governor, order: Envelope) -> None:
        if not governor.order(order) and governor.state is None:
            self.engine.after(US_PER_S, "officers", partial(self._bring, governor, order))

    def reconcile_soon(self, governor: Governor, lost_from: int) -> None:
        """Officers find a governor halted: they bring what it lost, and sign what was lost."""

        def look() -> None:
            if governor.halt() is None:
                self.engine.after(RECONCILE_US, "officers", look)
                return
            for order in governor.officers.issued[lost_from:]:
                governor.order(order)
            # A reconciliation of an earlier loss may have been among them.
            halt = governor.halt()
            if halt is None or not governor.order(
                governor.officers.reconciliation(halt.quoted_batch + 10)
            ):
                self.engine.after(RECONCILE_US, "officers", look)

        self.engine.after(RECONCILE_US, "officers", look)

    def replace_key(self, governor: Governor, span_us: int, *, emergency: bool) -> None:
        """Officers replace an online key, one step after another."""
        KeyReplacement(self, governor, span_us).start(emergency=emergency)

    # ------------------------------------------------------------------ letting it run

    def run(self) -> None:
        """To the end of the plan, or to the first law that is broken."""
        self.engine.run(self.plan.duration_ms * US_PER_MS)
        if self.broken is None and self._judged:
            self._advance_all()
            for governor in self.governors:
                governor.truth.mark()
            self._check()

    def close(self) -> None:
        """Every process ends, so that disks can be put away."""
        for host in self.hosts:
            host.kill_gate("the world ends")
        for governor in self.governors:
            governor.kill("the world ends")
            governor.store.close()

    def _sweep(self) -> None:
        """Work that nobody looks at is seen at least this often."""
        self._advance_all()
        self.engine.after(SWEEP_US, "sweep", self._sweep)

    def _host_moved(self, host: Host) -> None:
        self._moved_hosts[host.name] = host

    def _governor_moved(self, governor: Governor) -> None:
        self._moved_governors[governor.name] = governor

    def _advance_all(self) -> None:
        for host in self.hosts:
            host.hardware.advance(self.engine.now_us)
            host.truth.mark()

    def _check(self) -> None:
        """Judge whatever moved in the event that just happened, in the order in which it did."""
        now_us = self.engine.now_us
        if self._moved_hosts:
            hosts, self._moved_hosts = self._moved_hosts, {}
            for host in hosts.values():
                if self.broken is None:
                    self._judge(broken_by_host(host, now_us))
        if self._moved_governors:
            governors, self._moved_governors = self._moved_governors, {}
            for governor in governors.values():
                if self.broken is None:
                    self._judge(broken_by_governor(governor, now_us))

    def _judge(self, broken: tuple[Law, str] | None) -> None:
        if broken is not None:
            law, detail = broken
            self.engine.note("LAW", f"{law.number} ({law.name}) is broken: {detail}")
            self.broken = Broken(
                law=law, detail=detail, at_us=self.engine.now_us, step=self.engine.steps
            )
            self.engine.stop()

    def named(self, name: str) -> Host | Governor:
        """A host or governor by name."""
        return self._by_name[name]


def gate_token(authority: str, record: TokenRecord) -> GateToken:
    """What a gate keeps of a join token of this authority."""
    return GateToken(
        authority=authority,
        trust_root_digest=record.trust_root_digest,
        cluster=record.cluster,
        custodian=record.custodian,
        site=record.site,
        jurisdiction=record.jurisdiction,
        token_id=record.token_id,
        secret=record.secret,
    )


def _ignore(*_what: object) -> None:
    """Nobody watches."""
