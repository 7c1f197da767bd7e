"""Builds and signs the next report of the chain."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import replace

from flopgate_agent.gate.actions import KeepReport
from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.lanes.chip_meter import ChipMeter
from flopgate_agent.gate.lanes.lane import Lane
from flopgate_agent.gate.settings import GateSettings, Now
from flopgate_proto import merkle
from flopgate_proto.codec import PayloadType, encode_report
from flopgate_proto.envelope import seal
from flopgate_proto.limits import FINDINGS_MAX, SALT_BYTES
from flopgate_proto.quick import maker
from flopgate_proto.values import (
    Finding,
    LaneReport,
    Report,
    Request,
    Topology,
)

make_lane_report = maker(LaneReport)
make_report = maker(Report)
make_keep_report = maker(KeepReport)


def salted_rows(
    secret: bytes, sequence: int, chips: Sequence[ChipMeter]
) -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    """Rows with their salts, and the RFC 6962 root over ``salt || row``.

    A salt is SHA-256(key of this report || chip), cut to 16 bytes, and the key is
    HMAC-SHA256(secret of this run, sequence): unguessable, so that a recipient who gets the root
    cannot try values for rows that it does not get.
    """
    key = hmac.digest(secret, sequence.to_bytes(8, "big"), "sha256")
    rows = tuple([(_salt(key, chip.index), chip.encoded_row()) for chip in chips])
    return rows, merkle.tree_root([merkle.leaf_hash(salt + row) for salt, row in rows])


def _salt(key: bytes, index: int) -> bytes:
    return hashlib.sha256(key + index.to_bytes(4, "big")).digest()[:SALT_BYTES]


def lane_report(lane: Lane) -> LaneReport:
    """One lane's figures since the last report; starts its next interval."""
    measured, gap = lane.book.interval()
    total = lane.book.reported_measured + lane.book.reported_gap
    return make_lane_report(
        workload=lane.workload,
        state=lane.state,
        chips=lane.setting.chips,
        measured=measured,
        gap=gap,
        total=total,
        allotted_tflop=lane.book.allotted_tflop,
        unaccounted_tflop=lane.book.unaccounted_tflop,
        stop_reason=lane.why.reason if lane.why else "",
    )


def build_report(
    settings: GateSettings,
    *,
    sequence: int,
    previous: bytes,
    interval: tuple[int, int],
    lanes: tuple[LaneReport, ...],
    chips: Sequence[ChipMeter],
    authorities: Sequence[Authority],
    findings: Sequence[Finding],
    running_ms: int,
    topology: Topology | None,
    request: Request | None,
    final: bool,
    now: Now,
    spent_counter: int = 0,
) -> KeepReport:
    """The signed report of one interval (host elapsed time), and its rows.

    ``final``: it ends the chain, and asks for nothing. ``spent_counter``: of reservations, for
    hosts whose TPM counts them.
    """
    rows, chip_root = salted_rows(settings.salt_secret, sequence, chips)
    report = make_report(
        host_id=settings.host_id,
        sequence=sequence,
        previous=previous,
        run_nonce=settings.run_nonce,
        boot_id=settings.boot_id,
        interval_start_ms=interval[0],
        interval_end_ms=interval[1],
        made_ms=now.elapsed_ms,
        wall_unix_ms=now.wall_unix_ms,
        lanes=lanes,
        chip_root=chip_root,
        chip_count=len(rows),
        quotes=tuple([authority.quote_at(interval[1]) for authority in authorities]),
        assurance=settings.assurance,
        software=settings.software,
        topology=topology,
        findings=tuple(findings[:FINDINGS_MAX]),
        running_ms=running_ms,
        request=request,
        tpm=None
        if settings.witness is None
        else replace(settings.witness.next(), spent_counter=spent_counter),
    )
    kind = PayloadType.RETIREMENT if final else PayloadType.REPORT
    envelope = seal(kind, encode_report(report), [settings.signer])
    return make_keep_report(sequence=sequence, digest=envelope.digest, envelope=envelope, rows=rows)
