"""An officer's key in a real PKCS#11 token (SoftHSM2) signs as one in a file does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flopgate_governor.orders.drafts import Draft, read_draft, write_draft
from flopgate_proto.envelope import pae, verify
from flopgate_proto.keys import VerifyingKey
from tests.support import orders

pytestmark = pytest.mark.components

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "123456"
MAKE_KEY = f"""
import sys
import pkcs11
from pkcs11 import Attribute, KeyType
token = pkcs11.lib({MODULE!r}).get_token(token_label="officers")
with token.open(rw=True, user_pin={PIN!r}) as open_:
    curve = bytes.fromhex(sys.argv[1])
    made = open_.create_domain_parameters(KeyType.EC, {{Attribute.EC_PARAMS: curve}}, local=True)
    made.generate_keypair(label=sys.argv[2], store=True)
"""
P256, P384 = "06082a8648ce3d030107", "06052b81040022"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which SoftHSM finds a token with one P-256 and one P-384 key."""
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    environment = os.environ | {"SOFTHSM2_CONF": str(folder / "softhsm2.conf")}
    pins = ("--pin", PIN, "--so-pin", "654321")
    made = ("softhsm2-util", "--init-token", "--free", "--label", "officers", *pins)
    subprocess.run(made, check=True, env=environment, capture_output=True)
    for curve, label in ((P256, "ann"), (P384, "wide")):
        program = (sys.executable, "-c", MAKE_KEY, curve, label)
        subprocess.run(program, check=True, env=environment, capture_output=True)
    return environment


def approve(
    token: dict[str, str], path: Path, key: str, pin: str = ""
) -> subprocess.CompletedProcess[str]:
    digest = read_draft(path).digest.hex()
    return subprocess.run(
        [sys.executable, "-m", "flopgate_governor.cli", "order", "approve", str(path),
         "--key", key, "--digest", digest],
        env=token, input=pin, capture_output=True, text=True, check=False,
    )  # fmt: skip


def uri(label: str = "ann", pin_source: Path | None = None) -> str:
    source = "" if pin_source is None else f"&pin-source={pin_source}"
    return f"pkcs11:token=officers;object={label}?module-path={MODULE}{source}"


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    path = tmp_path / "draft.json"
    write_draft(path, Draft.of(orders.resume(), 9_000_000_000_000))
    return path


def test_law_6_a_key_in_a_token_signs_with_its_pin_from_standard_input(
    token: dict[str, str], draft: Path
) -> None:
    done = approve(token, draft, uri(), f"{PIN}\n")
    assert done.returncode == 0, done.stderr
    signed = read_draft(draft)
    (signature,) = signed.signatures
    show = (
        "from flopgate_governor.desk.pkcs11_keys import token_signer\n"
        f"with token_signer({uri()!r}) as key: print(key.spki.hex())"
    )
    told = subprocess.run(
        [sys.executable, "-c", show], env=token, input=PIN, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    key = VerifyingKey(bytes.fromhex(told.stdout.strip()))
    assert signature.key_id == key.key_id
    key.verify(signature.sig, pae(signed.payload_type, signed.payload))
    assert verify(signed.envelope, signed.payload_type, {key.key_id: key}).signers == {key.key_id}


def test_a_pin_from_a_file_that_others_can_read_is_refused(
    token: dict[str, str], draft: Path, tmp_path: Path
) -> None:
    pin = tmp_path / "pin"
    pin.write_text(f"{PIN}\n")
    pin.chmod(0o644)
    done = approve(token, draft, uri(pin_source=pin))
    assert (done.returncode, "key-file.mode" in done.stderr) == (2, True)
    pin.chmod(0o600)
    assert approve(token, draft, uri(pin_source=pin)).returncode == 0


@pytest.mark.parametrize(
    ("key", "pin", "code"),
    [
        (uri(), "000000", "pkcs11.failed"),
        (uri(), "", "pkcs11.pin"),
        (uri("nobody"), PIN, "pkcs11.failed"),
        (uri("wide"), PIN, "pkcs11.key"),
        (uri().replace("officers", "others"), PIN, "pkcs11.failed"),
        (uri().replace(MODULE, "/nowhere.so"), PIN, "pkcs11.failed"),
    ],
)
def test_what_cannot_sign_is_refused_with_its_reason(
    token: dict[str, str], draft: Path, key: str, pin: str, code: str
) -> None:
    done = approve(token, draft, key, pin)
    assert (done.returncode, code in done.stderr) == (2, True), done.stderr
    assert PIN not in done.stderr
    assert not read_draft(draft).signatures
