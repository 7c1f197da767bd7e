"""The custodian's own officers open a reserve license: each signs the same statement."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from flopgate_agent.licensing.given import Given
from flopgate_agent.private import KEY_BYTES_MAX
from flopgate_agent.toml_table import read_bytes
from flopgate_proto.codec import (
    PayloadType,
    decode_order,
    encode_opening,
    envelope_from_wire,
)
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import ConfigError
from flopgate_proto.keys import SigningKey
from flopgate_proto.limits import NONCE_BYTES
from flopgate_proto.values import LicenseApproval, ReserveOpening


def opening_of(given: Given, reason: str, keys: Sequence[Path]) -> Envelope:
    """An opening of the reserve license that was given, or one that others began, signed besides.

    Raises:
        ConfigError: a key cannot be read, or opens nothing here.
        MalformedError: what was given is neither.
    """
    signers = [SigningKey(read_bytes(path, KEY_BYTES_MAX, secret=True)) for path in keys]
    if not given.licenses:
        begun = given.statement(PayloadType.RESERVE_OPENING, "an opening, nor a license")
        new = seal(begun.payload_type, begun.payload, signers).signatures
        known = {one.key_id for one in new}
        kept = [one for one in begun.signatures if one.key_id not in known]
        return Envelope(begun.payload_type, begun.payload, (*kept, *new))
    envelope = envelope_from_wire(given.licenses[0].approval)
    approval = decode_order(envelope.payload_type, envelope.payload)
    openers = approval.opener_spkis if isinstance(approval, LicenseApproval) else ()
    for path, signer in zip(keys, signers, strict=True):
        if signer.spki not in openers:
            raise ConfigError(
                f"the key in {path} is none of the {len(openers)} that open this license"
                if openers
                else "this is no reserve license: no key opens it",
                code="license.opener",
                remedy="Name a key whose public half the approval has."
                if openers
                else "Install it: it needs no opening.",
            )
    if not reason:
        raise ConfigError(
            "why it is opened is not said",
            code="license.reason",
            remedy='Add --reason "...", which is reported first once there is a link again.',
        )
    opening = ReserveOpening(
        authority=approval.authority,
        approval=envelope.digest,
        nonce=secrets.token_bytes(NONCE_BYTES),
        reason=reason,
    )
    return seal(PayloadType.RESERVE_OPENING, encode_opening(opening), signers)
