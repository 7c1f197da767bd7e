"""Envelopes within a line: DSSE's JSON form as an object."""

from __future__ import annotations

from flopgate_proto.codec import envelope_from_object
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import MalformedError


def envelope_of(line: object, what: str) -> Envelope:
    """From an object; ``what`` is named where it is none.

    Raises:
        MalformedError: not an envelope, or nobody signed it.
    """
    try:
        return envelope_from_object(line)
    except MalformedError as error:
        raise MalformedError(
            f"{what} is no signed statement: {error.detail}",
            code="license-file.statement",
            remedy="Fetch the file again, whole.",
        ) from error
