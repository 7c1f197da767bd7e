"""Makes the vectors: ``python -m vectors.generate [DIRECTORY]`` writes every JSON file.

Bytes are lower-case hexadecimal, except inside ``envelope`` (DSSE's JSON form) and ``fields``
(protobuf's JSON mapping of the payload, field names as in the .proto).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from flopgate_proto import merkle
from flopgate_proto.batches import leaf_of, seal_batch
from flopgate_proto.codec import (
    PayloadType,
    encode_admission,
    encode_answer,
    encode_chip_row,
    encode_cluster_merge,
    encode_enrolment,
    encode_heads,
    encode_neighbours,
    encode_opening,
    encode_order,
    encode_report,
    encode_trusted_time,
    envelope_to_object,
)
from flopgate_proto.envelope import Envelope, pae, seal, statement_digest
from flopgate_proto.joining import token_proof
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Admission, Order, Resume, Tier
from vectors import answers, further, inputs, licenses, negative, order_inputs

HERE: Final = Path(__file__).parent
BATCH_SIZES: Final = (1, 2, 3, 7)

PROVENANCE: Final = {
    "made_by": "proto/vectors/generate.py",
    "from": "proto/vectors/inputs.py and answers.py: fixed keys, fixed values, no randomness",
    "signatures": "ECDSA P-256 with SHA-256, DER, nonces by RFC 6979; Ed25519 by RFC 8032",
    "checked_by": "proto/vectors/check.py with securesystemslib, hashlib and hmac",
}

MESSAGES: Final[dict[str, type[Message]]] = {
    PayloadType.ENROLMENT: pb.Enrolment,
    PayloadType.REPORT: pb.Report,
    PayloadType.RETIREMENT: pb.Report,
    PayloadType.ANSWER: pb.Answer,
    PayloadType.BATCH_ROOT: pb.BatchRoot,
    PayloadType.ADMISSION: pb.Admission,
    PayloadType.TRUST_ROOT: pb.TrustRoot,
    PayloadType.DELEGATION: pb.Delegation,
    PayloadType.POLICY: pb.Policy,
    PayloadType.PAUSE: pb.Pause,
    PayloadType.RESUME: pb.Resume,
    PayloadType.RECONCILIATION: pb.Reconciliation,
    PayloadType.CLUSTER_RULING: pb.ClusterRuling,
    PayloadType.VETO: pb.Veto,
    PayloadType.CONFIRMATION: pb.Confirmation,
    PayloadType.REVOCATION: pb.Revocation,
    PayloadType.ADOPTION: pb.Adoption,
    PayloadType.CLOSURE: pb.Closure,
    PayloadType.RELIEF: pb.Relief,
    PayloadType.REGISTRATION: pb.Registration,
    PayloadType.SEATS: pb.Seats,
    PayloadType.HEADS: pb.Heads,
    PayloadType.NEIGHBOURS: pb.Neighbours,
    PayloadType.CLUSTER_MERGE: pb.ClusterMerge,
    PayloadType.LICENSE_APPROVAL: pb.LicenseApproval,
    PayloadType.RESERVE_OPENING: pb.ReserveOpening,
    PayloadType.TRUSTED_TIME: pb.TrustedTime,
}


POLICY_DIGEST: Final = statement_digest(*encode_order(order_inputs.POLICY))


def fields_of(kind: type[Message], data: bytes) -> dict[str, Any]:
    """A message in protobuf's JSON mapping."""
    message = kind()
    message.ParseFromString(data)
    fields: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return fields


def _sealed(payload_type: str, payload: bytes, signers: Sequence[str]) -> Envelope:
    return seal(payload_type, payload, [inputs.KEYS[name] for name in signers])


