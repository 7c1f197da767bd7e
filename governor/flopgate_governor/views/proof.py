"""A signed report as evidence that stands without anybody's store (law 4).

Its file holds the host's public key, whose digest is the host's id, and the report as it was
signed. Two of one host and sequence with different digests prove two histories, to whoever reads
them.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, select

from flopgate_governor.state import State
from flopgate_governor.store import schema
from flopgate_governor.store.prepared import Query
from flopgate_proto.codec import PayloadType, decode_report, decode_retirement
from flopgate_proto.codec.transport import (
    envelope_from_object,
    envelope_from_wire,
    envelope_to_object,
    parse_message,
)
from flopgate_proto.envelope import verify
from flopgate_proto.errors import ConfigError, HistoryError, MalformedError, MisdirectedError
from flopgate_proto.keys import VerifyingKey, key_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.reports import Report

_SPKI: Final = Query(select(schema.host.c.spki).where(schema.host.c.host_id == bindparam("host")))
_REPORT: Final = Query(
    select(schema.report.c.envelope).where(
        schema.report.c.host_id == bindparam("host"),
        schema.report.c.sequence == bindparam("sequence"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A report that its host is proven to have signed; ``digest`` is its identity."""

    digest: bytes
    report: Report


def report_text(state: State, host_id: bytes, sequence: int) -> str:
    """The file of one report on record.

    Raises:
        ConfigError: no such host or report is on record here.
    """
    with state.store.transaction() as connection:
        spki = _SPKI.run(connection, host=host_id)
        found = _REPORT.run(connection, host=host_id, sequence=sequence)
    if not spki or not found:
        raise ConfigError(
            f"no report {sequence} of host {host_id.hex()} is on record",
            code="proof.unknown",
            remedy="`flopgate-governor heads compare` names host and report.",
        )
    envelope = envelope_from_wire(parse_message(pb.Envelope(), found[0][0]))
    document = {
        "host_spki": base64.b64encode(spki[0][0]).decode(),
        "report": envelope_to_object(envelope),
    }
    return json.dumps(document, indent=1) + "\n"


def read_signed(text: str) -> Signed:
    """A report from its file, verified under the key that its host's id is the digest of.

    Raises:
        PeerError: it is no such file, or that host did not sign it.
    """
    try:
        document: Any = json.loads(text)
        spki = base64.b64decode(document["host_spki"], validate=True)
        envelope = envelope_from_object(document["report"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MalformedError("not the file of a signed report", code="proof.malformed") from error
    key = VerifyingKey(spki)
    final = envelope.payload_type == PayloadType.RETIREMENT
    kind = PayloadType.RETIREMENT if final else PayloadType.REPORT
    verified = verify(envelope, kind, {key.key_id: key})
    report = (decode_retirement if final else decode_report)(verified.payload)
    if report.host_id != key_digest(spki):
        raise MisdirectedError("a report of another host than its key's", code="proof.host")
    return Signed(digest=verified.digest, report=report)


def check_proof(one: Signed, other: Signed) -> None:
    """Whether these two prove that their host told two histories.

    Raises:
        HistoryError: they do not; says why.
    """
    if one.report.host_id != other.report.host_id:
        why = "they are of two hosts"
    elif one.report.sequence != other.report.sequence:
        why = f"one is report {one.report.sequence}, the other {other.report.sequence}"
    elif one.digest == other.digest:
        why = "they are the same report"
    else:
        return
    raise HistoryError(
        f"these reports prove nothing: {why}",
        code="proof.none",
        remedy="Take the two reports of one host and number that `heads compare` names.",
    )
