"""The governor's TLS certificates, checked by the letter of RFC 5280."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest

from flopgate_governor.pki import CertificateAuthority, Credential, new_authority


def files(folder: Path, name: str, credential: Credential) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    certificate.write_bytes(credential.certificate_pem)
    key.write_bytes(credential.key_pem)
    return certificate, key


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, server_name: str) -> None:
    """Both ends of one connection, in memory."""
    ways = [ssl.MemoryBIO() for _ in range(2)]
    ends = [
        client.wrap_bio(ways[0], ways[1], server_hostname=server_name),
        server.wrap_bio(ways[1], ways[0], server_side=True),
    ]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert [end.version() for end in ends] == ["TLSv1.3"] * 2
    # A client's certificate is judged by what the server reads next.
    ends[0].write(b"x")
    assert ends[1].read() == b"x"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "gov.example"])
def test_a_strict_client_and_a_strict_server_take_them(tmp_path: Path, name: str) -> None:
    now = dt.datetime.now(dt.UTC)
    authority = CertificateAuthority(new_authority("gov.example", now))
    trusted = authority.certificate_pem.decode()
    contexts = []
    for purpose, credential in (
        (
            ssl.Purpose.SERVER_AUTH,
            authority.client_credential("flopgate://gov.example/relay/r", now),
        ),
        (ssl.Purpose.CLIENT_AUTH, authority.server(["localhost", "127.0.0.1", name], now)),
    ):
        context = ssl.create_default_context(purpose, cadata=trusted)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(*files(tmp_path, purpose.name.lower(), credential))
        contexts.append(context)
    client, server = contexts
    shake_hands(client, server, name)


def test_no_certificate_of_a_client_or_server_certifies_another(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    authority = CertificateAuthority(new_authority("gov.example", now))
    relay = authority.client_credential("flopgate://gov.example/relay/r", now)
    forged = CertificateAuthority(relay).server(["localhost"], now)
    chained = Credential(
        key_pem=forged.key_pem, certificate_pem=forged.certificate_pem + relay.certificate_pem
    )
    client = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(*files(tmp_path, "forged", chained))
    with pytest.raises(ssl.SSLCertVerificationError, match="invalid CA certificate"):
        shake_hands(client, server, "localhost")
