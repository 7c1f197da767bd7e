"""A small authority on real gRPC over mutual TLS: a fake of the interface, kept as code.

It keeps every report it got, checks the order of the chain as a governor does, and answers with
batches whose payload names the acknowledged sequence (unsigned: no courier looks inside).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import cast

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flopgate_proto.limits import MESSAGE_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.v1 import flopgate_pb2_grpc as services

_DAY = dt.timedelta(days=1)


class Certifier:
    """A throwaway certificate authority."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(
            self._name, self._key.public_key(), -_DAY, _DAY, is_ca=True, server=False
        )
        self.ca_pem = certificate.public_bytes(serialization.Encoding.PEM)

    def server(self) -> tuple[bytes, bytes]:
        """Key and certificate for 127.0.0.1, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._build(
            x509.Name([]), key.public_key(), -_DAY, _DAY, is_ca=False, server=True
        )
        return (
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            certificate.public_bytes(serialization.Encoding.PEM),
        )

    def client(self, spki: bytes, since: dt.timedelta = -_DAY, until: dt.timedelta = _DAY) -> bytes:
        """Certificate for a courier's key, DER; its span is relative to now."""
        key = serialization.load_der_public_key(spki)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise TypeError
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "courier")])
        certificate = self._build(subject, key, since, until, is_ca=False, server=False)
        return certificate.public_bytes(serialization.Encoding.DER)

    def _build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        since: dt.timedelta,
        until: dt.timedelta,
        *,
        is_ca: bool,
        server: bool,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + since)
            .not_valid_after(now + until)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if server:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=True)
        return builder.sign(self._key, hashes.SHA256())


@dataclass
class Life:
    """What outlives a restart of the authority, as a database would."""

    name: str
    certifier: Certifier = field(default_factory=lambda: Certifier("throwaway"))
    acknowledged: dict[bytes, int] = field(default_factory=dict)
    received: list[int] = field(default_factory=list)
    """Sequences in the order in which they came, repetitions included."""
    enrolments: list[pb.Enrolment] = field(default_factory=list)
    hellos: list[bytes] = field(default_factory=list)
    link_serials: list[int] = field(default_factory=list)
    """Serial of the courier's certificate, for each stream."""
    certificate_span: tuple[dt.timedelta, dt.timedelta] = (-_DAY, _DAY)
    next_span: tuple[dt.timedelta, dt.timedelta] | None = None
    """Span of every certificate after the first, where it differs."""


class FakeAuthority:
    """Serves until ``stop``; another one with the same ``Life`` and ports is its restart."""

    def __init__(self, life: Life, *, link_port: int = 0, enroll_port: int = 0) -> None:
        self.life = life
        self.hang = threading.Event()
        """While set, streams neither read nor answer."""
        self.down: list[pb.LinkDown] = []
        """Sent on the next report, before its answer; then emptied."""
        self._stopped = threading.Event()
        self._pool = futures.ThreadPoolExecutor(8)
        self._server = grpc.server(
            self._pool,
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                ("grpc.http2.min_ping_interval_without_data_ms", 500),
            ],
        )
        services.add_GovernorServiceServicer_to_server(_Governor(self), self._server)
        services.add_RegistrationServiceServicer_to_server(_Registration(self), self._server)
        pair, ca_pem = life.certifier.server(), life.certifier.ca_pem
        mutual = grpc.ssl_server_credentials([pair], ca_pem, require_client_auth=True)
        self.link_port = self._server.add_secure_port(f"127.0.0.1:{link_port}", mutual)
        one_way = grpc.ssl_server_credentials([pair])
        self.enroll_port = self._server.add_secure_port(f"127.0.0.1:{enroll_port}", one_way)
        self._server.start()

    def stop(self) -> None:
        """Break every stream, as a crash does."""
        self._stopped.set()
        self.hang.clear()
        self._server.stop(0).wait()
        self._pool.shutdown()

    def restarted(self) -> FakeAuthority:
        """Stop, and serve again on the same ports with the same life."""
        self.stop()
        return FakeAuthority(self.life, link_port=self.link_port, enroll_port=self.enroll_port)

    def wait_while_hanging(self) -> None:
        """Block as a stuck server does."""
        while self.hang.is_set() and not self._stopped.wait(0.02):
            pass

    def take(self, report: pb.Report) -> pb.LinkDown:
        """The answer to one report: a repetition is acknowledged again, a gap is a notice."""
        life = self.life
        life.received.append(report.sequence)
        last = life.acknowledged.get(report.host_id, 0)
        if report.sequence > last + 1:
            notice = pb.Notice(
                host_id=report.host_id,
                reason="history.gap",
                detail="a report is missing",
                expected_sequence=last + 1,
            )
            return pb.LinkDown(notices=[notice])
        last = life.acknowledged[report.host_id] = max(last, report.sequence)
        answer = pb.Answer(authority=life.name, host_id=report.host_id, acknowledged_sequence=last)
        leaf = pb.AnswerLeaf(payload=answer.SerializeToString())
        return pb.LinkDown(batches=[pb.AnswerBatch(answers=[leaf])])


