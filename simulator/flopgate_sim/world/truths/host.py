"""What really happened, as the hardware and the wires saw it: the laws are judged by this.

Nothing here is read by a core. Times are world time; what stands in statements is taken from the
bytes that left, by protobuf alone and not by the codec that is on trial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flopgate_agent.gate.core import GateCore
from flopgate_proto.codec import PayloadType, decode_order, envelope_from_wire
from flopgate_proto.envelope import Envelope, statement_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.orders import Pause, Resume, Revocation, Seats, Veto
from flopgate_sim.world.nature.durable import Durable
from flopgate_sim.world.nature.engine import US_PER_MS
from flopgate_sim.world.truths.grants import GrantTruth, reach_tflop
from flopgate_sim.world.truths.keys import HeardKeys
from flopgate_sim.world.truths.licenses import LicenseTruth, chips_flop
from flopgate_sim.world.truths.orders import PauseTruth, by_quorum
from flopgate_sim.world.truths.seats import SeatTruth

if TYPE_CHECKING:
    from flopgate_sim.world.hosts.gate_side import GateSide

FINDING_REPORTS = 3
"""Within so many reports something implausible is a finding (law 10)."""
RUNGS_MS = 135_000
"""Within this time chips are as their lane's state wants them: they are set anew each minute, a
child that hung is followed by another after a minute at most, and given up after 10 s."""
_UNDONE = "enforcement.rung.undone_by_other"
_WALL_STEPPED = "clock.wall.stepped"


def nobody() -> None:
    """Nobody wants to know that something moved."""


@dataclass(slots=True)
class HostTruth:
    """One host.

    Attributes:
        requests_us: when each report of this host was made, by digest.
        granted_us: by request: (authority, workload) and up to when its grant allows work.
        deadline_us: the same of all grants that came to this host in this boot, the latest each.
        ceiling_tflop: by (authority, workload): highest ceiling that ever left.
        reserves_tflop: the same, of all reserves that ever left, on top.
        granted_sequence: by authority and request: report of each grant that ever left.
        grants: those that may still be used.
        pauses: by digest: that reached a gate of this host and that no resume lifted since.
        vetoed_us: by digest of an order: when an officer's veto of it was kept here.
        unsure: orders over whose writing the gate died: the disk tells whether they were kept.
        acting_since_us: since when a gate sees and acts, ``None`` while none does.
        asked: whether the host asked for admission; its books count from there, above
            ``baseline_flop`` by workload.
        enrolled_us: when an authority's admission came and was kept, ``None`` while none was.
        unkept_us: when one came to this gate and could not be kept: it rules as long as this lives.
        left_sequence: highest report that left the gate.
        ended_by: the report that left by which the host retired: no grant counts any more.
        odd_ms: host time at which counters did what no chip can do, until a finding says so.
        odd_sequence: newest report by then.
        odd_reports: how many reports since tell of time after it and find nothing.
        wall_by: the wall clock stepped after this report: the next few must tell of it.
        boot_clock_trusted: nobody stepped the boot clock since the boot.
        undone_us: when somebody undid what the gate had set of its chips, until a finding says so
            or it lets them go itself.
        undone_by: the first report that must tell of it, or one of the next few.
        odd: what reports claimed or kept silent about, against law 10.
        doubtful_at: newest report when a clock was set back. A gate that starts from it, or from
            an older one, charges by that clock.
        told_us: findings of reports that left, each with when it first did.
        lacking: by digest of a report: lanes that had no permission when it was made.
        excused: why law 3 is not judged at the next look. What was lost is taken off the truth
            there, and the law judged from there on.
        keys: which online keys count here.
        seats: whose permission it needs.
        mark: called when something moved.
    """

    name: str
    requests_us: dict[bytes, int] = field(default_factory=dict)
    granted_us: dict[bytes, list[tuple[tuple[str, str], int]]] = field(default_factory=dict)
    deadline_us: dict[tuple[str, str], int] = field(default_factory=dict)
    ceiling_tflop: dict[tuple[str, str], int] = field(default_factory=dict)
    reserves_tflop: dict[tuple[str, str], int] = field(default_factory=dict)
    granted_sequence: dict[tuple[str, bytes], int] = field(default_factory=dict)
    grants: list[GrantTruth] = field(default_factory=list)
    pauses: dict[bytes, PauseTruth] = field(default_factory=dict)
    lifted: set[bytes] = field(default_factory=set)
    vetoed_us: dict[bytes, int] = field(default_factory=dict)
    unsure: list[pb.SignedOrder] = field(default_factory=list)
    acting_since_us: int | None = None
    asked: bool = False
    enrolled_us: int | None = None
    unkept_us: int | None = None
    baseline_flop: dict[str, int] = field(default_factory=dict)
    left_sequence: int = 0
    ended_by: int | None = None
    sequence: int = 0
    started_sequence: int | None = None
    loose: str = ""
    acknowledged: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    doubtful_at: int | None = None
    told_us: dict[str, int] = field(default_factory=dict)
    lacking: dict[bytes, frozenset[str]] = field(default_factory=dict)
    excused: str = ""
    excused_looks: int = 0
    fresh_look: bool = False
    odd_ms: int | None = None
    odd_sequence: int = 0
    odd_reports: int = 0
    undone_us: int | None = None
    undone_by: int | None = None
    wall_by: int | None = None
    boot_clock_trusted: bool = True
    odd: list[str] = field(default_factory=list)
    keys: HeardKeys = field(default_factory=HeardKeys)
    seats: SeatTruth = field(default_factory=SeatTruth)
    licenses: LicenseTruth = field(default_factory=LicenseTruth)
    mark: Callable[[], None] = nobody

    def gate_started(self, core: GateCore, durable: Durable, now_us: int) -> None:
        """A gate runs from now on, on what its disk really holds."""
        sequence = core.chain.sequence
        self.acting_since_us, self.unkept_us = now_us, None
        for order in self.unsure:
            if envelope_from_wire(order.envelope).digest in durable.orders:
                self.order_taken(core, order, now_us)
        self.unsure = []
        # What could not be kept was never asked or admitted: the host asks again.
        self.asked = self.asked and durable.asked
        if not durable.admitted:
            self.enrolled_us = None
        if self.doubtful_at is not None:
            if durable.sequence <= self.doubtful_at:
                self.excused = "no report tells of a clock that was set back"
            else:
                self.doubtful_at = None
        if sequence > durable.sequence:
            self.loose = f"starts from report {sequence}, durable is {durable.sequence}"
        self.started_sequence = sequence
        self.sequence = sequence
        self.mark()

    def gate_died(self) -> None:
        """No gate acts any more."""
        self.acting_since_us = None
        self.fresh_look = False
        self.odd_ms = self.undone_us = self.wall_by = None
        self.boot_clock_trusted = True
        self.mark()

    def booted(self) -> None:
        """A new boot: permission of the one before is dead."""
        self.deadline_us.clear()
        self.keys.booted()

    def asks(self, host: GateSide) -> None:
        """An enrolment leaves the gate: from the first one on its books count."""
        if not self.asked:
            self.asked = True
            self.baseline_flop = {
                lane.workload: chips_flop(host, lane.chips) for lane in host.plan.lanes
            }

    def admitted(self, now_us: int) -> None:
        """An admission came to the gate, which took and kept it."""
        if self.enrolled_us is None:
            self.enrolled_us = now_us

    def admitted_unkept(self, now_us: int) -> None:
        """An admission came to the gate, which took it and could not keep it."""
        if self.unkept_us is None:
            self.unkept_us = now_us

    def made(self, core: GateCore, now_us: int) -> bool:
        """The core may have made a report; whether it did."""
        if core.chain.sequence <= self.sequence:
            return False
        self.sequence = core.chain.sequence
        due_us = None if self.undone_us is None else self.undone_us + RUNGS_MS * US_PER_MS
        if due_us is not None and self.undone_by is None and now_us > due_us:
            self.undone_by = self.sequence
        lacking = frozenset([name for name in core.lanes if self._lacks(core, name, now_us)])
        for digest, sent in reversed(core.chain.sent.items()):
            if digest in self.requests_us:
                break
            if sent.sequence:
                self.requests_us[digest] = now_us
                if lacking:
                    self.lacking[digest] = lacking
        return True

    def _lacks(self, core: GateCore, workload: str, now_us: int) -> bool:
        needed = self.needed(core.authorities, now_us)
        until_us = [self.deadline_us.get((name, workload), 0) for name in needed]
        return min(until_us, default=0) < now_us

    def needed(self, joined: Iterable[str], now_us: int) -> list[str]:
        """Of the authorities that the host joined those whose permission it needs."""
        if not self.seats.said:
            return list(joined)
        pausing = {held.pause.authority for held in self.pauses.values()}
        return self.seats.needed(joined, pausing, now_us)

    def looked(self) -> None:
        """The gate read its counters."""
        self.fresh_look = True

    def left(self, report: pb.SignedReport, now_us: int) -> None:
        """A report left the gate."""
        message = pb.Report.FromString(report.envelope.payload)
        if report.envelope.payload_type == PayloadType.RETIREMENT:
            self.ended_by = message.sequence
            self.grants.clear()
            self.deadline_us = {key: min(us, now_us) for key, us in self.deadline_us.items()}
        for found in message.findings:
            self.told_us.setdefault(found.id, now_us)
        self.left_sequence = max(self.left_sequence, message.sequence)
        for quote in message.quotes:
            self._named(quote.authority, quote.grant)
        if message.assurance != pb.ASSURANCE_SOFTWARE:
            self.odd.append(f"report {message.sequence} claims more than software stands behind")
        if self.lacking:
            self._explained(report.envelope, message)
        self._told_undone(message)
        self._told_wall(message)
        since = None if self.odd_ms is None else (self.odd_sequence, self.odd_ms)
        # An older report tells of another time, maybe of another boot.
        if since and message.sequence > since[0] and message.interval_end_ms > since[1]:
            self.odd_reports += 1
            if any(found.id.startswith("meter.") for found in message.findings):
                self.odd_ms = None
            elif self.odd_reports > FINDING_REPORTS:
                self.odd.append(f"counters jumped, report {message.sequence} finds nothing odd")

    def _explained(self, envelope: pb.Envelope, report: pb.Report) -> None:
        """A lane without permission says why it should stand, and that it runs nevertheless."""
        lacking = self.lacking.pop(statement_digest(envelope.payload_type, envelope.payload), ())
        for lane in report.lanes:
            if lane.workload not in lacking:
                continue
            text = f"report {report.sequence}: {lane.workload} has no permission"
            if not lane.stop_reason:
                self.odd.append(f"{text} and gives no reason")
            elif lane.state == pb.LANE_STATE_RUNNING and "lane.would-stop" not in self.told_us:
                self.odd.append(f"{text}, runs, and no finding tells of it")

    def _told_undone(self, message: pb.Report) -> None:
        if self.undone_us is None:
            return
        if any(found.id == _UNDONE for found in message.findings):
            self.undone_us = None
        elif self.undone_by is not None and message.sequence > self.undone_by + FINDING_REPORTS:
            self.odd.append(f"rungs were undone, report {message.sequence} does not say so")

    def _told_wall(self, message: pb.Report) -> None:
        if self.wall_by is None or message.sequence <= self.wall_by:
            return
        if any(found.id == _WALL_STEPPED for found in message.findings):
            self.wall_by = None
        elif message.sequence > self.wall_by + FINDING_REPORTS:
            self.odd.append(f"the wall clock stepped, report {message.sequence} does not say so")

    def wall_stepped(self) -> None:
        """Somebody set the wall clock while a gate ran; two steps before a report may cancel."""
        trusted = self.boot_clock_trusted and self.wall_by is None
        self.wall_by = self.sequence if trusted else None

    def boot_clock_stepped(self) -> None:
        """Nothing is left by which a wall clock could be judged."""
        self.boot_clock_trusted, self.wall_by = False, None

    def undone(self, now_us: int) -> None:
        """Somebody undid what the gate holds of its chips."""
        if self.undone_us is None:
            self.undone_us, self.undone_by = now_us, None

    def let_go(self) -> None:
        """The gate need not find out any more, or cannot."""
        self.undone_us = None

    def came(self, answers: Iterable[pb.Answer], signer: str) -> None:
        """Answers under this key came to the gate; what they grant may be used from now on."""
        for answer in answers if self.ended_by is None else ():
            for key, until_us in self.granted_us.pop(answer.request_digest, ()):
                latest_us = self.keys.granted(key, signer, until_us)
                self.deadline_us[key] = max(self.deadline_us.get(key, 0), latest_us)

    def _named(self, authority: str, digest: bytes) -> None:
        """A report says which grant is in use: those before it are over for this gate."""
        sequence = self.granted_sequence.get((authority, digest))
        if sequence is not None:
            self.grants = [
                one
                for one in self.grants
                if one.authority != authority or one.sequence >= sequence or one.request
            ]

    def jumped(self, elapsed_ms: int) -> None:
        """Counters of a chip jumped farther than it can have worked, at this host time."""
        if self.odd_ms is None:
            self.odd_ms, self.odd_sequence, self.odd_reports = elapsed_ms, self.sequence, 0

    def rolled_back(self, taken_us: int, sequence: int) -> None:
        """The ledger is put back as it was then, up to a report: what came since is lost."""
        self.left_sequence = sequence
        if self.ended_by is not None and self.ended_by > sequence:
            self.ended_by = None
        self.excused = "an older ledger was put back"
        self.licenses.restored()
        self.keys.rolled_back(taken_us)
        self.vetoed_us = {one: us for one, us in self.vetoed_us.items() if us <= taken_us}
        self.pauses = {
            digest: pause for digest, pause in self.pauses.items() if pause.came_us <= taken_us
        }

    def order_taken(self, core: GateCore, order: pb.SignedOrder, now_us: int) -> None:
        """An order was given to the gate, which took and kept it."""
        envelope = envelope_from_wire(order.envelope)
        value = decode_order(envelope.payload_type, envelope.payload)
        if isinstance(value, Pause) and envelope.digest not in self.lifted:
            policy = core.authorities[value.authority].policy
            self.pauses.setdefault(
                envelope.digest,
                PauseTruth(
                    pause=value,
                    came_us=now_us,
                    wind_down_ms=0 if value.emergency or policy is None else policy.wind_down_ms,
                    drain_ms=5_000 if policy is None else policy.drain_ms,
                ),
            )
        elif isinstance(value, Resume):
            self._lift(core, envelope, value, now_us)
        elif isinstance(value, Veto):
            self.vetoed_us.setdefault(value.order_digest, now_us)
        elif isinstance(value, Revocation):
            policy = core.authorities[value.authority].policy
            for key, until_us in self.keys.revoked(value, policy, now_us):
                self.deadline_us[key] = min(self.deadline_us[key], until_us)
        elif isinstance(value, Seats):
            orders = core.authorities[value.authority].orders
            if orders is not None and by_quorum(envelope, orders.trust.root):
                self.seats.order(value)

    def _lift(self, core: GateCore, envelope: Envelope, resume: Resume, now_us: int) -> None:
        """Pauses end once a quorum signed, and the delay has passed."""
        authority = core.authorities[resume.authority]
        orders = authority.orders
        if orders is None or not by_quorum(envelope, orders.trust.root):
            return
        delay_ms = 0 if authority.policy is None else authority.policy.loosening_delay_ms
        for digest in resume.lifts:
            if not delay_ms:
                self.lifted.add(digest)
                self.pauses.pop(digest, None)
            elif digest in self.pauses:
                ends_us = now_us + delay_ms * US_PER_MS
                self.pauses[digest] = replace(self.pauses[digest], ends_us=ends_us)

    def ever_tflop(self, authority: str, workload: str) -> int:
        """Highest total that everything ever granted by an authority allows."""
        key = (authority, workload)
        return self.ceiling_tflop.get(key, 0) + self.reserves_tflop.get(key, 0)

    def usable_tflop(self, authority: str, workload: str, now_us: int, allotted_tflop: int) -> int:
        """Highest total that the lane may reach, by grants of an authority that are not over."""
        left = () if self.ended_by is not None else self.grants
        self.grants = [grant for grant in left if grant.until_us > now_us]
        own = [
            grant
            for grant in self.grants
            if grant.workload == workload and grant.authority == authority
        ]
        return reach_tflop(own, self.licenses, allotted_tflop) if own else allotted_tflop


def is_free(host: GateSide) -> bool:
    """Whether the host retired and everybody whom it joined has said so: nobody rules it."""
    last, known = host.truth.ended_by, host.truth.acknowledged
    return last is not None and all(
        known.get(courier.authority.name, 0) >= last for courier in host.couriers
    )
