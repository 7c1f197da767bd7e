"""A small TLS certificate authority of the governor's own, P-256 throughout.

A client certificate names its bearer in a URI: ``flopgate://AUTHORITY/host/HEX``, ``/relay/NAME``
or ``/officer/NAME``. It opens a connection and nothing more: what counts is signed.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from flopgate_proto.errors import ConfigError, MalformedError

CA_LIFE: Final = dt.timedelta(days=3650)
SERVER_LIFE: Final = dt.timedelta(days=90)
CLIENT_LIFE: Final = dt.timedelta(days=30)
_EARLY: Final = dt.timedelta(hours=1)
_SHA256: Final = hashes.SHA256()
_NO_USAGE: Final = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A private key and its certificate, both PEM."""

    key_pem: bytes
    certificate_pem: bytes


class CertificateAuthority:
    """Issues server and client certificates.

    Raises:
        ConfigError: key and certificate cannot be read.
    """

    __slots__ = ("_certificate", "_key", "certificate_pem")

    def __init__(self, credential: Credential) -> None:
        try:
            key = serialization.load_pem_private_key(credential.key_pem, password=None)
            self._certificate = x509.load_pem_x509_certificate(credential.certificate_pem)
        except (ValueError, TypeError) as error:
            raise ConfigError(
                "the TLS certificate authority cannot be read",
                code="tls.authority",
                remedy="Restore tls/ca.pem and tls/ca-key.pem.",
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError("the TLS authority's key is no P-256 key", code="tls.authority")
        self._key = key
        self.certificate_pem = credential.certificate_pem

    @property
    def certificate_der(self) -> bytes:
        """The authority's certificate."""
        return self._certificate.public_bytes(serialization.Encoding.DER)

    def server(self, hosts: Sequence[str], now: dt.datetime) -> Credential:
        """A new key and certificate for a server under these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [_general_name(host) for host in hosts]
        builder = self._builder("flopgate governor", key.public_key(), now, SERVER_LIFE)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        return Credential(
            key_pem=_pem(key),
            certificate_pem=builder.sign(self._key, _SHA256).public_bytes(
                serialization.Encoding.PEM
            ),
        )

    def client(self, spki: bytes, uri: str, now: dt.datetime) -> bytes:
        """DER certificate of a client's key.

        Raises:
            MalformedError: the key is no P-256 public key.
        """
        try:
            key = serialization.load_der_public_key(spki)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise MalformedError("not a DER public key", code="tls.client-key") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
            key.curve, ec.SECP256R1
        ):
            raise MalformedError(
                "the courier's TLS key is no P-256 key",
                code="tls.client-key",
                remedy="Make a P-256 key.",
            )
        builder = self._builder("flopgate client", key, now, CLIENT_LIFE)
        uris = [x509.UniformResourceIdentifier(uri)]
        builder = builder.add_extension(x509.SubjectAlternativeName(uris), critical=False)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        return builder.sign(self._key, _SHA256).public_bytes(serialization.Encoding.DER)

    def client_credential(self, uri: str, now: dt.datetime) -> Credential:
        """A new key with a client certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        spki = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        certificate = x509.load_der_x509_certificate(self.client(spki, uri, now))
        return Credential(
            key_pem=_pem(key),
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
        )

    def _builder(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        now: dt.datetime,
        life: dt.timedelta,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _EARLY)
            .not_valid_after(now + life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage("digital_signature"), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )


def new_authority(name: str, now: dt.datetime) -> Credential:
    """Key and self-signed certificate of a new certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} TLS"[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLY)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        # Who checks by the letter of RFC 5280 (4.2.1.9), as Python does since 3.13, asks for it.
        .add_extension(_usage("key_cert_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, _SHA256)
    )
    return Credential(
        key_pem=_pem(key), certificate_pem=certificate.public_bytes(serialization.Encoding.PEM)
    )


def _usage(name: str) -> x509.KeyUsage:
    return x509.KeyUsage(**(_NO_USAGE | {name: True}))


def server_names(listen_host: str) -> list[str]:
    """Names under which a server listening there is reached."""
    names = ["localhost", "127.0.0.1"]
    unspecified = listen_host in ("", "0.0.0.0", "::", "[::]")  # noqa: S104  # not a bind
    if listen_host not in names and not unspecified:
        names.append(listen_host.strip("[]"))
    return names


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
