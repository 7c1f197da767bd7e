"""Hosts that speak as gates do: chains of reports, signed before the clock runs.

A report does not depend on the answer before it, except by what it quotes; a host that quotes the
last answer of an earlier round is honest, and its whole next round can be signed at once.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
from cryptography.hazmat.primitives.asymmetric import ec

from bench.harness import BenchError
from flopgate_agent.courier.channels import enroll_channel
from flopgate_proto.batches import ProvenAnswer, verify_answer
from flopgate_proto.codec import (
    PayloadType,
    encode_chip_row,
    encode_enrolment,
    encode_report,
    envelope_from_wire,
    envelope_to_wire,
)
from flopgate_proto.envelope import seal
from flopgate_proto.joining import JoinToken, token_proof
from flopgate_proto.keys import Signer, SigningKey, VerifyingKey, key_digest
from flopgate_proto.merkle import leaf_hash, tree_root
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.v1.flopgate_pb2_grpc import RegistrationServiceStub
from flopgate_proto.values import (
    Assurance,
    Ceiling,
    ChipIdentity,
    ChipRow,
    CounterSource,
    Enrolment,
    Figures,
    LaneReport,
    LaneRequest,
    LaneState,
    PipeFigures,
    Quote,
    Report,
    Request,
    Software,
)

CHIPS = 8
INTERVAL_MS = 120_000
SPENT_TFLOP = 400_000
"""In one interval: 8 H100 at 42% of their dense 16-bit rate."""
HEADROOM_TFLOP = 4_000_000
SOFTWARE = Software(name="flopgate", version="0.1.0", digest=bytes(32))
COUNTERS = ("elapsed", "active", "mma", "dmma", "hmma", "imma", "dfma", "fp64", "fp32")


@dataclass(slots=True)
class SpokenHost:
    """One host with 8 H100. ``sent``: sequence and digest of each report that awaits its answer."""

    name: str
    authority: str
    key: SigningKey = field(default_factory=SigningKey.generate)
    run_nonce: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    sequence: int = 0
    head: bytes = b""
    now_ms: int = 1_000_000
    allotted_tflop: int = 0
    answered: int = 0
    quote: Quote | None = None
    quoted_root: pb.Envelope | None = None
    sent: dict[bytes, int] = field(default_factory=dict)
    root: bytes = b""

    def __post_init__(self) -> None:
        """The host's id starts its chain; one root of chip rows serves for every report."""
        self.head = self.host_id
        rows = [secrets.token_bytes(16) + encode_chip_row(_row(chip)) for chip in range(CHIPS)]
        self.root = tree_root([leaf_hash(row) for row in rows])

    @property
    def host_id(self) -> bytes:
        """SHA-256 of the host key."""
        return key_digest(self.key.spki)

    def chips(self) -> tuple[ChipIdentity, ...]:
        """H100s that no other host has."""
        return tuple(
            ChipIdentity(
                vendor="NVIDIA",
                uuid=f"GPU-{self.host_id.hex()[:16]}-{chip}",
                serial="",
                pdi=None,
                name="NVIDIA H100 80GB HBM3",
                pci_device_id=0x2330,
            )
            for chip in range(CHIPS)
        )

    def enrolment(self, token: JoinToken, courier_spki: bytes) -> pb.EnrollRequest:
        """Joins with a token."""
        value = Enrolment(
            authority=token.authority,
            trust_root_digest=token.trust_root_digest,
            host_spki=self.key.spki,
            chips=self.chips(),
            cluster=token.cluster,
            custodian=token.custodian,
            site=token.site,
            jurisdiction=token.jurisdiction,
            driver_version="580.95.05",
            software=SOFTWARE,
            assurance=Assurance.SOFTWARE,
            courier_spki=courier_spki,
            token_id=token.token_id,
            token_proof=token_proof(token.secret, self.key.spki, self.chips()),
            boot_id=bytes(16),
            made_ms=0,
            sequence=0,
            head=self.host_id,
        )
        envelope = seal(PayloadType.ENROLMENT, encode_enrolment(value), [self.key])
        return pb.EnrollRequest(enrolment=envelope_to_wire(envelope))

    def next_report(self) -> pb.SignedReport:
        """The next of the chain; asks for more."""
        self.now_ms += INTERVAL_MS
        self.allotted_tflop += SPENT_TFLOP if self.sequence else 0
        envelope = seal(PayloadType.REPORT, encode_report(self.report()), [self.key])
        self.sequence += 1
        self.head = envelope.digest
        self.sent[envelope.digest] = self.sequence
        roots = [] if self.quoted_root is None else [self.quoted_root]
        return pb.SignedReport(envelope=envelope_to_wire(envelope), quoted_roots=roots)

    def report(self) -> Report:
        """What it says."""
        total = _figures(self.allotted_tflop)
        return Report(
            host_id=self.host_id,
            sequence=self.sequence + 1,
            previous=self.head,
            run_nonce=self.run_nonce,
            boot_id=bytes(16),
            interval_start_ms=self.now_ms - INTERVAL_MS,
            interval_end_ms=self.now_ms,
            made_ms=self.now_ms,
            wall_unix_ms=1_800_000_000_000 + self.now_ms,
            lanes=(
                LaneReport(
                    workload="training-run-7",
                    state=LaneState.RUNNING,
                    chips=tuple(range(CHIPS)),
                    measured=_figures(SPENT_TFLOP if self.sequence else 0),
                    gap=Figures(),
                    total=total,
                    allotted_tflop=self.allotted_tflop,
                    unaccounted_tflop=0,
                ),
            ),
            chip_root=self.root,
            chip_count=CHIPS,
            quotes=(self.quote or Quote(authority=self.authority),),
            assurance=Assurance.SOFTWARE,
            software=SOFTWARE,
            topology=None,
            findings=(),
            running_ms=self.now_ms,
            request=Request(
                lanes=(LaneRequest(workload="training-run-7", headroom_tflop=HEADROOM_TFLOP),)
            ),
        )


