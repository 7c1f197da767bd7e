"""Whose a statement says that it is, read before anybody verified it."""

from __future__ import annotations

from flopgate_proto.codec import (
    PayloadType,
    decode_admission,
    decode_opening,
    decode_order,
    decode_trusted_time,
)


def claimed_authority(payload_type: str, payload: bytes) -> str:
    """Name of the authority in bytes that anybody may have written.

    It selects whose keys must have signed them, and nothing else is taken from them: what verifies
    decodes them anew.

    Args:
        payload_type: as what they are to be read; no other than this is accepted afterwards.
        payload: as they came.

    Raises:
        MalformedError, UnknownVersionError: no such statement.
    """
    match payload_type:
        case PayloadType.ADMISSION:
            return decode_admission(payload).authority
        case PayloadType.RESERVE_OPENING:
            return decode_opening(payload).authority
        case PayloadType.TRUSTED_TIME:
            return decode_trusted_time(payload).authority
        case _:
            return decode_order(payload_type, payload).authority
