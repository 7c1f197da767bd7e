"""Public keys as officers name them on a command line."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from flopgate_governor.desk.officer_keys import public_key
from flopgate_proto.errors import ConfigError
from tests.support.fixed import OFFICER_KEYS


def refused(path: Path) -> ConfigError:
    """Why it is not taken."""
    with pytest.raises(ConfigError) as error:
        public_key(path)
    return error.value


def test_a_public_key_is_read_from_its_pem_file(tmp_path: Path) -> None:
    path, spki = tmp_path / "key.pub", OFFICER_KEYS[0].spki
    key = load_der_public_key(spki)
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert public_key(path) == spki


def test_what_is_no_public_key_says_what_is(tmp_path: Path) -> None:
    private = tmp_path / "key.pem"
    private.write_bytes(OFFICER_KEYS[0].pem())
    assert refused(private).code == "key.public"
    for path, code in ((tmp_path / "none", "unreadable"), (Path("/dev/zero"), "oversized")):
        told = refused(path)
        assert told.code == f"key-file.{code}"
        assert "openssl pkey -pubout" in (told.remedy or "")
