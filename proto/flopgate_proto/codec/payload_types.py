"""One payload type per message and version; what DSSE signs together with the bytes."""

from __future__ import annotations

import enum


class PayloadType(enum.StrEnum):
    """Payload types of version 1."""

    ENROLMENT = "application/vnd.flopgate.enrolment.v1+protobuf"
    REPORT = "application/vnd.flopgate.report.v1+protobuf"
    RETIREMENT = "application/vnd.flopgate.retirement.v1+protobuf"
    ANSWER = "application/vnd.flopgate.answer.v1+protobuf"
    BATCH_ROOT = "application/vnd.flopgate.batch-root.v1+protobuf"
    ADMISSION = "application/vnd.flopgate.admission.v1+protobuf"
    TRUST_ROOT = "application/vnd.flopgate.trust-root.v1+protobuf"
    DELEGATION = "application/vnd.flopgate.delegation.v1+protobuf"
    POLICY = "application/vnd.flopgate.policy.v1+protobuf"
    PAUSE = "application/vnd.flopgate.pause.v1+protobuf"
    RESUME = "application/vnd.flopgate.resume.v1+protobuf"
    RECONCILIATION = "application/vnd.flopgate.reconciliation.v1+protobuf"
    CLUSTER_RULING = "application/vnd.flopgate.cluster-ruling.v1+protobuf"
    VETO = "application/vnd.flopgate.veto.v1+protobuf"
    CONFIRMATION = "application/vnd.flopgate.confirmation.v1+protobuf"
    REVOCATION = "application/vnd.flopgate.revocation.v1+protobuf"
    ADOPTION = "application/vnd.flopgate.adoption.v1+protobuf"
    CLOSURE = "application/vnd.flopgate.closure.v1+protobuf"
    RELIEF = "application/vnd.flopgate.relief.v1+protobuf"
    REGISTRATION = "application/vnd.flopgate.registration.v1+protobuf"
    SEATS = "application/vnd.flopgate.seats.v1+protobuf"
    LICENSE_APPROVAL = "application/vnd.flopgate.license-approval.v1+protobuf"
    RESERVE_OPENING = "application/vnd.flopgate.reserve-opening.v1+protobuf"
    TRUSTED_TIME = "application/vnd.flopgate.trusted-time.v1+protobuf"
    NEIGHBOURS = "application/vnd.flopgate.neighbours.v1+protobuf"
    HEADS = "application/vnd.flopgate.heads.v1+protobuf"
    CLUSTER_MERGE = "application/vnd.flopgate.cluster-merge.v1+protobuf"
