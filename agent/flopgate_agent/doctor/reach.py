"""Authorities: tokens and certificates at hand, and whether their ports answer with TLS."""

from __future__ import annotations

import socket
import ssl
import time
from http.client import HTTPConnection
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from flopgate_agent.config import (
    AuthorityConfig,
    CourierConfig,
    GateConfig,
    load_gate_tokens,
)
from flopgate_agent.doctor.verdict import Verdicts, good, mend, note

CONNECT_S: Final = 5.0
DAY_S: Final = 86_400


def trust(gate: GateConfig) -> Verdicts:
    """Tokens that the gate believes authorities by."""
    tokens = load_gate_tokens(gate.state_dir)
    if tokens:
        yield good("trust", f"joined: {', '.join(one.authority for one in tokens)}")
    else:
        yield mend("trust", "no authority was joined", "Run `flopgate-agent join` with a token.")


def answers(authority: AuthorityConfig) -> Verdicts:
    """Whether both ports of an authority answer with the certificate that its token named."""
    for address in (authority.enroll_address, authority.address):
        yield from _reached(authority, address)


def _reached(authority: AuthorityConfig, address: str) -> Verdicts:
    name = f"network {authority.name}"
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    context = ssl.create_default_context(cadata=authority.ca_pem.decode("ascii", "replace"))
    # The courier's gRPC asks for less than Python does by itself since 3.13.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    try:
        with (
            _connect(host, int(port)) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            yield good(name, f"{address} answers with {secured.version()}")
    except ssl.SSLCertVerificationError as error:
        how = "Ask the authority for a new token: its certificate is not the one that it names."
        yield mend(name, f"{address} is somebody else: {error.verify_message}", how)
    except (OSError, ValueError) as error:
        how = "Let this host call it: name resolution, routing, firewall. Then ask the authority."
        said = getattr(error, "strerror", None) or error
        yield mend(name, f"{address} is not reached: {said}", how)


def _connect(host: str, port: int) -> socket.socket:
    """As the courier would: through the environment's proxy, where there is one for this host."""
    proxy = getproxies().get("https")
    if proxy is None or proxy_bypass(host):
        return socket.create_connection((host, port), CONNECT_S)
    where = urlsplit(proxy)
    tunnel = HTTPConnection(where.hostname or "", where.port or 80, timeout=CONNECT_S)
    tunnel.set_tunnel(host, port)
    tunnel.connect()
    return tunnel.sock


def certificate(courier: CourierConfig, authority: str) -> Verdicts:
    """How long the courier's own certificate for an authority is good."""
    path = courier.state_dir / "certificates" / f"{authority}.pem"
    subject = f"certificate {authority}"
    try:
        leaf = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except FileNotFoundError:
        yield note(subject, "none yet: the courier gets it when the host is admitted")
        return
    except (ValueError, UnsupportedAlgorithm):
        yield note(subject, f"{path} holds none", "The courier asks for a new one by itself.")
        return
    left_s = leaf.not_valid_after_utc.timestamp() - time.time()
    if left_s > 0:
        yield good(subject, f"good for {left_s / DAY_S:.0f} more days, renewed by itself")
    else:
        how = "See the courier's log for why it was not renewed; check the clock."
        yield mend(subject, f"ended {-left_s / DAY_S:.1f} days ago", how)
