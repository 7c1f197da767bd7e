"""Answer, batch root and admission."""

from __future__ import annotations

from functools import lru_cache

from flopgate_proto.codec import checks, licenses
from flopgate_proto.codec.common import scope_of, scope_to
from flopgate_proto.errors import MalformedError
from flopgate_proto.limits import LANES_MAX, NONCE_BYTES, PAUSES_MAX, SCOPES_MAX
from flopgate_proto.quick import maker
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.answers import (
    Admission,
    Answer,
    BatchRoot,
    Ceiling,
    Refusal,
    Terms,
    Verdict,
)
from flopgate_proto.values.common import Phase, Scope

make_answer = maker(Answer)
make_batch_root = maker(BatchRoot)
make_verdict = maker(Verdict)
make_ceiling = maker(Ceiling)


def encode_answer(value: Answer) -> bytes:
    """Payload bytes of an answer: a leaf of its batch once its type is put before it."""
    # Parts in the order of field numbers, put end to end, are the whole: what hardly ever changes
    # is encoded once. Filling a message field by field costs a third of its constructor.
    head = pb.Answer()
    head.format = checks.FORMAT
    head.authority = value.authority
    head.host_id = value.host_id
    head.request_digest = value.request_digest
    head.run_nonce = value.run_nonce
    head.acknowledged_sequence = value.acknowledged_sequence
    head.acknowledged_head = value.acknowledged_head
    head.governor_unix_ms = value.governor_unix_ms
    tail = pb.Answer()
    tail.pauses.extend(value.pauses)
    tail.policy_version = value.policy_version
    for verdict in value.verdicts:
        fill_verdict(tail.verdicts.add(), verdict)
    return b"".join(
        (
            head.SerializeToString(deterministic=True),
            _scopes(value.scopes),
            tail.SerializeToString(deterministic=True),
            b"" if value.terms is None else _terms(value.terms),
        )
    )


@lru_cache(maxsize=4096)
def _scopes(scopes: tuple[Scope, ...]) -> bytes:
    return pb.Answer(scopes=[scope_to(scope) for scope in scopes]).SerializeToString(
        deterministic=True
    )


@lru_cache(maxsize=256)
def _terms(terms: Terms) -> bytes:
    return pb.Answer(
        terms=pb.Terms(
            lifetime_ms=terms.lifetime_ms,
            wind_down_ms=terms.wind_down_ms,
            renew_after_ms=terms.renew_after_ms,
            exempt=terms.exempt,
            phase=checks.wire(terms.phase),
            license=None if terms.license is None else licenses.terms_to(terms.license),
        )
    ).SerializeToString(deterministic=True)


def fill_verdict(message: pb.Verdict, value: Verdict) -> None:
    """Write a verdict into its message."""
    message.workload = value.workload
    match value.outcome:
        case Ceiling():
            # A ceiling of 0 is a grant too: the message must be there.
            message.ceiling.SetInParent()
            message.ceiling.ceiling_tflop = value.outcome.ceiling_tflop
            message.ceiling.peak_tflop_per_s = value.outcome.peak_tflop_per_s
        case Refusal():
            message.refusal.CopyFrom(
                pb.Refusal(
                    reason=value.outcome.reason,
                    detail=value.outcome.detail,
                    way_back=value.outcome.way_back,
                    order_digest=value.outcome.order_digest,
                )
            )


def decode_answer(data: bytes) -> Answer:
    """Answer from bytes whose place under a signed root was checked."""
    message = checks.parse_exact(pb.Answer(), data)
    checks.check_format(message)
    verdicts = tuple(map(_verdict_of, checks.few(message.verdicts, LANES_MAX, "verdicts")))
    checks.unique([verdict.workload for verdict in verdicts], "workloads of verdicts")
    granted = any(isinstance(verdict.outcome, Ceiling) for verdict in verdicts)
    if granted != message.HasField("terms"):
        raise MalformedError("terms without a grant, or a grant without terms", code="answer.terms")
    return make_answer(
        authority=checks.text(message.authority, "authority", required=True),
        host_id=checks.digest(message.host_id, "host id"),
        request_digest=checks.digest(message.request_digest, "request digest"),
        run_nonce=checks.exact(message.run_nonce, NONCE_BYTES, "run nonce"),
        acknowledged_sequence=checks.count(message.acknowledged_sequence, "acknowledged sequence"),
        acknowledged_head=checks.digest(message.acknowledged_head, "acknowledged head"),
        governor_unix_ms=checks.count(message.governor_unix_ms, "governor time"),
        scopes=tuple(map(scope_of, checks.few(message.scopes, SCOPES_MAX, "scopes"))),
        pauses=tuple(
            [
                checks.digest(p, "pause digest")
                for p in checks.few(message.pauses, PAUSES_MAX, "pauses")
            ]
        ),
        policy_version=checks.count(message.policy_version, "policy version"),
        verdicts=verdicts,
        terms=_terms_of(message.terms) if granted else None,
    )


