"""What TPMs quoted for enrolments: verified before a host is admitted, kept, and shown."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, insert, select

from flopgate_governor.store import schema
from flopgate_governor.store.prepared import Write
from flopgate_proto.codec.transport import tpm_quote_from_wire
from flopgate_proto.keys import key_digest
from flopgate_proto.tpm_quote import CheckedQuote, check_quote
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Assurance, Enrolment

_NEW: Final = Write(insert(schema.tpm_quote))


def checked(quote: pb.TpmQuote | None, enrolment: Enrolment, digest: bytes) -> CheckedQuote | None:
    """What the TPM says of a host that claims one; ``None`` where none is claimed or none came.

    A courier can leave the quote out, and then the host counts as one without a TPM.

    Raises:
        PeerError: what came does not hold.
    """
    if quote is None or enrolment.assurance is not Assurance.TPM:
        return None
    return check_quote(tpm_quote_from_wire(quote), enrolment.host_spki, digest)


def write(
    connection: Connection, host_id: bytes, said: CheckedQuote, evidence: pb.TpmQuote, unix_ms: int
) -> None:
    """Put a verified quote on record."""
    row = {
        "host_id": host_id,
        "attestation_key": key_digest(said.attestation_spki),
        "pcrs": bytes(said.pcrs),
        "pcr_digest": said.pcr_digest,
        "evidence": evidence.SerializeToString(deterministic=True),
        "unix_ms": unix_ms,
    }
    _NEW.run(connection, [row])


def load(connection: Connection) -> dict[bytes, pb.TpmStatus]:
    """What people see of it, by host id."""
    quote = schema.tpm_quote.c
    rows = connection.execute(
        select(
            quote.host_id,
            quote.attestation_key,
            quote.pcrs,
            quote.pcr_digest,
        )
    )
    return {
        row[0]: pb.TpmStatus(
            attestation_key=row[1],
            pcrs=list(row[2]),
            pcr_digest=row[3],
        )
        for row in rows
    }
