"""Officers' keys in a PKCS#11 token: a smart card, an HSM, SoftHSM. The key never leaves it.

A key is named by a URI after RFC 7512, of which this much is read:

    pkcs11:token=LABEL;object=LABEL?module-path=FILE[&pin-source=FILE]

The PIN is the first line of the file, which nobody else may read, or of standard input.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric import utils

from flopgate_governor.files import read_secret
from flopgate_proto.errors import ConfigError, PeerError
from flopgate_proto.keys import VerifyingKey

if TYPE_CHECKING:
    import pkcs11

SCHEME: Final = "pkcs11:"
_PATH: Final = frozenset({"token", "object"})
_QUERY: Final = frozenset({"module-path", "pin-source"})
_SPKI_P256: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
"""DER of a P-256 SubjectPublicKeyInfo up to the uncompressed point (RFC 5480)."""
_POINT_BYTES: Final = 65


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUri:
    """Where a key lies. ``pin_source`` is ``None`` where the PIN comes from standard input."""

    token: str
    object: str
    module: str
    pin_source: Path | None

    @classmethod
    def parse(cls, text: str) -> KeyUri:
        """A key's place from its URI.

        Raises:
            ConfigError: it is none that is read here.
        """
        path, _, query = text.removeprefix(SCHEME).partition("?")
        try:
            found = _parts(path, ";", _PATH) | _parts(query, "&", _QUERY)
            return cls(
                token=found["token"],
                object=found["object"],
                module=found["module-path"],
                pin_source=Path(found["pin-source"]) if "pin-source" in found else None,
            )
        except (KeyError, ValueError) as error:
            raise ConfigError(
                f"{text!r} names no key in a token",
                code="pkcs11.uri",
                remedy="Write pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE.",
            ) from error


def _parts(text: str, between: str, known: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, text.split(between)):
        name, equals, value = part.partition("=")
        if name not in known or not equals or not value or name in found:
            raise ValueError(part)
        found[name] = unquote(value, errors="strict")
    return found


class TokenSigner:
    """A P-256 key in an open session of a token."""

    __slots__ = ("_key", "_mechanism", "spki")

    def __init__(self, key: pkcs11.Key, mechanism: pkcs11.Mechanism, spki: bytes) -> None:
        self._key = key
        self._mechanism = mechanism
        self.spki = spki

    def sign(self, message: bytes) -> bytes:
        """DER signature by ECDSA with SHA-256."""
        raw = self._key.sign(hashlib.sha256(message).digest(), mechanism=self._mechanism)
        r, s = raw[: len(raw) // 2], raw[len(raw) // 2 :]
        return utils.encode_dss_signature(int.from_bytes(r), int.from_bytes(s))


@contextmanager
def token_signer(text: str) -> Iterator[TokenSigner]:
    """The key that a URI names, for as long as the block lasts.

    Raises:
        ConfigError: library, token, key or PIN cannot be used.
    """
    uri = KeyUri.parse(text)
    try:
        import pkcs11 as library  # noqa: PLC0415 - an extra, needed by nobody else
    except ImportError as error:
        raise ConfigError(
            "python-pkcs11 is not installed",
            code="pkcs11.library",
            remedy="Install flopgate with its extra: flopgate[governor,pkcs11].",
        ) from error
    session: pkcs11.Session | None = None
    try:
        token = library.lib(uri.module).get_token(token_label=uri.token)
        session = token.open(user_pin=_pin(uri))
        public = session.get_key(object_class=library.ObjectClass.PUBLIC_KEY, label=uri.object)
        private = session.get_key(object_class=library.ObjectClass.PRIVATE_KEY, label=uri.object)
        spki = _spki(public[library.Attribute.EC_POINT])
        yield TokenSigner(private, library.Mechanism.ECDSA, spki)
    except (library.PKCS11Error, OSError) as error:
        raise ConfigError(
            f"the token {uri.token!r} fails: {type(error).__name__} {error}".rstrip(),
            code="pkcs11.failed",
            remedy="Check module, label and PIN; a token may lock after a few wrong PINs.",
        ) from error
    finally:
        if session is not None:
            session.close()


def _pin(uri: KeyUri) -> str:
    if uri.pin_source is not None:
        text = read_secret(uri.pin_source).decode(errors="replace")
    else:
        if sys.stdin.isatty():
            sys.stderr.write(f"PIN of the token {uri.token!r}: ")
            sys.stderr.flush()
        text = sys.stdin.readline()
    pin = text.partition("\n")[0].rstrip("\r")
    if not pin:
        raise ConfigError(
            f"no PIN for the token {uri.token!r}",
            code="pkcs11.pin",
            remedy="Write it as the first line of the file named by pin-source, or on standard "
            "input.",
        )
    return pin


def _spki(point: bytes) -> bytes:
    """SubjectPublicKeyInfo from CKA_EC_POINT: an OCTET STRING in DER around the point."""
    try:
        key = VerifyingKey(_SPKI_P256 + point[-_POINT_BYTES:])
    except PeerError as error:
        raise ConfigError(
            "the key in the token is not of P-256",
            code="pkcs11.key",
            remedy="Make a P-256 key in the token.",
        ) from error
    return key.spki
