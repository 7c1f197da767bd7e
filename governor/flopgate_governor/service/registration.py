"""First contact: enrolment, served without a client certificate on a port of its own."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Final

import grpc

from flopgate_governor.commit import Committer
from flopgate_governor.joining.admission import Admitted, admit
from flopgate_governor.pki import CertificateAuthority
from flopgate_governor.service.authorization import Role, uri_of
from flopgate_governor.service.guard import Calls, Context, address_of
from flopgate_governor.service.status_codes import status_of
from flopgate_governor.state import State
from flopgate_proto.codec import envelope_from_wire
from flopgate_proto.errors import PeerError, StorageError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.v1 import flopgate_pb2_grpc as rpc

ENROLMENTS_MAX: Final = 8
"""Most enrolments that wait for the one writer: anyone may ask, and reports must not starve."""

OF_ADDRESS_MAX: Final = 4
"""Most of them from one address: who asks without end leaves room for others."""


class RegistrationService(rpc.RegistrationServiceServicer):
    """Serves ``Enroll``."""

    def __init__(
        self, committer: Committer, calls: Calls, tls: CertificateAuthority, authority: str
    ) -> None:
        self._committer = committer
        self._calls = calls
        self._tls = tls
        self._authority = authority
        self._room = asyncio.Semaphore(ENROLMENTS_MAX)

    async def Enroll(self, request: pb.EnrollRequest, context: Context) -> pb.EnrollReply:  # noqa: N802
        """Admit a host and certify its courier; asking again gives the same admission."""
        try:
            envelope = envelope_from_wire(request.enrolment)
            quote = request.tpm if request.HasField("tpm") else None

            def work(state: State) -> Admitted:
                return admit(state, envelope, quote)

            caller = f"enrolment from {address_of(context)}"
            with self._calls.one(caller, OF_ADDRESS_MAX) as room:
                if not room or self._room.locked():
                    # Who has room himself, and finds none among all, was not counted.
                    self._calls.refused += room
                    await context.abort(
                        grpc.StatusCode.RESOURCE_EXHAUSTED, "registration.busy: Try again later."
                    )
                async with self._room:
                    admitted = await self._committer.call(work)
            certificates = self._certificates(admitted)
        except (PeerError, StorageError) as error:
            await context.abort(status_of(error), str(error))
        return pb.EnrollReply(
            admission=admitted.admission,
            orders=admitted.orders,
            courier_certificates=certificates,
        )

    def _certificates(self, admitted: Admitted) -> list[bytes]:
        if not admitted.courier_spki:
            return []
        uri = uri_of(self._authority, Role.HOST, admitted.host_id.hex())
        now = dt.datetime.now(dt.UTC)
        return [self._tls.client(admitted.courier_spki, uri, now), self._tls.certificate_der]
