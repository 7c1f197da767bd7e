"""Officers' keys as a command line names them: a PEM file, or a key in a PKCS#11 token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from flopgate_governor.desk.pkcs11_keys import SCHEME, token_signer
from flopgate_governor.files import KEY_FILE_BYTES_MAX, read_bytes, read_signing_key
from flopgate_proto.errors import ConfigError, FlopgateError
from flopgate_proto.keys import Signer, VerifyingKey

_PUBLIC: Final = "Name a PEM file of a P-256 or Ed25519 key: openssl pkey -pubout."


def public_key(path: Path) -> bytes:
    """The DER of a public key in a PEM file, as ``openssl pkey -pubout`` writes it.

    Raises:
        ConfigError: there is none that can be used.
    """
    data = read_bytes(path, KEY_FILE_BYTES_MAX, "key-file", remedy=_PUBLIC)
    try:
        spki = load_pem_public_key(data).public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        VerifyingKey(spki)
    except (ValueError, UnsupportedAlgorithm, FlopgateError) as error:
        raise ConfigError(
            f"{path} holds no public key that can be used",
            code="key.public",
            remedy=_PUBLIC,
        ) from error
    return spki


@contextmanager
def signers(names: Sequence[str]) -> Iterator[list[Signer]]:
    """What signs, for as long as the block lasts.

    Raises:
        ConfigError: a key cannot be used.
    """
    with ExitStack() as stack:
        yield [
            stack.enter_context(token_signer(name))
            if name.startswith(SCHEME)
            else read_signing_key(Path(name))
            for name in names
        ]
