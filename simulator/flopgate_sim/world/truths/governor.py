"""What really left a governor, as the wires saw it; see `host`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flopgate_governor.receive import Submission
from flopgate_proto.codec import decode_order
from flopgate_proto.envelope import Envelope, statement_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.orders import (
    Adoption,
    Closure,
    ClusterRuling,
    Order,
    Pause,
    Policy,
    Reconciliation,
    Registration,
    Relief,
    Resume,
    TrustRoot,
    Veto,
)
from flopgate_sim.world.nature.clocks import PPM
from flopgate_sim.world.nature.engine import US_PER_MS
from flopgate_sim.world.truths.clusters import ClusterTruth
from flopgate_sim.world.truths.grants import GrantTruth
from flopgate_sim.world.truths.host import nobody
from flopgate_sim.world.truths.keys import KeyTruth
from flopgate_sim.world.truths.lane_sums import LaneSums
from flopgate_sim.world.truths.licensing import judge_grant, quoted
from flopgate_sim.world.truths.losses import LossTruth
from flopgate_sim.world.truths.orders import (
    WaitingOrders,
    by_quorum,
    raised,
    sender,
    signed_by,
)
from flopgate_sim.world.truths.rulings import RulingTruth
from flopgate_sim.world.truths.silences import SilenceTruth
from flopgate_sim.world.truths.workloads import WorkTruth

if TYPE_CHECKING:
    from flopgate_sim.world.governors.governor import Governor
    from flopgate_sim.world.hosts.host import Host


@dataclass(slots=True)
class GovernorTruth(LaneSums):
    """One authority.

    Attributes:
        acknowledged: by (host, sequence): digest of the report that an answer acknowledged.
        pauses: by digest: taken and not lifted.
        spent_tflop: by scope, at most what given-up histories cost beside what they reported.
        lifts_unix_ms: when a resume that waits may lift one, by its digest.
        forgotten: those that a store put back does not know, until officers bring them again.
        losses: what a backup that took the place of its store does not know.
        forgetful: a backup took its place, and it has not made good what it lost.
        restores: how often that happened.
        licenses: answers that are licenses, by request.
        turned_away: why hosts were not admitted.
        clusters: which hosts really hang together.
        works, rulings: what officers registered, and what they ruled on chains.
        waiting: orders that are not in force yet, and those that were vetoed.
        faults: what went wrong, as (law, text): found when it happened.
    """

    answers: dict[bytes, bytes] = field(default_factory=dict)
    acknowledged: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    pauses: dict[bytes, tuple[Pause, int]] = field(default_factory=dict)
    forgotten: set[bytes] = field(default_factory=set)
    lifted: set[bytes] = field(default_factory=set)
    lifts_unix_ms: dict[bytes, int] = field(default_factory=dict)
    spent_tflop: dict[str, int] = field(default_factory=dict)
    policy: Policy | None = None
    caps_tflop: dict[str, int] = field(default_factory=dict)
    losses: LossTruth = field(default_factory=LossTruth)
    forgetful: bool = False
    restores: int = 0
    keys: KeyTruth = field(default_factory=KeyTruth)
    turned_away: set[str] = field(default_factory=set)
    waiting: WaitingOrders = field(default_factory=WaitingOrders)
    grants: int = 0
    refusals: int = 0
    commits: int = 0
    reports: int = 0
    starts: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)
    clusters: ClusterTruth = field(default_factory=ClusterTruth)
    silence: SilenceTruth = field(default_factory=SilenceTruth)
    works: WorkTruth = field(default_factory=WorkTruth)
    rulings: RulingTruth = field(default_factory=RulingTruth)
    licenses: dict[bytes, bytes] = field(default_factory=dict)
    _batch: dict[tuple[bytes, int], pb.Report] = field(default_factory=dict)
    mark: Callable[[], None] = nobody
    just_started: bool = False

    def started(self, batch: int, durable_batch: int) -> None:
        """The process serves from now on: the newest batch that it knows, and that is durable."""
        self.starts += 1
        if batch > durable_batch:
            text = f"serves from batch {batch}, durable is {durable_batch}"
            self.faults.append((9, text))
        self.just_started = True
        self.mark()

    def restored(self, batch_number: int) -> None:
        """An older backup took the place of the store."""
        self.losses.restored(batch_number)
        known = self.answers
        # A host whose ledger was put back too may tell another history: nobody knows the first.
        self.answers, self.licenses = self.losses.without(known), self.losses.without(self.licenses)
        gone = known.keys() - self.answers.keys()
        self.acknowledged = {
            place: request for place, request in self.acknowledged.items() if request not in gone
        }
        self.forgetful = True
        self.clusters.forget()
        self.restores += 1
        self.forgotten = set(self.pauses)

    def knows(self, pauses: Iterable[bytes]) -> None:
        """The process that starts knows these pauses."""
        self.forgotten.difference_update(pauses)

    @property
    def _delay_ms(self) -> int:
        return 0 if self.policy is None else self.policy.loosening_delay_ms

    def _take_policy(self, policy: Policy) -> None:
        self.policy = policy
        for budget in policy.budgets:
            self.caps_tflop[str(budget.scope)] = budget.cap_tflop

    def _adopt(self, order: Adoption) -> None:
        """The history that is given up is over."""
        host_id, first = order.host_id, order.sequence
        self.acknowledged = {
            place: request
            for place, request in self.acknowledged.items()
            if place[0] != host_id or place[1] < first
        }

    def _spend(self, host_id: bytes) -> None:
        """At most this is spent of what its histories did not report."""
        host = self.hosts[host_id]
        for name, workload in host.truth.ceiling_tflop:
            ever_tflop = host.truth.ever_tflop(name, workload)
            for scope in host.plan.scopes_of(workload) if name == self.name else ():
                self.spent_tflop[scope] = self.spent_tflop.get(scope, 0) + ever_tflop

    def _wait_or_take(self, order: Order, unix_ms: int, *, waits: bool) -> None:
        if waits and self._delay_ms:
            self.waiting.add(unix_ms + self._delay_ms, order)
        else:
            self._take(order, unix_ms)

    def _take(self, order: Order, unix_ms: int) -> None:
        """It is in force from then on."""
        match order:
            case Policy():
                self._take_policy(order)
            case Adoption():
                self._adopt(order)
            case Registration():
                self.works.registered(order, self.usable_tflop)
            case ClusterRuling():
                self.clusters.ruled(order)
            case Relief():
                wrong = self.rulings.relieve(self, order)
                self.faults += [(3, wrong)] if wrong else []
            case Closure() if self.policy is not None:
                self.rulings.close(self, order.host_id, unix_ms, self.policy)
            case _:
                pass

    def pass_time(self, unix_ms: int) -> None:
        """What waited long enough may be in force."""
        for due_unix_ms, order in self.waiting.due(unix_ms):
            self._take(order, due_unix_ms)

    def ordered(self, envelope: Envelope, root: TrustRoot, unix_ms: int) -> None:
        """An order was taken, at this time of the governor's own."""
        value = decode_order(envelope.payload_type, envelope.payload)
        self.keys.ordered(envelope, value, root)
        match value:
            case Pause():
                self.forgotten.discard(envelope.digest)
                if envelope.digest not in self.lifted:
                    self.pauses[envelope.digest] = (value, unix_ms)
            case Resume() if by_quorum(envelope, root):
                due_unix_ms = unix_ms + self._delay_ms
                for digest in value.lifts:
                    if self._delay_ms:
                        self.lifts_unix_ms.setdefault(digest, due_unix_ms)
                        continue
                    self.lifted.add(digest)
                    self.pauses.pop(digest, None)
            case Policy() if by_quorum(envelope, root):
                self._wait_or_take(value, unix_ms, waits=raised(self.policy, value))
            case Adoption() | Relief() | Registration() if by_quorum(envelope, root):
                if isinstance(value, Adoption):
                    self._spend(value.host_id)
                    self.rulings.waits(value, unix_ms + self._delay_ms)
                self._wait_or_take(value, unix_ms, waits=True)
            case Closure() | ClusterRuling() if by_quorum(envelope, root):
                self._wait_or_take(
                    value, unix_ms, waits=isinstance(value, ClusterRuling) and value.apart
                )
            case Veto(order_digest=ended):
                self.waiting.veto(ended)
            case Reconciliation(batch_number=lost_upto):
                self.losses.reconciled(lost_upto)
            case _:
                pass

    def admitted(self, enrolment: pb.Envelope, admission: pb.Envelope, unix_ms: int) -> None:
        """A host was admitted: this authority follows its chain from its enrolment on."""
        said = pb.Admission.FromString(admission.payload)
        if said.host_id in self.hosts:
            self.silence.heard(said.host_id, unix_ms)
        digest = statement_digest(enrolment.payload_type, enrolment.payload)
        host = self.hosts.get(said.host_id)
        if host is not None and digest == said.enrolment_digest:
            begun = pb.Enrolment.FromString(enrolment.payload)
            known = host.truth.acknowledged.get(self.name, 0)
            host.truth.acknowledged[self.name] = max(known, begun.sequence)
            self.begin(said.host_id, begun)
            self.rulings.enrolled(self, host, unix_ms)

    def offer(self, submissions: Sequence[Submission], unix_ms: int, now_us: int) -> None:
        """These messages are about to be judged, at this time of the governor's own."""
        self.pass_time(unix_ms)
        self._batch = {}
        self.keys.begin()
        read: list[tuple[Host, bytes, pb.Report]] = []
        for submission in submissions:
            for signed in submission.reports:
                envelope = signed.envelope
                digest = statement_digest(envelope.payload_type, envelope.payload)
                host = self.hosts.get(sender(envelope))
                made = host is not None and digest in host.truth.requests_us
                if host is None or not (made or signed_by(envelope, host.key.spki)):
                    continue
                report = pb.Report.FromString(envelope.payload)
                self.losses.offered(signed, report, unix_ms, made=made, revoked=self.keys.revoked)
                self.keys.offered(signed, report, digest, self.losses.gave)
                read.append((host, digest, report))
        for host, digest, report in read:
            if digest not in host.truth.requests_us:
                if not self.losses.may_be_lost(report, self.name):
                    continue
                # Its host tells no gate's story, of what the authority lost: it may be believed.
                host.truth.requests_us[digest] = now_us
            self._batch[report.host_id, report.sequence] = report
            age_ms = (now_us - host.truth.requests_us[digest]) // US_PER_MS
            self.silence.heard(report.host_id, unix_ms, age_ms)
            self.offer_lanes(host, report)

    def committed(self, governor: Governor, replies: Sequence[pb.LinkDown], now_us: int) -> None:
        """The batch was judged, and these replies are about to leave."""
        self.mark()
        self.commits += 1
        reports = self._batch
        unsynced = governor.store.unsynced_bytes
        for reply in replies:
            self.faults += () if self.restores else self.keys.turned_away(reply.notices)
            for batch in reply.batches:
                self.faults += [(4, text) for text in self.losses.left(batch)]
                self.faults += self.keys.misused(batch, self.answers)
                for leaf in batch.answers:
                    known = len(self.answers)
                    self._answered(leaf.payload, reports, now_us)
                    # What is told again was durable when its batch was; a batch that failed may
                    # have left parts that nobody will ever read.
                    if unsynced and len(self.answers) > known:
                        text = f"an answer leaves before {unsynced} bytes are durable"
                        self.faults.append((7, text))

        for place, report in reports.items():
            if report.HasField("topology") and place in self.acknowledged:
                self.clusters.told(report.host_id)

    def _answered(
        self, payload: bytes, reports: dict[tuple[bytes, int], pb.Report], now_us: int
    ) -> None:
        answer = pb.Answer.FromString(payload)
        host = self.hosts.get(answer.host_id)
        if host is None:
            self.faults.append((4, f"answers a host {answer.host_id.hex()[:12]} that is nobody's"))
            return
        digest = answer.request_digest
        retold = digest in self.answers
        self.reports += not retold
        first = self.answers.setdefault(digest, payload)
        if first != payload and not self.forgetful:
            self.faults.append((2, f"{host.name}: one request got two different answers"))
        key = (answer.host_id, answer.acknowledged_sequence)
        known = self.acknowledged.setdefault(key, digest)
        if known != digest and not self.forgetful:
            self.faults.append(
                (4, f"{host.name}: two reports {answer.acknowledged_sequence} are acknowledged")
            )
        if digest not in host.truth.requests_us:
            self.faults.append((4, f"{host.name}: acknowledges what its gate never made"))
            return
        self.silence.told(answer.governor_unix_ms)
        acknowledged = host.truth.acknowledged
        acknowledged[self.name] = max(acknowledged.get(self.name, 0), answer.acknowledged_sequence)
        if host.truth.ended_by is not None and acknowledged[self.name] >= host.truth.ended_by:
            self.silence.gone(host.host_id)
            self.clusters.gone(host.host_id)
        report = reports.get(key)
        if report is not None:
            quoted(self, host, report, answer.governor_unix_ms)
            self.acknowledge(host, report, answer.governor_unix_ms)
        self._judge_terms(host, answer, retold=retold)
        for verdict in answer.verdicts:
            if verdict.HasField("ceiling"):
                self.grants += not retold
                self._granted(host, answer, verdict, now_us)
                if not retold and report is not None and self.policy is not None:
                    self._judge_silence(host, answer, verdict, self.policy)
                    self._judge_rulings(host, answer, verdict, now_us)
            else:
                self.refusals += not retold
                reason = "" if retold else verdict.refusal.reason
                for text in self.works.groundless(self, host, verdict.workload, reason):
                    self.faults.append((8, text))

    def _judge_rulings(
        self, host: Host, answer: pb.Answer, verdict: pb.Verdict, now_us: int
    ) -> None:
        forbidden = self.rulings.forbidden(host, answer.governor_unix_ms)
        if forbidden is not None:
            self.faults.append(forbidden)
        if self.restores:
            return
        self.count_usable(now_us, anew=False)
        if any(self.works.passed(self, host, verdict.workload)):
            self.count_usable(now_us, anew=True)
            passed = self.works.passed(self, host, verdict.workload)
            self.faults += [(2, text) for text in passed]
        more = verdict.ceiling.ceiling_tflop - self.newest[answer.host_id, verdict.workload][1]
        over = self.rulings.overgranted(self, host, verdict.workload, more, answer.governor_unix_ms)
        self.faults += [(3, text) for text in over]

    def _judge_silence(
        self, host: Host, answer: pb.Answer, verdict: pb.Verdict, policy: Policy
    ) -> None:
        _, allotted_tflop, _ = self.newest[answer.host_id, verdict.workload]
        for text in self.silence.overgranted(
            policy,
            self.hosts,
            self.settled_tflop,
            granted=host,
            workload=verdict.workload,
            more_tflop=verdict.ceiling.ceiling_tflop - allotted_tflop,
            unix_ms=answer.governor_unix_ms,
        ):
            self.faults.append((3, text))

    def _judge_terms(self, host: Host, answer: pb.Answer, *, retold: bool) -> None:
        if retold or not answer.HasField("terms"):
            return
        doubt = self.clusters.doubt(host.plan, self.policy, exempt=answer.terms.exempt)
        if doubt and not self.forgetful:
            self.faults.append((10, f"{host.name}: {doubt}"))

    def _granted(self, host: Host, answer: pb.Answer, verdict: pb.Verdict, now_us: int) -> None:
        judge_grant(self, host, answer, verdict.workload)
        self.faults += self.keys.granted(answer.request_digest)
        truth, key = host.truth, (self.name, verdict.workload)
        made_us = truth.requests_us[answer.request_digest]
        drift = 0 if self.policy is None else self.policy.drift_ppm
        until_us = made_us + answer.terms.lifetime_ms * US_PER_MS * (PPM + drift) // PPM
        truth.granted_us.setdefault(answer.request_digest, []).append((key, until_us))
        ceiling_tflop = verdict.ceiling.ceiling_tflop
        truth.granted_sequence[self.name, answer.request_digest] = answer.acknowledged_sequence
        truth.ceiling_tflop[key] = max(truth.ceiling_tflop.get(key, 0), ceiling_tflop)
        if until_us > now_us:
            truth.grants.append(
                GrantTruth(
                    authority=self.name,
                    sequence=answer.acknowledged_sequence,
                    workload=verdict.workload,
                    told_tflop=ceiling_tflop,
                    until_us=until_us,
                )
            )
        truth.mark()
        self.moved.add(host.host_id)
