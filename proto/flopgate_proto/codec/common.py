"""Protobuf form of the vocabulary that statements share."""

from __future__ import annotations

from functools import lru_cache

from flopgate_proto.codec import checks
from flopgate_proto.errors import MalformedError
from flopgate_proto.limits import DIGEST_BYTES
from flopgate_proto.quick import maker
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import (
    Figures,
    Finding,
    Scope,
    ScopeKind,
    Severity,
    Software,
)

make_figures = maker(Figures)

NO_FIGURES = Figures()


def scope_to(value: Scope) -> pb.Scope:
    """Protobuf form of a scope."""
    return pb.Scope(kind=checks.wire(value.kind), id=value.id)


def scope_of(message: pb.Scope) -> Scope:
    """Scope from its protobuf form."""
    return _scope(message.kind, message.id)


@lru_cache(maxsize=1024)
def _scope(kind: int, name: str) -> Scope:
    # A host's own few stand in each answer that it gets: the same values serve them all.
    scope = Scope(checks.member(ScopeKind, kind, "scope kind"), checks.text(name, "scope id"))
    if (scope.kind is ScopeKind.EVERYTHING) != (scope.id == ""):
        raise MalformedError(f"scope {scope.kind.name} with id {scope.id!r}", code="scope.id")
    return scope


def figures_to(value: Figures) -> pb.Figures:
    """Protobuf form of figures."""
    return pb.Figures(
        low_tflop=value.low_tflop, nominal_tflop=value.nominal_tflop, high_tflop=value.high_tflop
    )


def fill_figures(message: pb.Figures, value: Figures) -> None:
    """Fill a part of a message in place."""
    # Figures of nothing are a message too.
    message.SetInParent()
    if value.low_tflop or value.nominal_tflop or value.high_tflop:
        message.low_tflop = value.low_tflop
        message.nominal_tflop = value.nominal_tflop
        message.high_tflop = value.high_tflop


def figures_of(message: pb.Figures, name: str) -> Figures:
    """Figures from their protobuf form."""
    low, nominal, high = message.low_tflop, message.nominal_tflop, message.high_tflop
    if high == 0 and low == 0 and nominal == 0:
        return NO_FIGURES
    if not low <= nominal <= checks.count(high, name):
        raise MalformedError(f"{name}: low <= nominal <= high does not hold", code="figures.order")
    return make_figures(low_tflop=low, nominal_tflop=nominal, high_tflop=high)


def finding_to(value: Finding) -> pb.Finding:
    """Protobuf form of a finding."""
    return pb.Finding(
        id=value.id,
        severity=checks.wire(value.severity),
        subject=value.subject,
        detail=value.detail,
    )


def finding_of(message: pb.Finding) -> Finding:
    """Finding from its protobuf form."""
    return Finding(
        id=checks.text(message.id, "finding id", required=True),
        severity=checks.member(Severity, message.severity, "severity"),
        subject=checks.text(message.subject, "finding subject"),
        detail=checks.text(message.detail, "finding detail"),
    )


def software_to(value: Software) -> pb.Software:
    """Protobuf form of a software."""
    return pb.Software(name=value.name, version=value.version, digest=value.digest)


def software_of(message: pb.Software) -> Software:
    """Software from its protobuf form."""
    return _software(message.name, message.version, message.digest)


@lru_cache(maxsize=256)
def _software(name: str, version: str, digest: bytes) -> Software:
    # A fleet runs few versions: the same value serves every report.
    return Software(
        name=checks.text(name, "software name", required=True),
        version=checks.text(version, "software version", required=True),
        digest=checks.exact(digest, DIGEST_BYTES, "software digest"),
    )
