"""Answers signed once per group commit (DESIGN section 9).

The answers of one transaction are the leaves of one RFC 6962 tree: leaf entry = PAE(answer type,
answer bytes). Its root is signed by the authority's permit key. A host gets its leaf, the audit
path and the signed root, and believes nothing until all three fit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flopgate_proto import merkle
from flopgate_proto.codec.answers import decode_answer, decode_batch_root, encode_batch_root
from flopgate_proto.codec.payload_types import PayloadType
from flopgate_proto.envelope import Envelope, pae, seal, verify
from flopgate_proto.errors import MisdirectedError
from flopgate_proto.keys import Signer, VerifyingKey
from flopgate_proto.quick import maker, quick
from flopgate_proto.values.answers import Answer, BatchRoot


@quick
@dataclass(frozen=True, slots=True)
class ProvenAnswer:
    """An answer's bytes with their place under a signed root, as stored and sent."""

    payload: bytes
    index: int
    path: tuple[bytes, ...]
    root: Envelope


@quick
@dataclass(frozen=True, slots=True)
class VerifiedAnswer:
    """An answer whose place under a signed root was checked."""

    answer: Answer
    digest: bytes
    batch: BatchRoot
    batch_digest: bytes
    signers: frozenset[str]


make_verified_answer = maker(VerifiedAnswer)


def leaf_of(payload: bytes) -> bytes:
    """Leaf hash of an answer's bytes."""
    return merkle.leaf_hash(pae(PayloadType.ANSWER, payload))


def seal_batch(
    payloads: Sequence[bytes],
    *,
    origin: str,
    batch_number: int,
    previous: bytes,
    signer: Signer,
    policy_digest: bytes = b"",
) -> tuple[Envelope, list[ProvenAnswer]]:
    """Sign the answers of one transaction: the root's envelope, and each answer with its proof."""
    root, paths = merkle.all_paths([leaf_of(payload) for payload in payloads])
    envelope = seal(
        PayloadType.BATCH_ROOT,
        encode_batch_root(
            BatchRoot(
                origin=origin,
                batch_number=batch_number,
                tree_size=len(payloads),
                root=root,
                previous=previous,
                policy_digest=policy_digest,
            )
        ),
        [signer],
    )
    return envelope, [
        ProvenAnswer(payload, index, path, envelope)
        for index, (payload, path) in enumerate(zip(payloads, paths, strict=True))
    ]


def verify_answer(
    proven: ProvenAnswer, authority: str, keys: Mapping[str, VerifyingKey]
) -> VerifiedAnswer:
    """Check signature, path and authority of one answer.

    Args:
        proven: what came in.
        authority: whose answer it must be.
        keys: the permit keys that this authority's officers delegated.

    Raises:
        ForgedError: signature or path does not hold.
        MalformedError: root, path or answer cannot be parsed.
        MisdirectedError: made by another authority.
    """
    verified = verify(proven.root, PayloadType.BATCH_ROOT, keys)
    batch = decode_batch_root(verified.payload)
    entry = pae(PayloadType.ANSWER, proven.payload)
    merkle.verify_inclusion(
        merkle.leaf_hash(entry), proven.index, batch.tree_size, proven.path, batch.root
    )
    answer = decode_answer(proven.payload)
    if answer.authority != authority or batch.origin != authority:
        raise MisdirectedError(
            f"answer of {answer.authority!r} where {authority!r} was expected",
            code="answer.authority",
        )
    digest = hashlib.sha256(entry).digest()
    return make_verified_answer(answer, digest, batch, verified.digest, verified.signers)
