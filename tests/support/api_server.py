"""A stub of the Kubernetes API server: one node, patched as the real one would, over TLS."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.served import Handler, Served

NODE = "gpu0017"
OTHERS = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
PATCH = "application/strategic-merge-patch+json"


class ApiServer(Served):
    """Runs while it is entered.

    Attributes:
        taints, conditions: of the node; somebody else's taint stands there from the first.
        wrong: requests that a real server would refuse, in words.
        refuses: answers 403 to everything.
    """

    def __init__(self, account: Path) -> None:
        self.account = account
        self.taints: list[dict[str, Any]] = [dict(OTHERS)]
        self.conditions: list[dict[str, Any]] = []
        self.wrong: list[str] = []
        self.refuses = False
        self.requests = 0
        account.mkdir()
        (account / "token").write_text("a-token\n")
        key, certificate = _certified(account)
        super().__init__(self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    @property
    def url(self) -> str:
        """As it stands in every pod's environment."""
        return f"https://127.0.0.1:{self.port}"

    def reason(self) -> str | None:
        """Value of flopgate's own taint."""
        found = [one["value"] for one in self.taints if one["key"] == "flopgate-not-permitted"]
        return found[0] if found else None

    def patched(self, path: str, body: dict[str, Any]) -> None:
        """Strategic merge of what this server knows."""
        if path == f"/api/v1/nodes/{NODE}" and set(body) == {"spec"}:
            for taint in body["spec"]["taints"]:
                self.taints = [one for one in self.taints if one["key"] != taint["key"]]
                if taint.pop("$patch", None) != "delete":
                    self.taints.append(taint)
        elif path == f"/api/v1/nodes/{NODE}/status" and set(body) == {"status"}:
            for condition in body["status"]["conditions"]:
                others = [one for one in self.conditions if one["type"] != condition["type"]]
                self.conditions = [*others, condition]
        else:
            self.wrong.append(f"{path} {body}")

    def _handler(self) -> type[Handler]:
        outer = self

        class Node(Handler):
            def do_PATCH(self) -> None:  # noqa: N802  # the library's name
                outer.requests += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Type"] != PATCH:
                    outer.wrong.append(self.headers["Content-Type"])
                refused = outer.refuses or self.headers["Authorization"] != "Bearer a-token"
                if not refused:
                    outer.patched(self.path, json.loads(body))
                self.send_response(403 if refused else 200)
                self.end_headers()
                self.wfile.write(b"nodes is forbidden" if refused else b"{}")

        return Node


def _certified(account: Path) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1, which the account believes."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    now = dt.datetime.now(dt.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (account / "ca.crt").write_bytes(pem)
    paths = account.with_name("server.key"), account.with_name("server.crt")
    paths[0].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    paths[1].write_bytes(pem)
    return paths
