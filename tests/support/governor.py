"""A governor in this process with a clock of the test's own, and hosts that speak as gates do."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from flopgate_governor.batch import commit_batch
from flopgate_governor.joining.admission import admit
from flopgate_governor.joining.tokens import TokenRecord, write_token
from flopgate_governor.orders.accepting import accept_order, found
from flopgate_governor.receive import Submission
from flopgate_governor.state import State, open_state
from flopgate_governor.store.database import Store
from flopgate_proto.batches import ProvenAnswer, VerifiedAnswer, verify_answer
from flopgate_proto.codec import (
    PayloadType,
    encode_enrolment,
    encode_order,
    encode_report,
    envelope_from_wire,
)
from flopgate_proto.envelope import Envelope, seal, statement_digest
from flopgate_proto.joining import JoinToken, token_proof
from flopgate_proto.keys import SigningKey, VerifyingKey, key_digest
from flopgate_proto.trust import ROLE_OF, SINGLE_ROLES
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import (
    Assurance,
    Budget,
    CapacityBasis,
    Ceiling,
    ChargedFigure,
    ChipIdentity,
    Delegation,
    Enrolment,
    Figures,
    Key,
    LaneReport,
    LaneRequest,
    LaneState,
    Order,
    Policy,
    Quote,
    Report,
    Request,
    Role,
    Scope,
    ScopeKind,
    Software,
    Topology,
    TrustRoot,
)
from tests.support.governor_clock import Clock
from tests.support.quoted_roots import QuotedRoots

AUTHORITY = "gov.example"
LIFETIME_MS = 600_000
SOFTWARE = Software(name="flopgate", version="0.1.0", digest=bytes(32))
OFFICERS = [SigningKey.from_scalar(1000 + number) for number in range(3)]
PERMIT = SigningKey.from_scalar(2000)
NEXT_PERMIT = SigningKey.from_scalar(2003)
LOG = SigningKey(
    ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
)
AnyOrder = TypeVar("AnyOrder", bound=Order)


def signed(order: Order, signers: list[SigningKey] | None = None) -> Envelope:
    """An order with officers' signatures, by default of the quorum."""
    return seal(*encode_order(ours(order)), OFFICERS[:2] if signers is None else signers)


def ours(order: AnyOrder) -> AnyOrder:
    """The order as one of this authority; whose it says itself, it stays."""
    first = isinstance(order, TrustRoot) and order.version == 1
    if first or order.authority_id:
        return order
    if isinstance(order, TrustRoot):
        return replace(order, nonce=b"", authority_id=AUTHORITY_ID)
    return replace(order, authority_id=AUTHORITY_ID)


def trust_root() -> Envelope:
    """Three officers, any two of them for all but pauses."""
    root = TrustRoot(
        authority=AUTHORITY,
        version=1,
        keys=tuple(
            Key(name=f"officer-{n}", spki=key.spki) for n, key in enumerate(OFFICERS, start=1)
        ),
        roles=tuple(
            Role(name=name, threshold=1 if name in SINGLE_ROLES else 2, keys=(0, 1, 2))
            for name in sorted(set(ROLE_OF.values()))
        ),
        nonce=bytes(16),
    )
    return signed(root)


AUTHORITY_ID = trust_root().digest
POLICY = Policy(
    authority=AUTHORITY,
    authority_id=AUTHORITY_ID,
    version=1,
    threshold_tflop_per_s=1_000_000,
    capacity_basis=CapacityBasis.DENSE_8BIT,
    charged_figure=ChargedFigure.NOMINAL,
    lifetime_ms=LIFETIME_MS,
    wind_down_ms=120_000,
    renew_after_ms=120_000,
    drain_ms=5_000,
    exempt_lifetime_ms=86_400_000,
    drift_ppm=500,
    watchdog_ms=60_000,
    pause_lapse_ms=259_200_000,
    loose_phase_age_ms=1_209_600_000,
    headroom_max_tflop=10**12,
)


def cluster_policy(cap_tflop: int, version: int = 1) -> Policy:
    """A policy under which cluster ``c1`` is covered by this budget."""
    budget = Budget(scope=Scope(ScopeKind.CLUSTER, "c1"), cap_tflop=cap_tflop)
    return replace(POLICY, version=version, budgets=(budget,))


def delegation() -> Delegation:
    """Lets the test's permit key sign."""
    return Delegation(
        authority=AUTHORITY,
        authority_id=AUTHORITY_ID,
        serial=1,
        permit_spki=PERMIT.spki,
        span_ms=7 * 86_400_000,
        least_policy_version=1,
    )


