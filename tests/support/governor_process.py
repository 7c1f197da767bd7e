"""A real governor process on loopback, and couriers that talk gRPC to it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import grpc
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import load_der_x509_certificate

from flopgate_governor.policies.form import DEFAULT_POLICY
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.joining import JoinToken
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.v1 import flopgate_pb2_grpc as rpc
from tests.support.governor import AUTHORITY, FakeHost
from tests.support.governor_cli import cli
from tests.support.waiting import WAIT_S, until

BUDGET = '\n[[budgets]]\nscope = "cluster:{cluster}"\ncap_tflop = 1_000_000_000_000\n'


@dataclass
class GovernorProcess:
    """A directory and, while it runs, the process that serves it."""

    root: Path
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def make(cls, root: Path, cluster: str = "c1", policy: Path | None = None) -> "GovernorProcess":
        """A new directory; without a ``policy`` the shipped one, with a budget for one cluster."""
        form = policy or root.with_suffix(".toml")
        if policy is None:
            shipped = DEFAULT_POLICY.format(authority=AUTHORITY)
            form.write_text(shipped + BUDGET.format(cluster=cluster))
        done = cli("init", root, "--authority", AUTHORITY, "--policy", form)
        assert done.returncode == 0, done.stderr
        return cls(root)

    def start(self, *more: str) -> None:
        """Serve on free ports; returns when they are announced."""
        arguments = [
            "--dir",
            str(self.root),
            "--listen",
            "127.0.0.1:0",
            "--enroll-listen",
            "127.0.0.1:0",
            *more,
        ]
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flopgate_governor.cli", "serve", *arguments],
                stdout=log,
                stderr=log,
            )
        until(self._listens, (self.root / "log").read_text)

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.root / "log").read_text()
        path = self.root / "run" / "addresses.json"
        return path.exists() and bool(json.loads(path.read_text())["pid"] == self.process.pid)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        if process.poll() is None:
            os.kill(process.pid, number)
        return process.wait(WAIT_S)

    def address(self, which: str) -> str:
        """``link``, ``enroll``, ``hosts_link`` or ``hosts_enroll``."""
        path = self.root / "run" / "addresses.json"
        return str(json.loads(path.read_text())[which])

    def token(self, *more: str) -> JoinToken:
        """A join token for cluster ``c1``, covered by declaration."""
        done = cli(
            *("token", "create", "--dir", self.root, "--cluster", "c1", "--custodian", "cu"),
            *("--hosts", "50", "--capacity", "2e18", *more),
        )
        assert done.returncode == 0, done.stderr
        return JoinToken.parse(done.stdout)

    def order(self, *arguments: str, officers: int = 1) -> subprocess.CompletedProcess[str]:
        """A subcommand with the first so many officers' keys."""
        folder = self.root / "officers"
        keys = [
            part for n in range(officers) for part in ("--key", folder / f"officer-{n + 1}.pem")
        ]
        meant = () if "--yes-i-mean" in arguments else ("--yes-i-mean", AUTHORITY)
        return cli(*arguments, "--dir", self.root, *keys, *meant)


@dataclass
class Certificate:
    """A client's TLS key and chain."""

    key_pem: bytes
    chain_pem: bytes


class Courier:
    """Carries one host's envelopes over TLS; or a relay's, with a relay's certificate."""

    def __init__(self, governor: GovernorProcess, token: JoinToken) -> None:
        self.governor = governor
        self.token = token
        key = ec.generate_private_key(ec.SECP256R1())
        self.spki = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def enroll(self, enrolment: Envelope) -> pb.EnrollReply:
        """First contact over server-only TLS."""
        credentials = grpc.ssl_channel_credentials(self.token.tls_ca_pem.encode())
        with grpc.secure_channel(self.governor.address("enroll"), credentials) as channel:
            request = pb.EnrollRequest(enrolment=envelope_to_wire(enrolment))
            return rpc.RegistrationServiceStub(channel).Enroll(request, timeout=WAIT_S)

    def certificate(self, reply: pb.EnrollReply) -> Certificate:
        """What the enrolment brought."""
        chain = b"".join(
            load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)
            for der in reply.courier_certificates
        )
        return Certificate(self.key_pem, chain)

    @contextmanager
    def channel(self, certificate: Certificate) -> Iterator[grpc.Channel]:
        """A connection over mutual TLS."""
        credentials = grpc.ssl_channel_credentials(
            self.token.tls_ca_pem.encode(), certificate.key_pem, certificate.chain_pem
        )
        with grpc.secure_channel(self.governor.address("link"), credentials) as channel:
            yield channel


class OpenLink:
    """One Link stream, used from one thread."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._up: SimpleQueue[pb.LinkUp | None] = SimpleQueue()
        self.down = rpc.GovernorServiceStub(channel).Link(iter(self._up.get, None), timeout=WAIT_S)

    def send(self, *envelopes: Envelope) -> None:
        """One message of reports."""
        reports = [pb.SignedReport(envelope=envelope_to_wire(e)) for e in envelopes]
        self._up.put(pb.LinkUp(reports=reports))

    def hello(self, *host_ids: bytes) -> None:
        """Say whose courier this is."""
        self._up.put(pb.LinkUp(hello=pb.Hello(host_ids=host_ids)))

    def receive(self) -> pb.LinkDown:
        """The next message."""
        return next(iter(self.down))

    def close(self) -> None:
        """No more messages."""
        self._up.put(None)


def join(
    governor: GovernorProcess, number: int, token: JoinToken
) -> tuple[FakeHost, Courier, Certificate]:
    """Enroll a host through its own courier."""
    host, courier = FakeHost(number), Courier(governor, token)
    reply = courier.enroll(host.enrolment(token, courier.spki))
    return host, courier, courier.certificate(reply)
