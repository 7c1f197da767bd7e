"""gRPC channels to an authority, and what its errors mean to the courier."""

from __future__ import annotations

from typing import Final

import grpc
from grpc import aio

from flopgate_agent.courier.actions import Loss
from flopgate_proto.limits import MESSAGE_BYTES_MAX

CONNECT_TIMEOUT_S: Final = 10.0
ENROLL_TIMEOUT_S: Final = 30.0
DETAIL_CHARS_MAX: Final = 300

_REFUSED: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


def enroll_channel(address: str, *, ca_pem: bytes) -> aio.Channel:
    """To first contact: the authority proves itself by ``ca_pem``, the courier does not."""
    credentials = grpc.ssl_channel_credentials(root_certificates=ca_pem)
    return aio.secure_channel(address, credentials, options=_options(None))


def link_channel(
    address: str, *, ca_pem: bytes, key_pem: bytes, chain_pem: bytes, keepalive_ms: int
) -> aio.Channel:
    """To daily life: both sides prove themselves.

    A cut network is noticed within twice ``keepalive_ms``. The server must permit pings that
    often (``grpc.http2.min_ping_interval_without_data_ms``), or it ends the connection.
    """
    credentials = grpc.ssl_channel_credentials(
        root_certificates=ca_pem, private_key=key_pem, certificate_chain=chain_pem
    )
    return aio.secure_channel(address, credentials, options=_options(keepalive_ms))


def loss_of(error: aio.AioRpcError) -> tuple[Loss, str]:
    """What a failed call means, and one bounded sentence for the log."""
    loss = Loss.REFUSED if error.code() in _REFUSED else Loss.UNREACHABLE
    return loss, f"{error.code().name}: {error.details() or ''}"[:DETAIL_CHARS_MAX]


def _options(keepalive_ms: int | None) -> list[tuple[str, int]]:
    options = [
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        # The core waits between attempts: gRPC's own back-off would only add to it.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]
    if keepalive_ms is not None:
        options += [
            ("grpc.keepalive_time_ms", keepalive_ms),
            ("grpc.keepalive_timeout_ms", keepalive_ms),
            # Without it an unanswered ping is waited for 60 s, whatever keepalive_timeout_ms says.
            ("grpc.http2.ping_timeout_ms", keepalive_ms),
            # Silence is normal between reports: pings go on without data.
            ("grpc.http2.max_pings_without_data", 0),
        ]
    return options
