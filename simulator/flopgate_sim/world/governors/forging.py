"""What a thief signs with an online key: answers and batches, as a governor makes them."""

from __future__ import annotations

from collections.abc import Sequence

from flopgate_proto.batches import seal_batch
from flopgate_proto.codec import decode_report, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.keys import SigningKey
from flopgate_proto.limits import DIGEST_BYTES
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Answer, Policy, Terms, Verdict


def forged_answer(
    request: Envelope,
    policy: Policy,
    unix_ms: int,
    verdicts: tuple[Verdict, ...],
    terms: Terms | None,
) -> Answer:
    """An answer to a report that acknowledges it; ``policy`` is that of the authority."""
    report = decode_report(request.payload)
    return Answer(
        authority=policy.authority,
        host_id=report.host_id,
        request_digest=request.digest,
        run_nonce=report.run_nonce,
        acknowledged_sequence=report.sequence,
        acknowledged_head=request.digest,
        governor_unix_ms=unix_ms,
        scopes=(),
        pauses=(),
        policy_version=policy.version,
        verdicts=verdicts,
        terms=terms,
    )


def forged_batch(
    payloads: Sequence[bytes],
    authority: str,
    number: int,
    key: SigningKey,
    *,
    previous: bytes = bytes(DIGEST_BYTES),
    policy_digest: bytes = b"",
) -> pb.AnswerBatch:
    """Encoded answers under one root, on their way to a gate; by default nothing went before it."""
    root, proven = seal_batch(
        payloads,
        origin=authority,
        batch_number=number,
        previous=previous,
        signer=key,
        policy_digest=policy_digest,
    )
    leaves = [pb.AnswerLeaf(payload=p.payload, index=p.index, path=p.path) for p in proven]
    return pb.AnswerBatch(batch_root=envelope_to_wire(root), answers=leaves)
