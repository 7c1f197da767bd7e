"""The command line's side of the running governor: mutual TLS with the officers' certificate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc

from flopgate_governor.announcement import read_announcement
from flopgate_governor.files import Layout, read_secret
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ConfigError, PeerError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.v1 import flopgate_pb2_grpc as rpc

TIMEOUT_S: Final = 30.0
_OWN: Final = ("storage.", "governor.")
"""Codes of errors by which a governor that does answer says that it can take nothing now."""


class UnreachableError(PeerError):
    """The governor does not answer, or refused."""

    default_code = "governor.refused"


@contextmanager
def connected(layout: Layout) -> Iterator[rpc.GovernorServiceStub]:
    """A stub of the running governor.

    Raises:
        ConfigError: it is not running, or the certificate is missing.
        UnreachableError: it does not answer, or refused.
    """
    address = read_announcement(layout).link
    credentials = grpc.ssl_channel_credentials(
        root_certificates=read_secret(layout.ca_certificate),
        private_key=read_secret(layout.officer_key),
        certificate_chain=read_secret(layout.officer_certificate),
    )
    with grpc.secure_channel(address, credentials) as channel:
        try:
            yield rpc.GovernorServiceStub(channel)
        except grpc.RpcError as error:
            raise translated(error, address) from error


def submit(layout: Layout, envelope: Envelope) -> pb.SubmitOrderReply:
    """Give an order to the running governor.

    Raises:
        ConfigError: it is not running.
        UnreachableError: it does not answer, or refused.
    """
    with connected(layout) as stub:
        return stub.SubmitOrder(
            pb.SubmitOrderRequest(order=envelope_to_wire(envelope)), timeout=TIMEOUT_S
        )


def deliver(layout: Layout, messages: Iterator[pb.DeliverRequest]) -> pb.DeliverReply:
    """Give reports that were carried here to the running governor.

    Raises:
        ConfigError: it is not running.
        UnreachableError: it does not answer, or refused.
    """
    # As long as it takes: a site's month is gigabytes.
    with connected(layout) as stub:
        return stub.Deliver(messages)


def issue_licenses(layout: Layout, request: pb.IssueLicensesRequest) -> pb.IssueLicensesReply:
    """Ask the running governor for licenses, or what they would be.

    Raises:
        ConfigError: it is not running.
        UnreachableError: it does not answer, or refused.
    """
    with connected(layout) as stub:
        return stub.IssueLicenses(request, timeout=TIMEOUT_S)


def status(layout: Layout) -> pb.GetStatusReply:
    """Status of the running governor.

    Raises:
        ConfigError: it is not running.
        UnreachableError: it does not answer.
    """
    with connected(layout) as stub:
        return stub.GetStatus(pb.GetStatusRequest(), timeout=TIMEOUT_S)


def translated(error: grpc.RpcError, address: str) -> ConfigError | UnreachableError:
    """What a failed call comes to for whoever gave the command."""
    # grpcio raises objects that are error and call in one, which its stubs cannot say.
    call: object = error
    code = call.code() if isinstance(call, grpc.Call) else None
    detail = call.details() if isinstance(call, grpc.Call) else str(error)
    unheard = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    if code in unheard and not str(detail).startswith(_OWN):
        return UnreachableError(
            f"the governor at {address} does not answer",
            code="governor.unreachable",
            remedy="Check that it runs.",
        )
    # The detail carries the governor's own code and remedy.
    return UnreachableError(str(detail))
