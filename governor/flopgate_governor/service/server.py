"""Wiring of the two ports: daily life over mutual TLS, first contact over server TLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from flopgate_governor.commit import Committer
from flopgate_governor.pki import CertificateAuthority, Credential
from flopgate_governor.service.guard import Calls, Guard
from flopgate_governor.service.hub import Hub, StreamLimits
from flopgate_governor.service.licenses import LicenseService
from flopgate_governor.service.link import LinkService
from flopgate_governor.service.listen_fault import listen_fault, refused
from flopgate_governor.service.officers import OfficerService
from flopgate_governor.service.registration import RegistrationService
from flopgate_proto.limits import MESSAGE_BYTES_MAX, PAYLOAD_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.v1 import flopgate_pb2_grpc as rpc

GOVERNOR: Final = "flopgate.v1.GovernorService"
REGISTRATION: Final = "flopgate.v1.RegistrationService"

# What never comes to a call holds a socket and no more, and not for long.
_CONNECTIONS: Final = (
    ("grpc.so_reuseport", 0),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 60_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)

CONNECTIONS_SPARE: Final = 1_024
"""Connections beyond one for each stream: of officers, and those that are being opened."""

_LINK: Final = (
    *_CONNECTIONS,
    # Above our own limit: a message just past it reaches our own check and its clearer error.
    ("grpc.max_receive_message_length", 2 * MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", 4 * MESSAGE_BYTES_MAX),
    ("grpc.max_concurrent_streams", 32),
    # A peer that reads nothing keeps its closed streams as long as its connection. And whether a
    # certificate has ended is looked at when its courier connects anew.
    ("grpc.max_connection_age_ms", 24 * 3_600_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
)

_ENROLL: Final = (
    *_CONNECTIONS,
    # An enrolment and what a TPM said, each at its largest; anybody may send it.
    ("grpc.max_receive_message_length", 2 * PAYLOAD_BYTES_MAX),
    ("grpc.max_send_message_length", 4 * MESSAGE_BYTES_MAX),
    ("grpc.max_concurrent_streams", 4),
    ("grpc.max_allowed_incoming_connections", CONNECTIONS_SPARE),
    # Whoever is slow, or waits for what never ends, goes.
    ("grpc.max_connection_age_ms", 60_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Both servers, and the ports they got."""

    link: grpc.aio.Server
    enroll: grpc.aio.Server
    link_port: int
    enroll_port: int

    async def stop(self, grace_s: float) -> None:
        """Close streams, then ports."""
        await self.link.stop(grace_s)
        await self.enroll.stop(grace_s)


async def listen(
    committer: Committer,
    *,
    authority: str,
    streams: StreamLimits,
    tls: CertificateAuthority,
    credential: Credential,
    link_address: str,
    enroll_address: str,
) -> Listening:
    """Open both ports.

    Raises:
        ConfigError: an address cannot be listened on.
    """
    hub, calls = Hub(streams), Calls()
    pair = [(credential.key_pem, credential.certificate_pem)]
    mutual = grpc.ssl_server_credentials(pair, tls.certificate_pem, require_client_auth=True)
    connections = ("grpc.max_allowed_incoming_connections", streams.in_all + CONNECTIONS_SPARE)
    link = grpc.aio.server(options=(*_LINK, connections), interceptors=[Guard(authority, calls)])
    link.add_generic_rpc_handlers([_governor_handlers(committer, hub, calls, authority)])
    link_port = await _open(link, GOVERNOR, link_address, mutual, option="--listen")
    enroll = grpc.aio.server(options=_ENROLL, interceptors=[Guard(authority, calls)])
    rpc.add_RegistrationServiceServicer_to_server(
        RegistrationService(committer, calls, tls, authority), enroll
    )
    server_only = grpc.ssl_server_credentials(pair)
    enroll_port = await _open(
        enroll, REGISTRATION, enroll_address, server_only, option="--enroll-listen"
    )
    return Listening(link=link, enroll=enroll, link_port=link_port, enroll_port=enroll_port)


def _governor_handlers(
    committer: Committer, hub: Hub, calls: Calls, authority: str
) -> grpc.GenericRpcHandler[Any, Any]:
    officers = OfficerService(committer, hub, calls)
    licenses = LicenseService(committer, authority)
    handlers: dict[str, Any] = {
        # No deserializer: the link tells its own errors, and checks its own limits.
        "Link": grpc.stream_stream_rpc_method_handler(
            LinkService(committer, hub, authority).link,
            response_serializer=pb.LinkDown.SerializeToString,
        ),
        "SubmitOrder": grpc.unary_unary_rpc_method_handler(
            officers.submit_order,
            request_deserializer=pb.SubmitOrderRequest.FromString,
            response_serializer=pb.SubmitOrderReply.SerializeToString,
        ),
        "Deliver": grpc.stream_unary_rpc_method_handler(
            licenses.deliver, response_serializer=pb.DeliverReply.SerializeToString
        ),
        "IssueLicenses": grpc.unary_unary_rpc_method_handler(
            licenses.issue_licenses,
            request_deserializer=pb.IssueLicensesRequest.FromString,
            response_serializer=pb.IssueLicensesReply.SerializeToString,
        ),
        "GetStatus": grpc.unary_unary_rpc_method_handler(
            officers.get_status,
            request_deserializer=pb.GetStatusRequest.FromString,
            response_serializer=pb.GetStatusReply.SerializeToString,
        ),
    }
    return grpc.method_handlers_generic_handler(GOVERNOR, handlers)


async def _open(
    server: grpc.aio.Server,
    name: str,
    address: str,
    credentials: grpc.ServerCredentials,
    *,
    option: str,
) -> int:
    fault = listen_fault(address, option)
    if fault is not None:
        raise fault
    status = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    for service in ("", name):
        await status.set(service, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection(
        (name, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise refused(address, option) from error
    await server.start()
    return port