def _verdict_of(message: pb.Verdict) -> Verdict:
    workload = checks.text(message.workload, "workload", required=True)
    match message.WhichOneof("verdict"):
        case "ceiling":
            ceiling_tflop = checks.count(message.ceiling.ceiling_tflop, "ceiling")
            peak = checks.count(message.ceiling.peak_tflop_per_s, "peak")
            outcome = make_ceiling(ceiling_tflop=ceiling_tflop, peak_tflop_per_s=peak)
            return make_verdict(workload=workload, outcome=outcome)
        case "refusal":
            refusal = message.refusal
            return make_verdict(
                workload=workload,
                outcome=Refusal(
                    reason=checks.text(refusal.reason, "reason", required=True),
                    detail=checks.text(refusal.detail, "detail"),
                    way_back=checks.text(refusal.way_back, "way back"),
                    order_digest=checks.digest_or_empty(refusal.order_digest, "order digest"),
                ),
            )
        case _:
            raise MalformedError("verdict that neither grants nor refuses", code="answer.verdict")


def _terms_of(message: pb.Terms) -> Terms:
    terms = Terms(
        lifetime_ms=checks.count(message.lifetime_ms, "lifetime"),
        wind_down_ms=checks.count(message.wind_down_ms, "wind-down"),
        renew_after_ms=checks.count(message.renew_after_ms, "renewal"),
        exempt=message.exempt,
        phase=checks.member(Phase, message.phase, "phase"),
        license=licenses.terms_of(message.license) if message.HasField("license") else None,
    )
    if terms.wind_down_ms > terms.lifetime_ms or terms.renew_after_ms > terms.lifetime_ms:
        raise MalformedError("wind-down or renewal beyond the lifetime", code="answer.terms")
    return terms


def encode_batch_root(value: BatchRoot) -> bytes:
    """Payload bytes of the signed root of a batch."""
    return pb.BatchRoot(
        format=checks.FORMAT,
        origin=value.origin,
        batch_number=value.batch_number,
        tree_size=value.tree_size,
        root=value.root,
        previous=value.previous,
        policy_digest=value.policy_digest,
    ).SerializeToString(deterministic=True)


def decode_batch_root(data: bytes) -> BatchRoot:
    """Batch root from verified payload bytes."""
    message = checks.parse_exact(pb.BatchRoot(), data)
    checks.check_format(message)
    return make_batch_root(
        origin=checks.text(message.origin, "origin", required=True),
        batch_number=checks.count(message.batch_number, "batch number"),
        tree_size=checks.count(message.tree_size, "tree size"),
        root=checks.digest(message.root, "root"),
        previous=checks.digest(message.previous, "previous root"),
        policy_digest=checks.digest_or_empty(message.policy_digest, "policy"),
    )


def encode_admission(value: Admission) -> bytes:
    """Payload bytes of an admission."""
    return pb.Admission(
        format=checks.FORMAT,
        authority=value.authority,
        host_id=value.host_id,
        enrolment_digest=value.enrolment_digest,
        scopes=[scope_to(scope) for scope in value.scopes],
        governor_unix_ms=value.governor_unix_ms,
        policy_digest=value.policy_digest,
        trust_root_digest=value.trust_root_digest,
    ).SerializeToString(deterministic=True)


def decode_admission(data: bytes) -> Admission:
    """Admission from verified payload bytes."""
    message = checks.parse_exact(pb.Admission(), data)
    checks.check_format(message)
    return Admission(
        authority=checks.text(message.authority, "authority", required=True),
        host_id=checks.digest(message.host_id, "host id"),
        enrolment_digest=checks.digest(message.enrolment_digest, "enrolment digest"),
        scopes=tuple(scope_of(s) for s in checks.few(message.scopes, SCOPES_MAX, "scopes")),
        governor_unix_ms=checks.count(message.governor_unix_ms, "governor time"),
        policy_digest=checks.digest_or_empty(message.policy_digest, "policy"),
        trust_root_digest=checks.digest(message.trust_root_digest, "trust root"),
    )
