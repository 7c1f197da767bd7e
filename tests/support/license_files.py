"""What a courier on foot carries: reports that ask for a license, and licenses, all signed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from flopgate_proto.batches import seal_batch
from flopgate_proto.codec import decode_answer, encode_answer, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.files import (
    REQUEST_KIND,
    CarriedReport,
    ReportingHost,
    write_licenses,
    write_reports,
)
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LicenseTerms, LicenseWish, Report, SingleUse
from tests.support import further_orders, orders, statements
from tests.support.fixed import AUTHORITY, HOST_KEY, PERMIT_KEY

OTHER_KEY: Final = SigningKey.from_scalar(0x6001)
WISH: Final = LicenseWish(span_ms=604_800_000)


def reports(key: SigningKey = HOST_KEY, count: int = 3, **fields: Any) -> list[Envelope]:
    """A chain of reports of one host, the last of which asks for a license."""
    sealed: list[Envelope] = []
    for sequence in range(1, count + 1):
        previous = sealed[-1].digest if sealed else key_digest(key.spki)
        report: Report = statements.report(
            host_id=key_digest(key.spki), sequence=sequence, previous=previous
        )
        if sequence == count and report.request is not None:
            report = replace(report, request=replace(report.request, license=WISH), **fields)
        sealed.append(statements.sealed_report(report, key))
    return sealed


def request_file(*keys: SigningKey, **fields: Any) -> bytes:
    """Of these hosts, each with its chain."""
    hosts = []
    for number, key in enumerate(keys or (HOST_KEY,), start=1):
        chain = reports(key, **fields)
        host = ReportingHost(
            host_id=key_digest(key.spki), name=f"node-{number}", reports=len(chain)
        )
        hosts.append((host, [CarriedReport(one) for one in chain]))
    return b"".join(write_reports(REQUEST_KIND, hosts))


def license_for(*keys: SigningKey, **fields: Any) -> list[pb.HostLicense]:
    """One for each host, under one approval and one batch root, with the orders in force."""
    chains = [reports(key) for key in keys or (HOST_KEY,)]
    order = further_orders.approval(requests=tuple(chain[-1].digest for chain in chains))
    approval = orders.sealed_order(order)
    terms = LicenseTerms(approval=approval.digest, step_ms=1_800_000, single_use=SingleUse.SOFTWARE)
    answers = []
    for key, chain in zip(keys or (HOST_KEY,), chains, strict=True):
        granted = statements.answer(
            host_id=key_digest(key.spki),
            request_digest=chain[-1].digest,
            acknowledged_sequence=len(chain),
            acknowledged_head=chain[-1].digest,
            **fields,
        )
        if granted.terms is not None:
            granted = replace(granted, terms=replace(granted.terms, license=terms))
        answers.append(granted)
    root, proven = seal_batch(
        [encode_answer(answer) for answer in answers],
        origin=AUTHORITY,
        batch_number=7,
        previous=bytes(32),
        signer=PERMIT_KEY,
    )
    in_force = [orders.TRUST_ROOT_ENVELOPE]
    in_force += [orders.sealed_order(one) for one in (orders.delegation(), orders.policy())]
    return [
        pb.HostLicense(
            host_id=answer.host_id,
            authority=AUTHORITY,
            answer=pb.AnswerBatch(
                batch_root=envelope_to_wire(root),
                answers=[pb.AnswerLeaf(payload=leaf.payload, index=leaf.index, path=leaf.path)],
            ),
            approval=envelope_to_wire(approval),
            orders=[pb.SignedOrder(envelope=envelope_to_wire(one)) for one in in_force],
        )
        for answer, leaf in zip(answers, proven, strict=True)
    ]


def approved(license_: pb.HostLicense, approval: Envelope) -> pb.HostLicense:
    """The same license under another approval, sealed anew."""
    answer = decode_answer(license_.answer.answers[0].payload)
    if answer.terms is not None and answer.terms.license is not None:
        terms = replace(answer.terms.license, approval=approval.digest)
        answer = replace(answer, terms=replace(answer.terms, license=terms))
    root, (leaf,) = seal_batch(
        [encode_answer(answer)],
        origin=AUTHORITY,
        batch_number=8,
        previous=bytes(32),
        signer=PERMIT_KEY,
    )
    return pb.HostLicense(
        host_id=license_.host_id,
        authority=license_.authority,
        answer=pb.AnswerBatch(
            batch_root=envelope_to_wire(root), answers=[pb.AnswerLeaf(payload=leaf.payload)]
        ),
        approval=envelope_to_wire(approval),
        orders=license_.orders,
    )


def license_file(*keys: SigningKey) -> bytes:
    """Of these hosts."""
    return b"".join(write_licenses(license_for(*keys)))