@dataclass
class LocalGovernor:
    """A governor without a network. ``roots``: of all that it answered; it may lose them."""

    state: State
    clock: Clock
    path: Path
    roots: QuotedRoots = field(default_factory=QuotedRoots)

    @classmethod
    def make(cls, path: Path, policy: Policy | None = POLICY) -> "LocalGovernor":
        """A new store, with policy (unless ``None``) and delegation."""
        store = Store(path)
        found(store, trust_root())
        clock = Clock()
        governor = cls(open_state(store, PERMIT, LOG, clock.machine()), clock, path)
        if policy is not None:
            governor.order(policy)
            governor.order(delegation())
        return governor

    def order(self, order: Order, signers: list[SigningKey] | None = None) -> bytes:
        """Give an order; its digest."""
        return accept_order(self.state, signed(order, signers)).digest

    def reopen(self, path: Path | None = None) -> None:
        """Close, and start anew from what is on disk; from another file when a path is given."""
        self.state.store.close()
        self.path = path or self.path
        self.state = open_state(Store(self.path), PERMIT, LOG, self.clock.machine())

    def token(
        self, *, hosts: int = 100, capacity_tflop_per_s: int = 0, life_ms: int = 3_600_000
    ) -> TokenRecord:
        """A join token for cluster ``c1``."""
        record = TokenRecord(
            token_id=bytes([self.tokens_made() + 1]) * 16,
            secret=bytes(range(32)),
            trust_root_digest=self.state.book.roots[0].digest,
            cluster="c1",
            custodian="cu",
            site="s1",
            jurisdiction="xx",
            hosts_max=hosts,
            capacity_tflop_per_s=capacity_tflop_per_s,
            expires_unix_ms=self.clock() + life_ms,
        )
        with self.state.store.transaction() as connection:
            write_token(connection, record)
        return record

    def tokens_made(self) -> int:
        """How many tokens the store holds."""
        with self.state.store.transaction() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM token").scalar_one())

    def enroll(self, host: "FakeHost", token: TokenRecord) -> None:
        """Enroll a host."""
        admit(self.state, host.enrolment(token))

    def send(
        self, *envelopes: Envelope, host_id: bytes | None = None, carried: bool = False
    ) -> pb.LinkDown:
        """Commit some reports as one message of a relay, of one host, or of a file."""
        return self.bring(self.roots.beside(*envelopes), host_id=host_id, carried=carried)

    def bring(
        self,
        reports: tuple[pb.SignedReport, ...],
        host_id: bytes | None = None,
        *,
        carried: bool = False,
    ) -> pb.LinkDown:
        """Commit what a courier brings, just as it is."""
        submission = Submission(reports=reports, host_id=host_id, carried=carried)
        (down,) = commit_batch(self.state, [submission])
        self.roots.note(*down.batches)
        return down

    def count(self, table: str) -> int:
        """Rows of a table."""
        with self.state.store.transaction() as connection:
            return int(connection.exec_driver_sql(f'SELECT count(*) FROM "{table}"').scalar_one())  # noqa: S608