class _Governor(services.GovernorServiceServicer):
    def __init__(self, authority: FakeAuthority) -> None:
        self._authority = authority

    def Link(  # noqa: N802 - name of the RPC
        self, request_iterator: Iterator[pb.LinkUp], context: grpc.ServicerContext
    ) -> Iterator[pb.LinkDown]:
        authority = self._authority
        # A list; the stubs say bytes.
        pems = cast("list[bytes]", context.auth_context()["x509_pem_cert"])
        for pem in pems:
            certificate = x509.load_pem_x509_certificate(pem)
            authority.life.link_serials.append(certificate.serial_number)
        try:
            for up in request_iterator:
                authority.life.hellos.extend(up.hello.host_ids)
                for signed in up.reports:
                    authority.wait_while_hanging()
                    report = pb.Report.FromString(signed.envelope.payload)
                    while authority.down:
                        yield authority.down.pop(0)
                    yield authority.take(report)
        except grpc.RpcError:
            return  # the courier is gone

    def SubmitOrder(  # noqa: N802 - name of the RPC
        self, request: pb.SubmitOrderRequest, context: grpc.ServicerContext
    ) -> pb.SubmitOrderReply:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no courier sends {type(request).__name__}")

    def GetStatus(  # noqa: N802 - name of the RPC
        self, request: pb.GetStatusRequest, context: grpc.ServicerContext
    ) -> pb.GetStatusReply:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no courier sends {type(request).__name__}")

    def Deliver(  # noqa: N802 - name of the RPC
        self, request_iterator: Iterator[pb.DeliverRequest], context: grpc.ServicerContext
    ) -> pb.DeliverReply:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no courier sends {request_iterator}")

    def IssueLicenses(  # noqa: N802 - name of the RPC
        self, request: pb.IssueLicensesRequest, context: grpc.ServicerContext
    ) -> pb.IssueLicensesReply:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no courier sends {type(request).__name__}")


class _Registration(services.RegistrationServiceServicer):
    def __init__(self, authority: FakeAuthority) -> None:
        self._authority = authority

    def Enroll(  # noqa: N802 - name of the RPC
        self, request: pb.EnrollRequest, context: grpc.ServicerContext
    ) -> pb.EnrollReply:
        life = self._authority.life
        enrolment = pb.Enrolment.FromString(request.enrolment.payload)
        span = life.certificate_span
        if life.enrolments and life.next_span is not None:
            span = life.next_span
        life.enrolments.append(enrolment)
        admission = pb.Admission(authority=life.name)
        del context
        certificate = life.certifier.client(enrolment.courier_spki, *span)
        return pb.EnrollReply(
            admission=pb.Envelope(payload=admission.SerializeToString(), payload_type="test"),
            courier_certificates=[certificate],
        )
