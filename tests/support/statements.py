"""Builders of valid statements of gates and authorities: each field can be overridden by name.

>>> statements.sealed_report(statements.report(sequence=7, previous=bytes(32)))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from flopgate_proto.batches import ProvenAnswer, seal_batch
from flopgate_proto.codec import (
    PayloadType,
    encode_answer,
    encode_enrolment,
    encode_report,
)
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.joining import JoinToken, token_proof
from flopgate_proto.keys import Signer
from flopgate_proto.values import (
    Admission,
    Answer,
    Assurance,
    BatchRoot,
    Ceiling,
    ChipIdentity,
    ChipRow,
    ChipTopology,
    CounterSource,
    Enrolment,
    Figures,
    LaneReport,
    LaneRequest,
    LaneState,
    NvLinkPeer,
    Phase,
    PipeFigures,
    Port,
    Quote,
    Refusal,
    Report,
    Request,
    Terms,
    Topology,
    Verdict,
)
from tests.support.fixed import (
    AUTHORITY,
    BOOT_ID,
    COURIER_KEY,
    GOVERNOR_UNIX_MS,
    HOST_ID,
    HOST_KEY,
    PERMIT_KEY,
    RUN_NONCE,
    SCOPES,
    SOFTWARE,
    TOKEN_ID,
    TOKEN_SECRET,
    WORKLOAD,
)
from tests.support.orders import TRUST_ROOT_DIGEST


def chip(number: int = 0, **fields: Any) -> ChipIdentity:
    """One H100 of a host."""
    base = ChipIdentity(
        vendor="NVIDIA",
        uuid=f"GPU-00000000-0000-4000-8000-{number:012x}",
        serial=f"16530230000{number:02d}",
        pdi=0x8A00_0000_0000_0001 + number,
        name="NVIDIA H100 80GB HBM3",
        pci_device_id=0x2330_10DE,
    )
    return replace(base, **fields)


CHIPS: Final = (chip(0), chip(1))


def join_token(**fields: Any) -> JoinToken:
    """The token with which ``enrolment()`` joins."""
    base = JoinToken(
        authority=AUTHORITY,
        trust_root_digest=TRUST_ROOT_DIGEST,
        enroll_address="governor.agency.example:8444",
        link_address="governor.agency.example:8443",
        tls_ca_pem="-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n",
        cluster="hall-1",
        custodian="operator.example",
        site="site-1",
        jurisdiction="XX",
        token_id=TOKEN_ID,
        secret=TOKEN_SECRET,
    )
    return replace(base, **fields)


def enrolment(**fields: Any) -> Enrolment:
    """A new host of two chips; the proof fits the chips unless it is overridden."""
    base = Enrolment(
        authority=AUTHORITY,
        trust_root_digest=TRUST_ROOT_DIGEST,
        host_spki=HOST_KEY.spki,
        chips=CHIPS,
        cluster="hall-1",
        custodian="operator.example",
        site="site-1",
        jurisdiction="XX",
        driver_version="570.124.06",
        software=SOFTWARE,
        assurance=Assurance.SOFTWARE,
        courier_spki=COURIER_KEY.spki,
        token_id=TOKEN_ID,
        token_proof=b"",
        boot_id=BOOT_ID,
        made_ms=60_000,
        sequence=0,
        head=HOST_ID,
    )
    value = replace(base, **fields)
    if value.token_id and "token_proof" not in fields:
        proof = token_proof(TOKEN_SECRET, value.host_spki, value.chips)
        value = replace(value, token_proof=proof)
    return value


def sealed_enrolment(value: Enrolment, signer: Signer = HOST_KEY) -> Envelope:
    """An enrolment signed by the host key."""
    return seal(PayloadType.ENROLMENT, encode_enrolment(value), [signer])


def figures(nominal_tflop: int) -> Figures:
    """Three figures in the proportions of an H100: half, one, double."""
    return Figures(
        low_tflop=nominal_tflop // 2, nominal_tflop=nominal_tflop, high_tflop=nominal_tflop * 2
    )


def lane(**fields: Any) -> LaneReport:
    """A lane of both chips that runs."""
    base = LaneReport(
        workload=WORKLOAD,
        state=LaneState.RUNNING,
        chips=(0, 1),
        measured=figures(60_000),
        gap=Figures(),
        total=figures(60_000),
        allotted_tflop=60_000,
        unaccounted_tflop=0,
    )
    return replace(base, **fields)


def report(**fields: Any) -> Report:
    """The first report of a host, which asks for permission."""
    base = Report(
        host_id=HOST_ID,
        sequence=1,
        previous=HOST_ID,
        run_nonce=RUN_NONCE,
        boot_id=BOOT_ID,
        interval_start_ms=60_000,
        interval_end_ms=120_000,
        made_ms=120_010,
        wall_unix_ms=GOVERNOR_UNIX_MS - 5_000,
        lanes=(lane(),),
        chip_root=bytes([0x77] * 32),
        chip_count=2,
        quotes=(Quote(authority=AUTHORITY),),
        assurance=Assurance.SOFTWARE,
        software=SOFTWARE,
        topology=None,
        findings=(),
        running_ms=60_000,
        request=Request(lanes=(LaneRequest(workload=WORKLOAD, headroom_tflop=1_000_000),)),
    )
    return replace(base, **fields)


def sealed_report(value: Report, signer: Signer = HOST_KEY) -> Envelope:
    """A report signed by the host key."""
    return seal(PayloadType.REPORT, encode_report(value), [signer])


PEER: Final = NvLinkPeer(kind="switch", peer="00000000:05:00.0", links=18, rate_mbit_per_s=212_496)
PORT: Final = Port(
    node_guid=0xA088_C203_0012_3456,
    number=1,
    link_layer="InfiniBand",
    active=True,
    guid=0xA088_C203_0012_3457,
    rate_mbit_per_s=400_000,
    subnet_prefix=0xFE80_0000_0000_0000,
    lid=12,
    subnet_manager_lid=1,
)


def topology(**fields: Any) -> Topology:
    """One chip and one port; ``fields`` are the chip's."""
    base = ChipTopology(uuid=CHIPS[0].uuid, peers=(PEER,))
    return Topology(chips=(replace(base, **fields),), ports=(PORT,))


