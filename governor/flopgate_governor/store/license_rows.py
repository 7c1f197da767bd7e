"""Licenses in the store: what was asked for and given, and where gates stand with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, and_, bindparam, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from flopgate_governor.core.facts import HostFacts, IssuedAnswer, Licensed
from flopgate_governor.store import schema
from flopgate_governor.store.prepared import KEYS, Query, Read, Row, Write
from flopgate_proto.codec import decode_report
from flopgate_proto.codec.licenses import quote_of, quote_to
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import SingleUse
from flopgate_proto.values.licenses import LicenseQuote
from flopgate_proto.values.reports import Report

_A, _G, _R = schema.license_approval.c, schema.license_given.c, schema.license_request.c
_L, _Q = schema.license_lane.c, schema.license_quote.c
_IDS: Final[BindParameter[Any]] = bindparam("ids", expanding=True)
_unsettled: Final = and_(
    schema.grant.c.host_id == _L.host_id,
    schema.grant.c.workload == _L.workload,
    schema.grant.c.request_digest == _L.request_digest,
)

_LICENSED: Final = Read(
    select(
        _L.host_id, _L.workload, _L.request_digest, _L.ceiling_tflop, _G.not_after_unix_ms,
        _G.single_use, _G.reserve, _L.held_tflop, schema.grant.c.held_tflop,
    )
    .join(schema.license_given, _G.request_digest == _L.request_digest)
    .join(schema.grant, _unsettled)
    .where(_L.host_id.in_(_IDS))
)  # fmt: skip
_QUOTES: Final = Read(select(_Q.host_id, _Q.quote, _Q.spent_counter).where(_Q.host_id.in_(_IDS)))
_ASKED: Final = Read(
    select(_R.digest, _R.stale, schema.report.c.envelope)
    .join(
        schema.report,
        and_(
            schema.report.c.host_id == _R.host_id,
            schema.report.c.sequence == _R.sequence,
            schema.report.c.digest == _R.digest,
        ),
    )
    .where(_R.digest.in_(KEYS))
)
_GIVEN: Final = Read(
    select(
        _G.request_digest, _G.host_id, _G.approval, _G.answer, _G.answer_index, _G.answer_path,
        _G.batch_number,
    ).where(_G.request_digest.in_(KEYS))
)  # fmt: skip
_APPROVALS: Final = Read(select(_A.digest, _A.envelope).where(_A.digest.in_(KEYS)))
_BATCHES: Final = Read(
    select(schema.batch.c.number, schema.batch.c.envelope, schema.batch.c.log_proof).where(
        schema.batch.c.number.in_(KEYS)
    )
)
_ISSUED: Final = Query(
    select(_G.answer_digest, _G.batch_number, schema.batch.c.governor_unix_ms)
    .join(schema.batch, schema.batch.c.number == _G.batch_number)
    .where(_G.host_id == bindparam("host"), _G.batch_number == bindparam("number"))
)
_QUOTED_IN_TPM: Final = Read(
    select(schema.tpm_quote.c.host_id).where(schema.tpm_quote.c.host_id.in_(_IDS))
)
_NEW_REQUEST: Final = Write(insert(schema.license_request))
_NEW_APPROVAL: Final = Write(upsert(schema.license_approval).on_conflict_do_nothing())
_NEW_GIVEN: Final = Write(insert(schema.license_given))
_NEW_LANE: Final = Write(insert(schema.license_lane))
_quote = upsert(schema.license_quote)
_MOVE_QUOTE: Final = Write(
    _quote.on_conflict_do_update(
        index_elements=["host_id"],
        set_={"quote": _quote.excluded.quote, "spent_counter": _quote.excluded.spent_counter},
    )
)

Quotes = tuple[LicenseQuote | None, LicenseQuote | None]
"""Where a gate stands with our licenses, and with our reserves."""

LicensedGrants = Mapping[tuple[bytes, str, bytes], Licensed]
"""What makes a grant one of a license, by host, workload and request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wished:
    """A report on record that asks for a license; ``stale``: it quoted an old answer."""

    report: Report
    digest: bytes
    stale: bool


def load_licensed(connection: Connection, ids: Collection[bytes]) -> LicensedGrants:
    """Unsettled grants of licenses of these hosts."""
    return {
        (row[0], row[1], row[2]): Licensed(
            # What was drawn of a reserve is taken off its grant alone.
            told_tflop=max(0, row[3] - row[7] + row[8]) if row[6] else row[3],
            not_after_unix_ms=row[4],
            single_use=SingleUse(row[5]),
            reserve=bool(row[6]),
        )
        for row in _LICENSED.run(connection, ids)
    }


