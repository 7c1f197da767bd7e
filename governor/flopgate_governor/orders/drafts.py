"""An order on its way from officer to officer: its exact bytes, and who signed them so far.

A draft is a file of its own, a DSSE envelope that may have no signatures yet, with the time after
which nobody here signs or submits it any more. The time is not signed: signatures do not expire.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from flopgate_governor.files import read_bytes, replace_secret, write_secret
from flopgate_proto.amounts import span_text
from flopgate_proto.codec import decode_order, encode_order
from flopgate_proto.envelope import Envelope, Signature, pae, statement_digest
from flopgate_proto.errors import ConfigError, MisuseError
from flopgate_proto.keys import Signer, key_digest
from flopgate_proto.limits import COUNT_MAX, DIGEST_BYTES, MESSAGE_BYTES_MAX
from flopgate_proto.values.orders import Order

_MEMBERS: Final = {"payloadType", "payload", "signatures", "expires_unix_ms"}
_REMEDY: Final = "Name a file that `flopgate-governor order propose` wrote."


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Bytes to be signed, with the signatures that they have.

    ``expires_unix_ms``: from then on it is refused here.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]
    expires_unix_ms: int

    @classmethod
    def of(cls, order: Order, expires_unix_ms: int) -> Draft:
        """An order that nobody signed yet.

        Raises:
            ConfigError: no order can say this.
        """
        kind, payload = encoded(order)
        return cls(
            payload_type=kind, payload=payload, signatures=(), expires_unix_ms=expires_unix_ms
        )

    @property
    def digest(self) -> bytes:
        """Identity of the statement: what every officer compares."""
        return statement_digest(self.payload_type, self.payload)

    @property
    def order(self) -> Order:
        """What would be ordered."""
        return decode_order(self.payload_type, self.payload)

    @property
    def envelope(self) -> Envelope:
        """The order as it is submitted.

        Raises:
            ConfigError: nobody signed it yet.
        """
        if not self.signatures:
            raise ConfigError(
                "nobody signed this draft yet",
                code="draft.unsigned",
                remedy="Officers run `flopgate-governor order approve` on it.",
            )
        return Envelope(self.payload_type, self.payload, self.signatures)

    def approved(self, signer: Signer) -> Draft:
        """The draft with one more signature over the same bytes.

        Raises:
            ConfigError: this key signed it before.
        """
        key_id = key_digest(signer.spki).hex()
        if any(signature.key_id == key_id for signature in self.signatures):
            raise ConfigError(
                f"key {key_id[:16]} signed this draft before",
                code="draft.approved",
                remedy="One key counts once: another officer signs.",
            )
        signature = Signature(key_id, signer.sign(pae(self.payload_type, self.payload)))
        return replace(self, signatures=(*self.signatures, signature))

    def check_fresh(self, unix_ms: int) -> None:
        """Refuse one that is too old.

        Raises:
            ConfigError: it expired.
        """
        if unix_ms >= self.expires_unix_ms:
            raise ConfigError(
                f"this draft expired {span_text(unix_ms - self.expires_unix_ms, 's')} ago",
                code="draft.expired",
                remedy="Propose it anew.",
            )

    def text(self) -> str:
        """As the file holds it."""
        document = {
            "payloadType": self.payload_type,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [
                {"keyid": one.key_id, "sig": base64.b64encode(one.sig).decode()}
                for one in self.signatures
            ],
            "expires_unix_ms": self.expires_unix_ms,
        }
        return json.dumps(document, indent=1) + "\n"


def encoded(order: Order) -> tuple[str, bytes]:
    """Payload type and bytes of an order.

    What officers sign is what everybody reads: the bytes are read back and compared.

    Raises:
        ConfigError: no order can say this.
        MisuseError: its bytes say something else.
    """
    try:
        kind, payload = encode_order(order)
    except ValueError as error:
        raise ConfigError(
            f"no order can say this: {error}",
            code="order.value",
            remedy=f"Write numbers from 0 to {COUNT_MAX}, and text in UTF-8.",
        ) from error
    if decode_order(kind, payload) != order:
        raise MisuseError(
            "what would be signed reads otherwise than what was meant",
            code="order.codec",
            remedy="Sign nothing, and report it.",
        )
    return kind, payload


def read_draft(path: Path) -> Draft:
    """A draft from its file.

    Raises:
        ConfigError: it cannot be read, or is none.
        PeerError: its payload is no order.
    """
    data = read_bytes(path, MESSAGE_BYTES_MAX, "draft", remedy=_REMEDY)
    try:
        draft = _parse(json.loads(data))
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise ConfigError(
            f"{path} is no draft of an order",
            code="draft.malformed",
            remedy=_REMEDY,
        ) from error
    decode_order(draft.payload_type, draft.payload)
    return draft


def _parse(document: Any) -> Draft:
    if set(document) != _MEMBERS or not isinstance(document["expires_unix_ms"], int):
        raise ValueError
    return Draft(
        payload_type=str(document["payloadType"]),
        payload=base64.b64decode(document["payload"], validate=True),
        signatures=tuple(
            Signature(_key_id(one["keyid"]), base64.b64decode(one["sig"], validate=True))
            for one in document["signatures"]
        ),
        expires_unix_ms=document["expires_unix_ms"],
    )


def _key_id(text: Any) -> str:
    # It is shown to officers: anything else could paint over what the order says.
    key_id = bytes.fromhex(text).hex()
    if key_id != text or len(text) != 2 * DIGEST_BYTES:
        raise ValueError
    return key_id


def write_draft(path: Path, draft: Draft) -> None:
    """Write a new file.

    Raises:
        ConfigError: it is there already, or cannot be written.
    """
    write_secret(path, draft.text().encode())


def replace_draft(path: Path, draft: Draft) -> None:
    """Write a draft over an older state of itself, whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    replace_secret(path, draft.text().encode())
