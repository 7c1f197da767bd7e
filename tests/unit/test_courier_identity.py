"""The courier's key and certificates on disk."""

import datetime as dt
from base64 import b64encode
from pathlib import Path

import pytest

from flopgate_agent.courier.identity import CHAIN_BYTES_MAX, Identity
from flopgate_agent.private import KEY_BYTES_MAX
from flopgate_proto.errors import ConfigError, EnvironmentFault, MalformedError
from flopgate_proto.keys import SigningKey
from tests.support.fake_authority import Certifier

DAY_MS = 86_400_000


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    first, again = Identity(tmp_path), Identity(tmp_path)
    assert first.spki == again.spki
    assert first.spki != Identity(_made(tmp_path / "other")).spki
    assert (tmp_path / "courier-key.pem").stat().st_mode & 0o777 == 0o600


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Identity(tmp_path)
    (tmp_path / "courier-key.pem").chmod(0o640)
    with pytest.raises(ConfigError) as caught:
        Identity(tmp_path)
    assert caught.value.code == "courier.key.readable"


def test_a_key_is_read_up_to_a_bound(tmp_path: Path) -> None:
    Identity(tmp_path)
    with (tmp_path / "courier-key.pem").open("ab") as file:
        file.write(b"\n" * KEY_BYTES_MAX)
    with pytest.raises(ConfigError) as caught:
        Identity(tmp_path)
    assert caught.value.code == "key.oversized"


def test_a_chain_is_kept_with_its_span(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    assert identity.validity("home") is None
    assert identity.chain_pem("home") is None
    leaf = Certifier("ca").client(identity.spki, -dt.timedelta(days=1), dt.timedelta(days=2))
    kept = identity.keep("home", [leaf])
    assert kept.not_after_unix_ms - kept.not_before_unix_ms == 3 * DAY_MS
    assert kept.renew_unix_ms == kept.not_after_unix_ms - DAY_MS
    assert Identity(tmp_path).validity("home") == kept
    assert identity.validity("other") is None
    assert sorted(path.name for path in (tmp_path / "certificates").iterdir()) == ["home.pem"]


def test_a_chain_for_another_key_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    certifier = Certifier("ca")
    kept = identity.keep("home", [certifier.client(identity.spki)])
    foreign = certifier.client(SigningKey.generate().spki)
    for chain in ([foreign], [], [b"no certificate"], [b"x" * 20_000], [foreign] * 9):
        with pytest.raises(MalformedError) as caught:
            identity.keep("home", chain)
        assert caught.value.code == "courier.certificate.unusable"
    assert identity.validity("home") == kept


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        # id-ecPublicKey and prime256v1 (RFC 5480), and object identifiers that stand for nothing.
        ("06072a8648ce3d0201", "06072a8648ce3d0209"),
        ("06082a8648ce3d030107", "06082a8648ce3d030007"),
        # The first byte of an uncompressed point: this one is on no curve.
        ("03420004", "03420005"),
        ("170d", "170c"),
    ],
    ids=["kind of key", "curve", "point", "date"],
)
def test_a_certificate_that_is_none_is_refused_and_the_old_one_stays(
    tmp_path: Path, there: str, instead: str
) -> None:
    """An authority can send what it likes: the courier carries on for the others."""
    identity = Identity(tmp_path)
    kept = identity.keep("home", [leaf := Certifier("ca").client(identity.spki)])
    bent = leaf.replace(bytes.fromhex(there), bytes.fromhex(instead), 1)
    assert bent != leaf
    with pytest.raises(MalformedError) as caught:
        identity.keep("home", [bent])
    assert caught.value.code == "courier.certificate.unusable"
    assert identity.validity("home") == kept
    block = b64encode(bent).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{block}\n-----END CERTIFICATE-----\n"
    (tmp_path / "certificates" / "home.pem").write_text(pem)
    assert identity.validity("home") is None


def test_a_chain_is_read_up_to_a_bound(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    identity.keep("home", [Certifier("ca").client(identity.spki)])
    with (tmp_path / "certificates" / "home.pem").open("ab") as file:
        file.write(b"\n" * CHAIN_BYTES_MAX)
    assert identity.chain_pem("home") is None
    assert identity.validity("home") is None


def test_a_broken_file_is_as_good_as_none(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    (tmp_path / "certificates" / "home.pem").write_bytes(b"half a certif")
    assert identity.validity("home") is None


def test_an_absent_directory_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        Identity(tmp_path / "absent")
    assert caught.value.code == "courier.state.unwritable"


def _made(path: Path) -> Path:
    path.mkdir()
    return path
