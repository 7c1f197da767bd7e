"""The courier's TLS key and its certificates, in its own directory.

The key is P-256, made at first start, mode 0600. It proves nothing but who carries: what counts is
signed by the gate's host key, which never comes here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from flopgate_agent.courier.actions import Validity
from flopgate_agent.private import key_in
from flopgate_agent.replacing import replace_file
from flopgate_proto.errors import ConfigError, EnvironmentFault, MalformedError
from flopgate_proto.keys import SigningKey

CHAIN_MAX: Final = 8
CERTIFICATE_BYTES_MAX: Final = 16384
CHAIN_BYTES_MAX: Final = 2 * CHAIN_MAX * CERTIFICATE_BYTES_MAX
"""Of a chain as it is kept, PEM: a third longer than DER, with its lines."""
_KEY_NAME: Final = "courier-key.pem"


class Identity:
    """Key and certificates under ``state_dir``.

    Raises:
        ConfigError: the key file holds no key, or others can read it.
        EnvironmentFault: the directory cannot be written.
    """

    __slots__ = ("_directory", "key_pem", "spki")

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "certificates"
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            key = _key(state_dir / _KEY_NAME)
        except OSError as error:
            raise _unwritable(state_dir, error) from error
        self.key_pem = key.pem()
        self.spki = key.spki

    def chain_pem(self, authority: str) -> bytes | None:
        """Certificate chain for an authority, None without one, or where it is no chain of ours."""
        try:
            with self._path(authority).open("rb") as file:
                pem = file.read(CHAIN_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        return pem if len(pem) <= CHAIN_BYTES_MAX else None

    def validity(self, authority: str) -> Validity | None:
        """Span of the kept certificate; None without one that is usable."""
        pem = self.chain_pem(authority)
        if pem is None:
            return None
        try:
            return self._checked(x509.load_pem_x509_certificates(pem))
        except (ValueError, UnsupportedAlgorithm, MalformedError):
            return None  # as good as none: the gate signs for a new one

    def keep(self, authority: str, chain: Sequence[bytes]) -> Validity:
        """Store a chain (DER, leaf first), durable when this returns.

        Raises:
            MalformedError: no certificates, or not for this key.
            EnvironmentFault: it cannot be written.
        """
        if not 0 < len(chain) <= CHAIN_MAX or max(map(len, chain)) > CERTIFICATE_BYTES_MAX:
            raise _unusable(f"{len(chain)} certificates, or one of them too long")
        try:
            certificates = [x509.load_der_x509_certificate(der) for der in chain]
            validity = self._checked(certificates)
        # Key and dates are read when they are asked for, not when the certificate is loaded.
        except (ValueError, UnsupportedAlgorithm) as error:
            raise _unusable("not a DER certificate with a key and dates") from error
        pem = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
        try:
            replace_file(self._path(authority), pem, durable=True)
        except OSError as error:
            raise _unwritable(self._directory, error) from error
        return validity

    def _path(self, authority: str) -> Path:
        return self._directory / f"{authority}.pem"

    def _checked(self, certificates: Sequence[x509.Certificate]) -> Validity:
        leaf = certificates[0]
        key = leaf.public_key()
        if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != self.spki:
            raise _unusable("made for another key")
        return Validity(
            not_before_unix_ms=_unix_ms(leaf.not_valid_before_utc),
            not_after_unix_ms=_unix_ms(leaf.not_valid_after_utc),
        )


def _key(path: Path) -> SigningKey:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigError(
                    f"{path} can be read by others",
                    code="courier.key.readable",
                    remedy="Remove it, and restart the courier: it makes a new key and enrols.",
                )
            return key_in(file, path)
    except FileNotFoundError:
        key = SigningKey.generate()
        replace_file(path, key.pem(), durable=True)
        return key


def _unix_ms(when: datetime) -> int:
    return int(when.timestamp()) * 1000


def _unusable(why: str) -> MalformedError:
    return MalformedError(
        f"the courier's certificate chain cannot be used: {why}",
        code="courier.certificate.unusable",
        remedy="Ask the authority's operators.",
    )


def _unwritable(where: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        f"cannot keep the courier's key and certificates in {where}: {error.strerror or error}",
        code="courier.state.unwritable",
        remedy="The directory must exist and belong to the courier's user.",
    )
