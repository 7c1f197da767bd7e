"""What comes by file: reports that somebody carried here, and licenses for who asks in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import grpc
import structlog

from flopgate_governor.commit import Committer, Reply
from flopgate_governor.licenses.issuing import issue
from flopgate_governor.receive import Submission
from flopgate_governor.service.guard import Context, identity_of
from flopgate_governor.service.link import IN_FLIGHT_MAX
from flopgate_governor.service.standings import standings
from flopgate_governor.service.status_codes import status_of
from flopgate_proto.codec import parse_message
from flopgate_proto.errors import MalformedError, OversizedError, PeerError, StorageError
from flopgate_proto.limits import LICENSED_HOSTS_MAX, REPORTS_PER_MESSAGE_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb

READ_S: Final = 60.0
"""How long the next message of a delivery may take."""

NOTICES_MAX: Final = 256
"""Most notices of one delivery: what is wrong with the first reports is enough to look at."""


@dataclass(slots=True)
class _Delivery:
    """One delivery while it is taken."""

    caller: str
    replies: asyncio.Queue[Reply] = field(default_factory=asyncio.Queue)
    # In the order in which they were first named.
    host_ids: dict[bytes, None] = field(default_factory=dict)
    notices: list[pb.Notice] = field(default_factory=list)
    in_flight: int = 0

    def settle(self, reply: Reply) -> None:
        """Take the reply to one message.

        Raises:
            StorageError: nothing of it was committed.
        """
        self.in_flight -= 1
        if isinstance(reply, BaseException):
            raise reply
        self.notices += reply.down.notices[: NOTICES_MAX - len(self.notices)]


class LicenseService:
    """Serves ``Deliver`` and ``IssueLicenses``."""

    def __init__(self, committer: Committer, authority: str) -> None:
        self._committer = committer
        self._authority = authority
        self._log = structlog.get_logger("licenses")

    async def deliver(self, _messages: AsyncIterator[bytes], context: Context) -> pb.DeliverReply:
        """Account and acknowledge what was carried here; nothing is granted."""
        delivery = _Delivery(identity_of(self._authority, context).text)
        try:
            while isinstance(data := await asyncio.wait_for(context.read(), READ_S), bytes):
                await self._take(data, delivery)
            while delivery.in_flight:
                delivery.settle(await delivery.replies.get())
            ids = list(delivery.host_ids)
            hosts = await self._committer.call(lambda state: standings(state, ids))
        except TimeoutError:
            said = f"deliver.slow: nothing came for {READ_S:g} s"
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, said)
        except MalformedError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except StorageError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        self._log.info("delivered", hosts=len(hosts), notices=len(delivery.notices))
        return pb.DeliverReply(hosts=hosts, notices=delivery.notices)

    async def _take(self, data: bytes, delivery: _Delivery) -> None:
        message = parse_message(pb.DeliverRequest(), data)
        if len(message.reports) > REPORTS_PER_MESSAGE_MAX:
            raise OversizedError(
                f"{len(message.reports)} reports in one message, at most "
                f"{REPORTS_PER_MESSAGE_MAX} are taken",
                code="deliver.reports",
            )
        submission = Submission(reports=tuple(message.reports), host_id=None, carried=True)
        for host_id in submission.named:
            delivery.host_ids[host_id] = None
        if len(delivery.host_ids) > LICENSED_HOSTS_MAX:
            raise OversizedError(
                f"reports of more than {LICENSED_HOSTS_MAX} hosts in one delivery",
                code="deliver.hosts",
                remedy="Deliver them in parts.",
            )
        while delivery.in_flight >= IN_FLIGHT_MAX:
            delivery.settle(await delivery.replies.get())
        await self._committer.submit(
            submission, len(data), delivery.replies.put_nowait, delivery.caller
        )
        delivery.in_flight += 1

    async def issue_licenses(
        self, request: pb.IssueLicensesRequest, context: Context
    ) -> pb.IssueLicensesReply:
        """Give licenses, tell what would be given, or give them once more."""
        try:
            reply = await self._committer.call(lambda state: issue(state, request))
        except (PeerError, StorageError) as error:
            self._log.warning("license.refused", code=error.code)
            await context.abort(status_of(error), str(error))
        self._log.info(
            "license", how=request.WhichOneof("approved") or "again", given=len(reply.licenses)
        )
        return reply
