"""A real governor process on loopback, and couriers that talk gRPC to it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

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
    """A directory and, while it runs, the process that serves it; ``env``: more for that."""

    root: Path
    process: subprocess.Popen[bytes] | None = None
    env: dict[str, str] = field(default_factory=dict)

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
        assert self.launch(*more), (self.root / "log").read_text()

    def launch(self, *more: str) -> bool:
        """Serve; whether ports were announced, or it ended before."""
        arguments = ["--dir", str(self.root)]
        for option in ("--listen", "--enroll-listen"):
            if option not in more:
                arguments += [option, "127.0.0.1:0"]
        with (self.root / "log").open("ab") as log:
            process = self.process = subprocess.Popen(
                [sys.executable, "-m", "flopgate_governor.cli", "serve", *arguments, *more],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.env},
            )
        path = self.root / "run" / "addresses.json"

        def listens() -> bool:
            return path.exists() and bool(json.loads(path.read_text())["pid"] == process.pid)

        until(lambda: process.poll() is not None or listens(), (self.root / "log").read_text)
        return process.poll() is None

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
        self.say(pb.LinkUp(reports=reports))

    def say(self, message: pb.LinkUp) -> None:
        """Any message."""
        self._up.put(message)

    def hello(self, *host_ids: bytes) -> None:
        """Say whose courier this is."""
        self.say(pb.LinkUp(hello=pb.Hello(host_ids=host_ids)))

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


def check_store(store: Path, acknowledged: Mapping[bytes, Mapping[int, bytes]]) -> None:
    """Every acknowledged answer is on disk, and the totals are the sums of their parts."""
    with closing(sqlite3.connect(store)) as connection:
        # Of one moment: a governor may be at work.
        connection.execute("BEGIN")

        def rows(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query).fetchall()

        stored = {
            (host_id, sequence): answer
            for host_id, sequence, answer in rows("SELECT host_id, sequence, answer FROM report")
        }
        for host_id, answers in acknowledged.items():
            for sequence, payload in answers.items():
                assert stored.get((host_id, sequence)) == payload
        lanes = rows(
            "SELECT coalesce(sum(allotted_tflop - ungranted_tflop), 0),"
            " coalesce(sum(max(0, coalesce(("
            'SELECT max(held_tflop) FROM "grant" g WHERE g.host_id = lane.host_id'
            " AND g.workload = lane.workload), 0) - allotted_tflop)), 0) FROM lane",
        )
        assert lanes == rows(
            "SELECT settled_tflop, outstanding_tflop FROM budget WHERE scope = 'cluster:c1'"
        )
        answered = "SELECT batch_number FROM report UNION SELECT batch_number FROM license_given"
        assert rows("SELECT number FROM batch ORDER BY 1") == rows(f"{answered} ORDER BY 1")
        entries = rows("SELECT count(*), max(position) + 1 FROM log_entry")
        assert entries == rows("SELECT size, size FROM log_state")