class Judge:
    """Checks every answer as a gate does: a benchmark of refusals would be none.

    ``batches``: numbers of the transactions that answered so far.
    """

    def __init__(self, authority: str, permit: Signer, hosts: Sequence[SpokenHost]) -> None:
        key = VerifyingKey(permit.spki)
        self.batches: set[int] = set()
        self._authority = authority
        self._keys = {key.key_id: key}
        self._hosts = {host.host_id: host for host in hosts}

    def take(self, down: pb.LinkDown) -> int:
        """Check one message; how many reports it grants.

        Raises:
            BenchError: a notice, a refusal, or an answer to nothing that was asked.
        """
        if down.notices:
            notice = down.notices[0]
            raise BenchError(f"the governor objects: {notice.reason}: {notice.detail}")
        taken = 0
        for batch in down.batches:
            root = envelope_from_wire(batch.batch_root)
            for leaf in batch.answers:
                proven = ProvenAnswer(leaf.payload, leaf.index, tuple(leaf.path), root)
                answer = verify_answer(proven, self._authority, self._keys)
                self.batches.add(answer.batch.batch_number)
                said = answer.answer
                host = self._hosts[said.host_id]
                sequence = host.sent.pop(said.request_digest, None)
                (verdict,) = said.verdicts
                if not isinstance(verdict.outcome, Ceiling):
                    raise BenchError(f"{host.name}: refused: {verdict.outcome}")
                if (said.acknowledged_sequence, said.acknowledged_head) != (
                    sequence,
                    said.request_digest,
                ):
                    raise BenchError(f"{host.name}: answer to another report than {sequence}")
                host.quoted_root = batch.batch_root
                host.answered = max(host.answered, said.acknowledged_sequence)
                host.quote = Quote(
                    authority=self._authority,
                    answer_digest=answer.digest,
                    batch_number=answer.batch.batch_number,
                    grant=said.request_digest,
                )
                taken += 1
        return taken

    def settle(self) -> None:
        """Check that nothing was left without its answer.

        Raises:
            BenchError: a report was not granted.
        """
        for host in self._hosts.values():
            if host.sent:
                raise BenchError(f"{host.name}: {len(host.sent)} reports without an answer")


async def enrol(
    hosts: Sequence[SpokenHost], token: JoinToken, courier: SigningKey
) -> dict[bytes, bytes]:
    """Join with all hosts; the PEM chain of each host's courier."""
    chains = {}
    async with enroll_channel(token.enroll_address, ca_pem=token.tls_ca_pem.encode()) as channel:
        stub = RegistrationServiceStub(channel)
        for host in hosts:
            try:
                reply = await stub.Enroll(
                    host.enrolment(token, courier.spki), wait_for_ready=True, timeout=60
                )
            except grpc.aio.AioRpcError as error:
                raise BenchError(f"{host.name} cannot join: {error.details()}") from error
            pem = "".join(ssl.DER_cert_to_PEM_cert(der) for der in reply.courier_certificates)
            chains[host.host_id] = pem.encode()
    return chains


def raw_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key for figures without any of our code around it."""
    return ec.generate_private_key(ec.SECP256R1())


def _figures(tflop: int) -> Figures:
    return Figures(low_tflop=tflop // 2, nominal_tflop=tflop, high_tflop=2 * tflop)


def _row(chip: int) -> ChipRow:
    return ChipRow(
        chip=chip,
        source=CounterSource.GPM_CYCLES,
        assurance=Assurance.SOFTWARE,
        pipes=(
            PipeFigures(pipe="tensor", total=_figures(7_654_321_000)),
            PipeFigures(pipe="fp32", total=_figures(87_654_321)),
        ),
        measured_ms=1_234_567_890,
        gap_ms=12_345,
        energy_mj=987_654_321_000,
        counters=tuple((f"cycles.{name}", 3_456_789_012_345_678 + chip) for name in COUNTERS),
    )