def chip_row(number: int = 0, **fields: Any) -> ChipRow:
    """Running totals of one chip after its first minute."""
    base = ChipRow(
        chip=number,
        source=CounterSource.GPM_CYCLES,
        assurance=Assurance.SOFTWARE,
        pipes=(PipeFigures(pipe="tensor-half", total=figures(30_000)),),
        measured_ms=60_000,
        gap_ms=0,
        energy_mj=36_000_000,
        counters=(("sm_cycles_active", 14_500_000_000),),
    )
    return replace(base, **fields)


def terms(**fields: Any) -> Terms:
    """What the policy of ``policy()`` gives a covered host."""
    base = Terms(
        lifetime_ms=600_000,
        wind_down_ms=120_000,
        renew_after_ms=120_000,
        exempt=False,
        phase=Phase.ENFORCE,
    )
    return replace(base, **fields)


def ceiling(ceiling_tflop: int = 1_060_000, workload: str = WORKLOAD) -> Verdict:
    """A grant."""
    return Verdict(workload=workload, outcome=Ceiling(ceiling_tflop=ceiling_tflop))


def refusal(reason: str = "budget.spent", workload: str = WORKLOAD, **fields: Any) -> Verdict:
    """A refusal."""
    base = Refusal(
        reason=reason,
        detail="The budget of cluster:hall-1 is spent.",
        way_back="Ask the oversight body for a larger budget.",
    )
    return Verdict(workload=workload, outcome=replace(base, **fields))


def answer(**fields: Any) -> Answer:
    """Grants what ``report()`` asks for."""
    request_digest = sealed_report(report()).digest
    base = Answer(
        authority=AUTHORITY,
        host_id=HOST_ID,
        request_digest=request_digest,
        run_nonce=RUN_NONCE,
        acknowledged_sequence=1,
        acknowledged_head=request_digest,
        governor_unix_ms=GOVERNOR_UNIX_MS,
        scopes=SCOPES,
        pauses=(),
        policy_version=1,
        verdicts=(ceiling(),),
        terms=terms(),
    )
    return replace(base, **fields)


def answer_to(envelope: Envelope, value: Report, **fields: Any) -> Answer:
    """An answer that acknowledges this report and grants what ``ceiling()`` says."""
    return answer(
        **{
            "host_id": value.host_id,
            "request_digest": envelope.digest,
            "run_nonce": value.run_nonce,
            "acknowledged_sequence": value.sequence,
            "acknowledged_head": envelope.digest,
        }
        | fields
    )


def batch_root(**fields: Any) -> BatchRoot:
    """The root of the first batch."""
    base = BatchRoot(
        origin=AUTHORITY,
        batch_number=1,
        tree_size=1,
        root=bytes([0x88] * 32),
        previous=bytes(32),
        policy_digest=bytes([0x78] * 32),
    )
    return replace(base, **fields)


def proven_answers(
    answers: Sequence[Answer],
    *,
    origin: str = AUTHORITY,
    batch_number: int = 1,
    previous: bytes = bytes(32),
    signer: Signer = PERMIT_KEY,
) -> list[ProvenAnswer]:
    """The answers of one batch, each with its path and the signed root."""
    _, proven = seal_batch(
        [encode_answer(value) for value in answers],
        origin=origin,
        batch_number=batch_number,
        previous=previous,
        signer=signer,
    )
    return proven


def admission(**fields: Any) -> Admission:
    """Admits the host of ``enrolment()``."""
    base = Admission(
        authority=AUTHORITY,
        host_id=HOST_ID,
        enrolment_digest=sealed_enrolment(enrolment()).digest,
        scopes=SCOPES,
        governor_unix_ms=GOVERNOR_UNIX_MS,
        trust_root_digest=bytes([0x77] * 32),
        policy_digest=bytes([0x78] * 32),
    )
    return replace(base, **fields)
