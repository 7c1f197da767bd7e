"""Reports of messages, verified and parsed: all that is done before the store is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flopgate_governor.replies import notice
from flopgate_governor.state import KnownHost, State
from flopgate_proto.codec import (
    PayloadType,
    decode_report,
    decode_retirement,
    envelope_from_wire,
)
from flopgate_proto.envelope import statement_digest, verify
from flopgate_proto.errors import MisdirectedError, PeerError
from flopgate_proto.limits import DIGEST_BYTES
from flopgate_proto.quick import maker, quick
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.reports import Report


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Reports of one message. ``host_id``: whose they must be; ``None`` for a relay.

    ``carried``: somebody brought them by file: they are acknowledged, and nothing is granted.
    """

    reports: tuple[pb.SignedReport, ...]
    host_id: bytes | None
    carried: bool = False

    @property
    def named(self) -> list[bytes]:
        """The hosts that the signatures name, empty where one names none."""
        return [_host_id_hint(signed.envelope) for signed in self.reports]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A verified report of this host. ``final``: it retires it. ``carried``: it came by file.

    ``signed``: as it came; what travels beside the report is not verified.
    """

    signed: pb.SignedReport
    report: Report
    digest: bytes
    host_id: bytes
    final: bool = False
    carried: bool = False


make_received = maker(Received)


@dataclass(slots=True)
class Checked:
    """What one message holds: reports that were verified, and a notice for each that failed."""

    reports: list[Received] = field(default_factory=list)
    notices: list[pb.Notice] = field(default_factory=list)


def receive(state: State, submissions: Sequence[Submission]) -> list[Checked]:
    """Verify and parse; what fails becomes a notice and is not recorded.

    Raises:
        StorageError: nobody is known any more; nothing was changed.
    """
    named = [submission.named for submission in submissions]
    # Of a caller that speaks for one host only this one: ids that it makes up must not push others
    # out of memory.
    state.know(
        host_id
        for submission, ids in zip(submissions, named, strict=True)
        for host_id in ids
        if host_id and submission.host_id in (None, host_id)
    )
    checked = []
    for submission, ids in zip(submissions, named, strict=True):
        one = Checked()
        for signed, host_id in zip(submission.reports, ids, strict=True):
            try:
                one.reports.append(_verify(state, submission, signed, host_id))
            except PeerError as error:
                wire = signed.envelope
                digest = statement_digest(wire.payload_type, wire.payload)
                one.notices.append(notice(host_id, digest, error))
        checked.append(one)
    return checked


def _host_id_hint(wire: pb.Envelope) -> bytes:
    """The host that the signature names: a key id is the host id in hexadecimal."""
    key_id = wire.signatures[0].keyid if wire.signatures else ""
    try:
        host_id = bytes.fromhex(key_id)
    except ValueError:
        return b""
    return host_id if len(host_id) == DIGEST_BYTES else b""


def _verify(
    state: State, submission: Submission, signed: pb.SignedReport, host_id: bytes
) -> Received:
    wire = signed.envelope
    known: KnownHost | None = state.hosts.get(host_id)
    if submission.host_id is not None and host_id != submission.host_id:
        raise MisdirectedError(
            "the client certificate is not of the host that signed the report",
            code="link.certificate",
            remedy="Send each host's reports under its own certificate, or use a relay's.",
        )
    if known is None:
        raise MisdirectedError(
            "no host with this key is enrolled", code="host.unknown", remedy="Enroll it first."
        )
    final = wire.payload_type == PayloadType.RETIREMENT
    kind = PayloadType.RETIREMENT if final else PayloadType.REPORT
    verified = verify(envelope_from_wire(wire), kind, known.keys)
    report = (decode_retirement if final else decode_report)(verified.payload)
    if report.host_id != host_id:
        raise MisdirectedError(
            "the report names another host than the one that signed it", code="report.host"
        )
    return make_received(
        signed=signed,
        report=report,
        digest=verified.digest,
        host_id=host_id,
        final=final,
        carried=submission.carried,
    )
