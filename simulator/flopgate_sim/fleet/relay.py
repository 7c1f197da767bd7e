"""The fleet's link: one stream for many hosts, as a site relay would carry it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

import grpc

from flopgate_agent.gate.settings import Now
from flopgate_agent.gate_process.host import read_clocks
from flopgate_proto.codec import parse_message
from flopgate_proto.errors import PeerError
from flopgate_proto.limits import PAYLOAD_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.v1.flopgate_pb2_grpc import GovernorServiceStub
from flopgate_sim.fleet.host import SimulatedHost

REPORTS_PER_MESSAGE = 64
GATHER_S = 0.02
RETRY_S = 0.5
MS_PER_S = 1000


class Relay:
    """Carries reports and answers of many hosts; connects again for as long as it runs.

    A host that is held back sends nothing until its time has come; the others go on.
    ``last_error`` says why the last connection ended.
    """

    def __init__(
        self,
        hosts: Mapping[bytes, SimulatedHost],
        open_channel: Callable[[], grpc.aio.Channel],
    ) -> None:
        self._hosts = hosts
        self._open_channel = open_channel
        self._held: dict[bytes, tuple[float, int]] = {}  # until when, and where it goes on
        self.last_error = ""

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            # A new channel each time: an old one sits out its own back-off.
            async with self._open_channel() as channel:
                try:
                    async for message in GovernorServiceStub(channel).Link(self._upwards()):
                        self._take(message, read_clocks())
                except grpc.aio.AioRpcError as error:
                    self.last_error = f"{error.code().name}: {error.details()}"
            await asyncio.sleep(RETRY_S)

    async def _upwards(self) -> AsyncIterator[pb.LinkUp]:
        for host in self._hosts.values():
            host.resend()
        yield pb.LinkUp(hello=pb.Hello(host_ids=list(self._hosts)))
        # In turns: where the first always began, the last of many would never be heard under load.
        turns = deque(self._hosts.items())
        while True:
            self._let_go()
            reports: list[pb.SignedReport] = []
            for _ in range(len(turns)):
                if len(reports) == REPORTS_PER_MESSAGE:
                    break
                host_id, host = turns[0]
                turns.rotate(-1)
                if host_id not in self._held:
                    room = REPORTS_PER_MESSAGE - len(reports)
                    reports += host.outgoing[:room]
                    del host.outgoing[:room]
            if reports:
                yield pb.LinkUp(reports=reports)
            await asyncio.sleep(GATHER_S)

    def _take(self, message: pb.LinkDown, now: Now) -> None:
        for batch in message.batches:
            for leaf in batch.answers:
                # Unverified routing: the host's own core checks whose answer it is.
                answer = parse_message(pb.Answer(), leaf.payload, PAYLOAD_BYTES_MAX)
                host = self._hosts.get(answer.host_id)
                if host is not None:
                    host.answers(pb.AnswerBatch(batch_root=batch.batch_root, answers=[leaf]), now)
        for order in message.orders:
            for host in self._hosts.values():
                try:
                    host.order(order, now)
                except PeerError as error:
                    host.errors.append(error)
        for notice in message.notices:
            host = self._hosts.get(notice.host_id)
            if host is None or notice.host_id in self._held:
                continue
            if notice.retry_after_ms:
                until_s = time.monotonic() + notice.retry_after_ms / MS_PER_S
                self._held[notice.host_id] = until_s, notice.expected_sequence
            elif notice.expected_sequence:
                host.resend(notice.expected_sequence)

    def _let_go(self) -> None:
        """Send on from where it was told for those whose time has come."""
        for host_id, (until_s, sequence) in list(self._held.items()):
            if time.monotonic() >= until_s:
                del self._held[host_id]
                self._hosts[host_id].resend(sequence)
