"""Licenses and statements as content of paper and QR codes."""

from __future__ import annotations

from flopgate_proto.codec import envelope_from_wire, envelope_to_wire, parse_message
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import MalformedError
from flopgate_proto.files.content import Content, Kind
from flopgate_proto.files.licenses import check_license
from flopgate_proto.v1 import flopgate_pb2 as pb


def license_content(license_: pb.HostLicense) -> Content:
    """What is carried of one host's license."""
    return Content(Kind.LICENSE, license_.SerializeToString(deterministic=True))


def statement_content(envelope: Envelope) -> Content:
    """What is carried of a statement."""
    wire = envelope_to_wire(envelope)
    return Content(Kind.STATEMENT, wire.SerializeToString(deterministic=True))


def license_in(content: Content) -> pb.HostLicense:
    """The license that was carried.

    Raises:
        MalformedError, OversizedError: it is none, or not whole.
    """
    check_kind(content, Kind.LICENSE)
    return check_license(parse_message(pb.HostLicense(), content.data))


def statement_in(content: Content) -> Envelope:
    """The statement that was carried.

    Raises:
        MalformedError, OversizedError: it is none, or nobody signed it.
    """
    check_kind(content, Kind.STATEMENT)
    return envelope_from_wire(parse_message(pb.Envelope(), content.data))


def check_kind(content: Content, kind: Kind) -> None:
    """Check that what was carried is what is wanted.

    Raises:
        MalformedError: it is something else.
    """
    if content.kind is not kind:
        raise MalformedError(
            f"a {content.kind.value.lower()} where a {kind.value.lower()} was expected",
            code="carried.kind",
            remedy="`license install` takes licenses; `license open` and `time` statements; "
            "`license show` and the authority's `license summary` what a site asks for.",
        )
