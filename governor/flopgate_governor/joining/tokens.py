"""Join tokens: made by the command line beside the running server, spent by enrolments."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, select

from flopgate_governor.store import schema
from flopgate_governor.store.prepared import Query, Write
from flopgate_proto.amounts import counted, span_text
from flopgate_proto.errors import ForgedError, MisdirectedError
from flopgate_proto.joining import proof_holds, token_proof
from flopgate_proto.values.reports import Enrolment


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """What the governor keeps of a join token.

    Attributes:
        hosts_max: how many hosts may join with it.
        capacity_tflop_per_s: declared capacity of the cluster, 0 for none.
    """

    token_id: bytes
    secret: bytes
    trust_root_digest: bytes
    cluster: str
    custodian: str
    site: str
    jurisdiction: str
    hosts_max: int
    capacity_tflop_per_s: int
    expires_unix_ms: int


PLACES: Final = ("cluster", "custodian", "site", "jurisdiction")
"""Where a token says that its hosts are."""
_NAMES: Final = tuple(field.name for field in fields(TokenRecord))
_NEW_TOKEN: Final = Write(insert(schema.token))
_TOKEN: Final = Query(
    select(*(schema.token.c[name] for name in _NAMES)).where(
        schema.token.c.token_id == bindparam("token_id")
    )
)
_USED: Final = Query(select(func.count()).where(schema.host.c.token_id == bindparam("token_id")))


def write_token(connection: Connection, record: TokenRecord) -> None:
    """Keep a new token."""
    _NEW_TOKEN.run(connection, [{name: getattr(record, name) for name in _NAMES}])


def check_token(connection: Connection, enrolment: Enrolment, unix_ms: int) -> TokenRecord:
    """The token that a new host names, once it is certain that the host may join with it.

    Raises:
        ForgedError: no such token, a proof that does not hold, expired or spent.
        MisdirectedError: a token for other hosts.
    """
    rows = _TOKEN.run(connection, token_id=enrolment.token_id)
    if not rows:
        raise ForgedError(
            "no join token with this id",
            code="token.unknown",
            remedy="Ask the oversight body for a join token.",
        )
    record = TokenRecord(**dict(zip(_NAMES, rows[0], strict=True)))
    proof = token_proof(record.secret, enrolment.host_spki, enrolment.chips)
    if not proof_holds(proof, enrolment.token_proof):
        raise ForgedError(
            "the proof of the join token does not hold",
            code="token.proof",
            remedy="Join again with the token as it was made: its secret has changed on the way.",
        )
    if unix_ms >= record.expires_unix_ms:
        raise ForgedError(
            f"the join token expired {span_text(unix_ms - record.expires_unix_ms, 's')} ago",
            code="token.expired",
            remedy="Ask the oversight body for a new join token.",
        )
    ((used,),) = _USED.run(connection, token_id=enrolment.token_id)
    if used >= record.hosts_max:
        raise ForgedError(
            f"{counted(used, 'host')} joined with this token, {record.hosts_max} may",
            code="token.spent",
            remedy="Ask the oversight body for a new join token.",
        )
    _check_meant_for(record, enrolment)
    return record


def _check_meant_for(record: TokenRecord, enrolment: Enrolment) -> None:
    if enrolment.trust_root_digest != record.trust_root_digest:
        raise MisdirectedError(
            "the enrolment pins another trust root than the join token", code="token.trust-root"
        )
    for name in PLACES:
        if getattr(enrolment, name) != getattr(record, name):
            raise MisdirectedError(
                f"the join token is for {name} {getattr(record, name)!r}, the host says "
                f"{getattr(enrolment, name)!r}",
                code="token.scope",
                remedy="Use the values that the token carries.",
            )
