"""What officers' certificates may call: orders in, status out."""

from __future__ import annotations

import structlog

from flopgate_governor.commit import Committer
from flopgate_governor.orders.accepting import Accepted, accept_order, concerned
from flopgate_governor.service.guard import Calls, Context
from flopgate_governor.service.hub import Hub
from flopgate_governor.service.overview import overview, waiting_to
from flopgate_governor.service.status_codes import status_of
from flopgate_governor.state import State
from flopgate_proto.codec import envelope_from_wire, envelope_to_wire
from flopgate_proto.envelope import statement_digest
from flopgate_proto.errors import PeerError, StorageError
from flopgate_proto.v1 import flopgate_pb2 as pb


class OfficerService:
    """Serves ``SubmitOrder`` and ``GetStatus``."""

    def __init__(self, committer: Committer, hub: Hub, calls: Calls) -> None:
        self._committer = committer
        self._hub = hub
        self._calls = calls
        self._log = structlog.get_logger("officers")

    async def submit_order(
        self, request: pb.SubmitOrderRequest, context: Context
    ) -> pb.SubmitOrderReply:
        """Take an order into force, log it and push it to the hosts that it concerns."""
        try:
            envelope = envelope_from_wire(request.order)
            linked = self._hub.linked

            def work(state: State) -> tuple[Accepted, set[bytes] | None]:
                accepted = accept_order(state, envelope)
                return accepted, concerned(state, envelope, linked)

            accepted, hosts = await self._committer.call(work)
        except (PeerError, StorageError) as error:
            digest = statement_digest(request.order.payload_type, request.order.payload)
            self._log.warning(
                "order.refused",
                kind=request.order.payload_type,
                digest=digest.hex(),
                code=error.code,
            )
            await context.abort(status_of(error), str(error))
        signed = pb.SignedOrder(envelope=envelope_to_wire(envelope), log=accepted.proof)
        self._hub.push(signed, hosts)
        self._log.info(
            "order", kind=envelope.payload_type, digest=accepted.digest.hex(), new=accepted.new
        )
        return pb.SubmitOrderReply(
            digest=accepted.digest,
            log=accepted.proof,
            waiting=None if accepted.waiting is None else waiting_to(accepted.waiting),
        )

    async def get_status(
        self, _request: pb.GetStatusRequest, context: Context
    ) -> pb.GetStatusReply:
        """Where everything stands."""
        linked = self._hub.linked
        try:
            reply = await self._committer.call(lambda state: overview(state, linked))
        except StorageError as error:
            await context.abort(status_of(error), str(error))
        reply.doors.streams = self._hub.open
        reply.doors.streams_replaced = self._hub.replaced
        reply.doors.calls_refused = self._hub.refused + self._calls.refused
        return reply