def load_quotes(connection: Connection, ids: Collection[bytes]) -> dict[bytes, tuple[Quotes, int]]:
    """Where gates stand with licenses, and the highest count of reservations that they told."""
    return {row[0]: (quotes_from(row[1]), row[2]) for row in _QUOTES.run(connection, ids)}


def quotes_from(data: bytes | None) -> Quotes:
    """What is stored of a quote: its licenses."""
    told = pb.Quote.FromString(data or b"")
    return (
        quote_of(told.license, reserve=False) if told.HasField("license") else None,
        quote_of(told.reserve, reserve=True) if told.HasField("reserve") else None,
    )


def quote_row(facts: HostFacts) -> Row:
    """Where a gate stands now."""
    told = pb.Quote()
    if facts.license is not None:
        told.license.CopyFrom(quote_to(facts.license))
    if facts.reserve is not None:
        told.reserve.CopyFrom(quote_to(facts.reserve))
    return {
        "host_id": facts.host.host_id,
        "quote": told.SerializeToString(deterministic=True),
        "spent_counter": facts.spent_counter,
    }


def request_row(report: Report, digest: bytes, *, stale: bool) -> Row:
    """A report that asks for a license."""
    return {
        "digest": digest,
        "host_id": report.host_id,
        "sequence": report.sequence,
        "stale": int(stale),
    }


def write_told(connection: Connection, quotes: list[Row], requests: list[Row]) -> None:
    """Write what reports told."""
    _MOVE_QUOTE.run(connection, quotes)
    _NEW_REQUEST.run(connection, requests)


def load_asked(connection: Connection, requests: Collection[bytes]) -> dict[bytes, Wished]:
    """Reports on record that ask for a license, by digest."""
    return {
        row[0]: Wished(
            report=decode_report(pb.Envelope.FromString(row[2]).payload),
            digest=row[0],
            stale=bool(row[1]),
        )
        for row in _ASKED.run(connection, requests)
    }


def load_given_under(connection: Connection, requests: Collection[bytes]) -> dict[bytes, bytes]:
    """Digest of the approval under which each of these requests was given a license."""
    return {row[0]: row[2] for row in _GIVEN.run(connection, requests)}


def load_licenses(
    connection: Connection, requests: Collection[bytes]
) -> dict[bytes, pb.HostLicense]:
    """Licenses on record by their request, as they were signed; orders are left to the caller."""
    rows = _GIVEN.run(connection, requests)
    approvals = dict(_APPROVALS.run(connection, {row[2] for row in rows}))
    batches = {row[0]: row[1:] for row in _BATCHES.run(connection, {row[6] for row in rows})}
    found = {}
    for digest, host_id, approval, answer, index, path, number in rows:
        one = found[digest] = pb.HostLicense(host_id=host_id)
        one.approval.ParseFromString(approvals[approval])
        root, proof = batches[number]
        one.answer.batch_root.ParseFromString(root)
        one.answer.log.ParseFromString(proof)
        siblings = [path[start : start + 32] for start in range(0, len(path), 32)]
        one.answer.answers.add(payload=answer, index=index, path=siblings)
    return found


def load_issued(connection: Connection, host_id: bytes, number: int) -> list[IssuedAnswer]:
    """Licenses of this host in one of our batches, as answers."""
    return [
        IssuedAnswer(digest=row[0], batch_number=row[1], governor_unix_ms=row[2])
        for row in _ISSUED.run(connection, host=host_id, number=number)
    ]


def has_approval(connection: Connection, digest: bytes) -> bool:
    """Whether an approval is on record."""
    return bool(_APPROVALS.run(connection, [digest]))


def in_tpm(connection: Connection, ids: Collection[bytes]) -> frozenset[bytes]:
    """Hosts whose key a TPM holds, as it quoted for their enrolment."""
    return frozenset(row[0] for row in _QUOTED_IN_TPM.run(connection, ids))


def write_given(
    connection: Connection, *, approval: Row, given: list[Row], lanes: list[Row]
) -> None:
    """Write licenses, and the approval that they stand on."""
    _NEW_APPROVAL.run(connection, [approval])
    _NEW_GIVEN.run(connection, given)
    _NEW_LANE.run(connection, lanes)