def statement_envelopes() -> dict[str, tuple[Envelope, tuple[str, ...]]]:
    """Every kind of signed statement with the names of its signers, by the vector's name."""
    two = ("officer-0", "officer-1")
    root_digest = order_inputs.AUTHORITY_ID
    enrolled = encode_enrolment(inputs.enrolment(root_digest, known=False))
    enrolment = _sealed(PayloadType.ENROLMENT, enrolled, ("host",))
    pause = _sealed(*encode_order(order_inputs.pause(emergency=False)), ("officer-0",))
    chip_root = merkle.tree_root(_row_leaves())
    report = _sealed(PayloadType.REPORT, encode_report(inputs.first_report(chip_root)), ("host",))
    answer = pae(PayloadType.ANSWER, encode_answer(answers.grant(report.digest)))
    later = inputs.later_report(chip_root, report.digest, hashlib.sha256(answer).digest())
    second = _sealed(PayloadType.REPORT, encode_report(later), ("host",))
    last = inputs.last_report(later, second.digest)
    tpm = inputs.report_with_tpm(later, second.digest)
    asking = licenses.asking(inputs.first_report(chip_root))
    admission = Admission(
        authority=inputs.AUTHORITY,
        host_id=inputs.HOST_ID,
        enrolment_digest=enrolment.digest,
        scopes=answers.SCOPES,
        governor_unix_ms=inputs.GOVERNOR_UNIX_MS,
        trust_root_digest=root_digest,
        policy_digest=POLICY_DIGEST,
    )
    resume = Resume(
        authority=inputs.AUTHORITY,
        authority_id=order_inputs.AUTHORITY_ID,
        lifts=(pause.digest,),
        nonce=inputs.ORDER_NONCE,
        reason="Inspected and explained.",
    )
    renewal = encode_enrolment(inputs.enrolment(root_digest, known=True))
    orders: dict[str, tuple[Order, tuple[str, ...]]] = {
        "trust-root-1": (order_inputs.trust_root(1), two),
        "trust-root-2": (order_inputs.trust_root(2), (*two, "officer-2")),
        "delegation": (order_inputs.DELEGATION, two),
        "policy": (order_inputs.POLICY, two),
        "policy-without-lists": (replace(order_inputs.POLICY, budgets=(), phases=()), two),
        "pause": (order_inputs.pause(emergency=False), ("officer-0",)),
        "pause-emergency-ed25519": (order_inputs.pause(emergency=True), ("officer-2",)),
        "resume": (resume, two),
        "reconciliation": (order_inputs.RECONCILIATION, two),
        "policy-with-link-rate": (
            replace(order_inputs.POLICY, cluster_link_mbit_per_s=200_000),
            two,
        ),
        "cluster-ruling-one": (order_inputs.ruling(apart=False), two),
        "cluster-ruling-apart": (order_inputs.ruling(apart=True), two),
        "policy-with-delay": (
            replace(
                order_inputs.POLICY,
                loosening_delay_ms=86_400_000,
                closures_max=4,
                closures_span_ms=604_800_000,
            ),
            two,
        ),
        "policy-with-workload-tiers": (
            replace(
                order_inputs.POLICY,
                register_tflop=10**13,
                prohibit_tflop=10**15,
                prohibit_tflop_per_s=10**8,
                tiers=(
                    Tier(training_tflop=10**14, inference_tflop_per_s=10**6),
                    Tier(training_tflop=10**15, inference_tflop_per_s=10**7),
                ),
            ),
            two,
        ),
        "veto": (further.veto(report.digest), ("officer-1",)),
        "confirmation": (further.confirmation(pause.digest), two),
        "revocation": (further.REVOCATION, two),
        "adoption": (further.adoption(report.digest), two),
        "closure": (further.CLOSURE, two),
        "relief": (further.RELIEF, two),
        "registration": (further.REGISTRATION, two),
        "seats": (further.SEATS, two),
        "policy-with-licenses": (licenses.POLICY, two),
        "license-approval": (licenses.approval(report.digest), two),
        "license-approval-reserve": (licenses.reserve_approval(report.digest), two),
    }
    others = {
        "enrolment": (PayloadType.ENROLMENT, enrolled, "host"),
        "enrolment-known-host": (PayloadType.ENROLMENT, renewal, "host"),
        "report-first": (PayloadType.REPORT, report.payload, "host"),
        "report-later": (PayloadType.REPORT, encode_report(later), "host"),
        "report-tpm": (PayloadType.REPORT, encode_report(tpm), "host"),
        "retirement": (PayloadType.RETIREMENT, encode_report(last), "host"),
        "admission": (PayloadType.ADMISSION, encode_admission(admission), "permit"),
        "neighbours": (
            PayloadType.NEIGHBOURS,
            encode_neighbours(further.NEIGHBOURS),
            "permit",
        ),
        "cluster-merge": (
            PayloadType.CLUSTER_MERGE,
            encode_cluster_merge(further.CLUSTER_MERGE),
            "permit",
        ),
        "heads": (PayloadType.HEADS, encode_heads(further.heads(report.digest)), "permit"),
        "report-asks-for-license": (PayloadType.REPORT, encode_report(asking), "host"),
        "report-holds-license": (
            PayloadType.REPORT,
            encode_report(licenses.holding(tpm, report.digest)),
            "host",
        ),
        "trusted-time": (
            PayloadType.TRUSTED_TIME,
            encode_trusted_time(licenses.TIME),
            "permit",
        ),
    }
    sealed = {
        name: (_sealed(*encode_order(order), signers), signers)
        for name, (order, signers) in orders.items()
    }
    openers = ("officer-2", "stranger")
    opened = licenses.opening(sealed["license-approval-reserve"][0].digest)
    sealed["reserve-opening"] = (
        _sealed(PayloadType.RESERVE_OPENING, encode_opening(opened), openers),
        openers,
    )
    return sealed | {
        name: (_sealed(kind, payload, (signer,)), (signer,))
        for name, (kind, payload, signer) in others.items()
    }