@dataclass
class FakeHost:
    """Speaks as a gate does; holds what a gate would hold."""

    number: int
    chips: int = 1
    workload: str = "w1"
    sequence: int = 0
    head: bytes = b""
    now_ms: int = 1_000
    run_nonce: bytes = bytes(16)
    boot_id: bytes = bytes(16)
    allotted_tflop: int = 0
    unaccounted_tflop: int = 0
    running_ms: int = 0
    quote: Quote = field(default_factory=lambda: Quote(authority=AUTHORITY))
    last: VerifiedAnswer | None = None
    last_report: Envelope | None = None
    topology: Topology | None = None
    lately: tuple[int, Figures] = (1_000, Figures())

    def __post_init__(self) -> None:
        self.key = SigningKey.from_scalar(self.number + 1)
        self.host_id = key_digest(self.key.spki)
        self.head = self.host_id

    def identities(self) -> tuple[ChipIdentity, ...]:
        """H100s of its own."""
        return tuple(
            ChipIdentity(
                vendor="nvidia",
                uuid=f"GPU-{self.number}-{index}",
                serial=f"{self.number}-{index}",
                pdi=None,
                name="NVIDIA H100 80GB HBM3",
                pci_device_id=0x2330,
            )
            for index in range(self.chips)
        )

    def enrolment(self, token: TokenRecord | JoinToken, courier_spki: bytes = b"") -> Envelope:
        """Its enrolment with a token."""
        value = Enrolment(
            authority=AUTHORITY,
            trust_root_digest=token.trust_root_digest,
            host_spki=self.key.spki,
            chips=self.identities(),
            cluster=token.cluster,
            custodian=token.custodian,
            site=token.site,
            jurisdiction=token.jurisdiction,
            driver_version="580.1",
            software=SOFTWARE,
            assurance=Assurance.SOFTWARE,
            courier_spki=courier_spki,
            token_id=token.token_id,
            token_proof=token_proof(token.secret, self.key.spki, self.identities()),
            boot_id=bytes(16),
            made_ms=0,
            sequence=0,
            head=self.host_id,
        )
        return seal(PayloadType.ENROLMENT, encode_enrolment(value), [self.key])

    def report(self, ask_tflop: int | None = None, *, spend_tflop: int = 0) -> Envelope:
        """The next report; asks for headroom when given a figure."""
        self.now_ms += 1_000
        self.running_ms += 1_000
        self.allotted_tflop += spend_tflop
        envelope = self.sign(self.value(ask_tflop))
        self.sequence += 1
        self.head = envelope.digest
        self.last_report = envelope
        return envelope

    def sign(self, report: Report) -> Envelope:
        """Any report, under this host's key."""
        return seal(PayloadType.REPORT, encode_report(report), [self.key])

    def value(self, ask_tflop: int | None = None) -> Report:
        """What the next report says; nothing moves on."""
        total = self.allotted_tflop + self.unaccounted_tflop
        return Report(
            host_id=self.host_id,
            sequence=self.sequence + 1,
            previous=self.head,
            run_nonce=self.run_nonce,
            boot_id=self.boot_id,
            interval_start_ms=self.now_ms - self.lately[0],
            interval_end_ms=self.now_ms,
            made_ms=self.now_ms,
            wall_unix_ms=0,
            lanes=(
                LaneReport(
                    workload=self.workload,
                    state=LaneState.RUNNING,
                    chips=tuple(range(self.chips)),
                    measured=self.lately[1],
                    gap=Figures(),
                    total=Figures(low_tflop=total, nominal_tflop=total, high_tflop=total),
                    allotted_tflop=self.allotted_tflop,
                    unaccounted_tflop=self.unaccounted_tflop,
                ),
            ),
            chip_root=bytes(32),
            chip_count=self.chips,
            quotes=(self.quote,),
            assurance=Assurance.SOFTWARE,
            software=SOFTWARE,
            topology=self.topology,
            findings=(),
            running_ms=self.running_ms,
            request=None
            if ask_tflop is None
            else Request(lanes=(LaneRequest(workload=self.workload, headroom_tflop=ask_tflop),)),
        )

    def accept(self, down: pb.LinkDown) -> VerifiedAnswer:
        """Check the newest answer to this host as a gate does, and quote it from now on."""
        for answer in answers(down):
            if answer.answer.host_id == self.host_id:
                self.last = answer
        if self.last is None:
            raise LookupError(f"no answer in {down}")
        return self.accept_verified(self.last)

    def accept_unverified(self, batch: pb.AnswerBatch, leaf: pb.AnswerLeaf) -> None:
        """Quote an answer of a governor whose keys the test does not hold."""
        self.quote = Quote(
            authority=AUTHORITY,
            answer_digest=statement_digest(PayloadType.ANSWER, leaf.payload),
            batch_number=pb.BatchRoot.FromString(batch.batch_root.payload).batch_number,
            grant=pb.Answer.FromString(leaf.payload).request_digest,
        )

    def accept_verified(self, answer: VerifiedAnswer) -> VerifiedAnswer:
        """Quote this answer from now on."""
        granted = any(isinstance(v.outcome, Ceiling) for v in answer.answer.verdicts)
        self.last = answer
        self.quote = replace(
            self.quote,
            answer_digest=answer.digest,
            batch_number=answer.batch.batch_number,
            grant=answer.answer.request_digest if granted else self.quote.grant,
        )
        return answer


def answers(down: pb.LinkDown) -> list[VerifiedAnswer]:
    """Every answer of a message, each checked against the permit keys."""
    keys = {key.key_id: key for key in map(VerifyingKey, (PERMIT.spki, NEXT_PERMIT.spki))}
    return [
        verify_answer(
            ProvenAnswer(leaf.payload, leaf.index, tuple(leaf.path), root),
            AUTHORITY,
            keys,
        )
        for batch in down.batches
        for root in [envelope_from_wire(batch.batch_root)]
        for leaf in batch.answers
    ]


def joined(governor: LocalGovernor, count: int = 1, capacity: int = 2_000_000) -> list[FakeHost]:
    """Hosts enrolled with one token that declares a covered capacity."""
    token = governor.token(hosts=count, capacity_tflop_per_s=capacity)
    hosts = [FakeHost(number) for number in range(count)]
    for host in hosts:
        governor.enroll(host, token)
    return hosts
