"""What the vectors are made of: frozen keys and values. A change here changes published vectors."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from flopgate_proto.joining import JoinToken, token_proof
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.values import (
    Assurance,
    ChipIdentity,
    ChipRow,
    ChipTopology,
    CounterSource,
    Enrolment,
    Figures,
    Finding,
    LaneReport,
    LaneRequest,
    LaneState,
    LaneTotals,
    NvLinkPeer,
    PipeFigures,
    Port,
    Quote,
    Report,
    Request,
    Scope,
    ScopeKind,
    Severity,
    Software,
    Topology,
    TpmState,
)

SCALARS: Final = {
    "host": 0x0101,
    "courier": 0x0202,
    "permit": 0x0303,
    "officer-0": 0x0404,
    "officer-1": 0x0505,
    "stranger": 0x0707,
}
"""Private scalars of the P-256 keys."""

ED25519_SEEDS: Final = {"officer-2": bytes(range(32))}
"""Private seeds of the Ed25519 keys (RFC 8032)."""


def _ed25519(seed: bytes) -> SigningKey:
    return SigningKey(
        ed25519.Ed25519PrivateKey.from_private_bytes(seed).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


KEYS: Final = {name: SigningKey.from_scalar(scalar) for name, scalar in SCALARS.items()} | {
    name: _ed25519(seed) for name, seed in ED25519_SEEDS.items()
}

AUTHORITY: Final = "agency.example"
HOST_ID: Final = key_digest(KEYS["host"].spki)
RUN_NONCE: Final = bytes.fromhex("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf")
BOOT_ID: Final = bytes.fromhex("b0b1b2b3b4b5b6b7b8b9babbbcbdbebf")
ORDER_NONCE: Final = bytes.fromhex("c0c1c2c3c4c5c6c7c8c9cacbcccdcecf")
TOKEN_ID: Final = bytes.fromhex("d0d1d2d3d4d5d6d7d8d9dadbdcdddedf")
TOKEN_SECRET: Final = bytes(range(0x40, 0x60))
GOVERNOR_UNIX_MS: Final = 1_800_000_000_000
COUNT_MAX: Final = 2**63 - 1

SOFTWARE: Final = Software(name="flopgate-agent", version="0.1.0", digest=bytes(range(32)))
CLUSTER: Final = Scope(ScopeKind.CLUSTER, "hall-1")
EVERYTHING: Final = Scope(ScopeKind.EVERYTHING)

CHIPS: Final = (
    ChipIdentity(
        vendor="NVIDIA",
        uuid="GPU-11111111-2222-4333-8444-555555555555",
        serial="1653023000001",
        pdi=0x8A01_0203_0405_0607,
        name="NVIDIA H100 80GB HBM3",
        pci_device_id=0x2330_10DE,
    ),
    ChipIdentity(
        vendor="NVIDIA",
        uuid="GPU-66666666-7777-4888-8999-aaaaaaaaaaaa",
        serial="",
        pdi=None,
        name="NVIDIA A100-SXM4-80GB",
        pci_device_id=0x20B2_10DE,
    ),
)


def join_token(trust_root_digest: bytes) -> JoinToken:
    """The token with which the host joins."""
    return JoinToken(
        authority=AUTHORITY,
        trust_root_digest=trust_root_digest,
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


def enrolment(trust_root_digest: bytes, *, known: bool) -> Enrolment:
    """A new host with its token; or a known one that asks for a courier certificate."""
    spki = KEYS["host"].spki
    return Enrolment(
        authority=AUTHORITY,
        trust_root_digest=trust_root_digest,
        host_spki=spki,
        chips=CHIPS,
        cluster="hall-1",
        custodian="operator.example",
        site="" if known else "site-1",
        jurisdiction="XX",
        driver_version="570.124.06",
        software=SOFTWARE,
        assurance=Assurance.TPM if known else Assurance.SOFTWARE,
        courier_spki=KEYS["courier"].spki,
        token_id=b"" if known else TOKEN_ID,
        token_proof=b"" if known else token_proof(TOKEN_SECRET, spki, CHIPS),
        boot_id=BOOT_ID,
        made_ms=60_000,
        sequence=17 if known else 0,
        head=bytes([0x17] * 32) if known else HOST_ID,
        lanes=(_lane_totals(),) if known else (),
    )


def _lane_totals() -> LaneTotals:
    return LaneTotals(
        workload="run-7",
        total=_figures(60_000),
        allotted_tflop=55_000,
        unaccounted_tflop=5_000,
    )


def _figures(nominal_tflop: int) -> Figures:
    return Figures(
        low_tflop=nominal_tflop // 2, nominal_tflop=nominal_tflop, high_tflop=2 * nominal_tflop
    )


CHIP_ROWS: Final = tuple(
    ChipRow(
        chip=number,
        source=CounterSource.GPM_CYCLES if number else CounterSource.KERNEL_ACTIVE_CLOCK,
        assurance=Assurance.SOFTWARE,
        pipes=(PipeFigures(pipe="tensor-half", total=_figures(30_000 + number)),),
        measured_ms=59_000,
        gap_ms=1_000,
        energy_mj=36_000_000 if number else None,
        counters=(("sm_cycles_active", 14_500_000_000),),
    )
    for number in range(3)
)
CHIP_SALTS: Final = tuple(bytes([0xE0 + number] * 16) for number in range(3))


def _lane(workload: str, chip: int, state: LaneState, stop_reason: str = "") -> LaneReport:
    return LaneReport(
        workload=workload,
        state=state,
        chips=(chip,),
        measured=_figures(59_000),
        gap=_figures(1_000),
        total=_figures(60_000),
        allotted_tflop=55_000,
        unaccounted_tflop=5_000,
        stop_reason=stop_reason,
    )


def first_report(chip_root: bytes) -> Report:
    """Sequence 1, nothing quoted yet, one lane, asks for permission."""
    return Report(
        host_id=HOST_ID,
        sequence=1,
        previous=HOST_ID,
        run_nonce=RUN_NONCE,
        boot_id=BOOT_ID,
        interval_start_ms=60_000,
        interval_end_ms=120_000,
        made_ms=120_010,
        wall_unix_ms=GOVERNOR_UNIX_MS - 5_000,
        lanes=(_lane("run-7", 0, LaneState.RUNNING),),
        chip_root=chip_root,
        chip_count=3,
        quotes=(Quote(authority=AUTHORITY),),
        assurance=Assurance.SOFTWARE,
        software=SOFTWARE,
        topology=None,
        findings=(),
        running_ms=60_000,
        request=Request(lanes=(LaneRequest(workload="run-7", headroom_tflop=1_000_000),)),
    )


def later_report(chip_root: bytes, first: bytes, answer: bytes) -> Report:
    """Sequence 2: quotes an answer, two lanes, topology and a finding, asks for nothing."""
    port = Port(
        node_guid=2**64 - 2,
        number=1,
        link_layer="InfiniBand",
        active=True,
        guid=2**64 - 1,
        rate_mbit_per_s=400_000,
        subnet_prefix=0xFE80000000000000,
        lid=12,
        subnet_manager_lid=1,
        unknown="",
    )
    chip = ChipTopology(
        uuid=CHIPS[0].uuid,
        fabric_cluster_uuid=bytes(range(16)),
        fabric_clique=0,
        platform_guid=bytes(range(8)),
        chassis_serial="1234567890123",
        slot=9,
        tray=0,
        host=1,
        module=4,
        peer_type=1,
        peers=(NvLinkPeer(kind="switch", peer="", links=18, rate_mbit_per_s=400_000),),
        unknown="peer=NOT_SUPPORTED",
    )
    return Report(
        host_id=HOST_ID,
        sequence=2,
        previous=first,
        run_nonce=RUN_NONCE,
        boot_id=BOOT_ID,
        interval_start_ms=120_000,
        interval_end_ms=180_000,
        made_ms=180_010,
        wall_unix_ms=GOVERNOR_UNIX_MS + 55_000,
        lanes=(
            _lane("run-7", 0, LaneState.RUNNING),
            _lane("undeclared", 1, LaneState.HALTED, "permit.none"),
        ),
        chip_root=chip_root,
        chip_count=3,
        quotes=(Quote(authority=AUTHORITY, answer_digest=answer, batch_number=1, grant=first),),
        assurance=Assurance.TPM,
        software=SOFTWARE,
        topology=Topology(chips=(chip,), ports=(port,)),
        findings=(
            Finding(
                id="meter.counter.backwards",
                severity=Severity.ALERT,
                subject=CHIPS[0].uuid,
                detail="energy fell by 12 mJ",
            ),
        ),
        running_ms=120_000,
        request=None,
    )


def report_with_tpm(before: Report, digest: bytes) -> Report:
    """Sequence 3: of a host whose key is in a TPM that has just lost power."""
    return replace(
        before,
        sequence=3,
        previous=digest,
        interval_start_ms=180_000,
        interval_end_ms=190_000,
        made_ms=190_010,
        assurance=Assurance.TPM,
        topology=None,
        findings=(),
        tpm=TpmState(counter=256, clock_ms=86_400_000, reset_count=7, restart_count=1, safe=False),
    )


def last_report(before: Report, digest: bytes) -> Report:
    """Sequence 3: every lane stands still; the host retires."""
    lanes = (
        _lane("run-7", 0, LaneState.HALTED, "host.retiring"),
        _lane("undeclared", 1, LaneState.HALTED, "host.retiring"),
    )
    return replace(
        before,
        sequence=3,
        previous=digest,
        interval_start_ms=180_000,
        interval_end_ms=190_000,
        made_ms=190_010,
        lanes=lanes,
        topology=None,
        findings=(),
    )