def _keys() -> dict[str, Any]:
    private: dict[str, str] = {name: f"{scalar:064x}" for name, scalar in inputs.SCALARS.items()}
    private |= {name: seed.hex() for name, seed in inputs.ED25519_SEEDS.items()}
    return {
        "provenance": PROVENANCE,
        "keys": [
            {
                "name": name,
                "algorithm": "ed25519" if name in inputs.ED25519_SEEDS else "ecdsa-p256-sha256",
                "private": private[name],
                "spki": key.spki.hex(),
                "key_id": key.key_id,
            }
            for name, key in inputs.KEYS.items()
        ],
    }


def _statements() -> dict[str, Any]:
    return {
        "provenance": PROVENANCE,
        "statements": [
            {
                "name": name,
                "signers": signers,
                "fields": fields_of(MESSAGES[envelope.payload_type], envelope.payload),
                "payload": envelope.payload.hex(),
                "pae": pae(envelope.payload_type, envelope.payload).hex(),
                "digest": envelope.digest.hex(),
                "envelope": envelope_to_object(envelope),
            }
            for name, (envelope, signers) in statement_envelopes().items()
        ],
    }


def _batch(number: int, size: int, previous: bytes) -> tuple[Envelope, dict[str, Any]]:
    payloads = [encode_answer(answer) for answer in answers.batch(size)]
    root, proven = seal_batch(
        payloads,
        origin=inputs.AUTHORITY,
        batch_number=number,
        previous=previous,
        signer=inputs.KEYS["permit"],
        policy_digest=POLICY_DIGEST,
    )
    return root, {
        "tree_size": size,
        "root": merkle.tree_root([leaf_of(payload) for payload in payloads]).hex(),
        "root_fields": fields_of(pb.BatchRoot, root.payload),
        "root_digest": root.digest.hex(),
        "root_envelope": envelope_to_object(root),
        "answers": [
            {
                "index": answer.index,
                "fields": fields_of(pb.Answer, answer.payload),
                "payload": answer.payload.hex(),
                "digest": Envelope(
                    PayloadType.ANSWER, answer.payload, root.signatures
                ).digest.hex(),
                "leaf": leaf_of(answer.payload).hex(),
                "path": [node.hex() for node in answer.path],
            }
            for answer in proven
        ],
    }


def _batches() -> dict[str, Any]:
    previous, batches = bytes(32), []
    for number, size in enumerate(BATCH_SIZES, start=1):
        envelope, document = _batch(number, size, previous)
        previous = envelope.digest
        batches.append(document)
    return {"provenance": PROVENANCE, "authority": inputs.AUTHORITY, "batches": batches}


def _row_leaves() -> list[bytes]:
    rows = (encode_chip_row(row) for row in inputs.CHIP_ROWS)
    return [merkle.leaf_hash(s + row) for s, row in zip(inputs.CHIP_SALTS, rows, strict=True)]


def _chip_rows() -> dict[str, Any]:
    leaves = _row_leaves()
    root, paths = merkle.all_paths(leaves)
    return {
        "provenance": PROVENANCE,
        "root": root.hex(),
        "rows": [
            {
                "salt": salt.hex(),
                "fields": fields_of(pb.ChipRow, encode_chip_row(row)),
                "row": encode_chip_row(row).hex(),
                "leaf": leaf.hex(),
                "path": [node.hex() for node in path],
            }
            for salt, row, leaf, path in zip(
                inputs.CHIP_SALTS, inputs.CHIP_ROWS, leaves, paths, strict=True
            )
        ],
    }


def _joining() -> dict[str, Any]:
    root_digest = statement_envelopes()["trust-root-1"][0].digest
    token, spki = inputs.join_token(root_digest), inputs.KEYS["host"].spki
    return {
        "provenance": PROVENANCE,
        "token": token.text(),
        "trust_root_digest": token.trust_root_digest.hex(),
        "token_id": token.token_id.hex(),
        "secret": token.secret.hex(),
        "host_spki": spki.hex(),
        "chips": [{"uuid": chip.uuid, "serial": chip.serial} for chip in inputs.CHIPS],
        "proof": token_proof(token.secret, spki, inputs.CHIPS).hex(),
        "proof_without_chips": hmac.digest(
            token.secret,
            b"flopgate.join.v1\x00" + bytes.fromhex(inputs.KEYS["host"].key_id),
            "sha256",
        ).hex(),
    }


def documents() -> dict[str, dict[str, Any]]:
    """Every file's document, by file name."""
    envelopes = {name: envelope for name, (envelope, _) in statement_envelopes().items()}
    return {
        "keys.json": _keys(),
        "statements.json": _statements(),
        "batches.json": _batches(),
        "chip_rows.json": _chip_rows(),
        "joining.json": _joining(),
        "negative.json": {"provenance": PROVENANCE, "cases": negative.cases(envelopes)},
    }


def text(document: dict[str, Any]) -> str:
    """A document as its file holds it."""
    return json.dumps(document, indent=1) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Write every file into the directory named, or beside this program."""
    directory = Path(arguments[0]) if arguments else HERE
    for name, document in documents().items():
        (directory / name).write_text(text(document), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
