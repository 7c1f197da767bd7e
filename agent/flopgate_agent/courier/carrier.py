"""One authority's carrier: does what the core says, in one asyncio task group.

It has its own connection to the gate's door: an authority that hangs stops the reading of its own
connection only, and no other authority waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Final

from grpc import aio

from flopgate_agent.config import AuthorityConfig, CourierConfig
from flopgate_agent.courier import channels
from flopgate_agent.courier.actions import (
    Action,
    CloseStream,
    Enroll,
    Loss,
    Note,
    Now,
    OpenStream,
    ToGate,
    Write,
)
from flopgate_agent.courier.backoff import Backoff
from flopgate_agent.courier.core import CarrierCore
from flopgate_agent.courier.identity import Identity
from flopgate_agent.courier.watching import Watcher
from flopgate_agent.door import FrameDecoder, encode_frame, parse_from_gate
from flopgate_agent.logs import FIELDS
from flopgate_proto.errors import (
    EnvironmentFault,
    MalformedError,
    MisuseError,
    OversizedError,
    PeerError,
)
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.v1.flopgate_pb2_grpc import GovernorServiceStub, RegistrationServiceStub

_READ_BYTES: Final = 65536
_LOG: Final = logging.getLogger("flopgate.courier")


class Carrier:
    """Carries for one authority until it is cancelled."""

    def __init__(
        self,
        config: CourierConfig,
        authority: AuthorityConfig,
        identity: Identity,
        source: random.Random,
        watcher: Watcher | None = None,
    ) -> None:
        self._config = config
        self._watcher = watcher
        self._authority = authority
        self._identity = identity
        self._core = CarrierCore(
            authority=authority.name,
            courier_spki=identity.spki,
            certificate=identity.validity(authority.name),
            queue_bytes_max=config.queue_bytes_max,
            answer_timeout_ms=config.answer_timeout_ms,
            backoff_ms_max=config.backoff_ms_max,
            source=source,
        )
        self._door_backoff = Backoff(config.backoff_ms_max, source)
        self._writer: asyncio.StreamWriter | None = None
        self._may_read = asyncio.Event()
        self._may_write = asyncio.Event()
        self._stream: asyncio.Task[None] | None = None
        self._enrolment: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keep a connection to the gate, for ever."""
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                await self._visit_gate()
                await asyncio.sleep(self._door_backoff.next_ms() / 1000)

    # -- the gate ---------------------------------------------------------------------------

    async def _visit_gate(self) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(self._config.door_path)
        except OSError as error:
            reason = f"{self._config.door_path}: {error.strerror or error}; is the gate running?"
            self._log("WARNING", "courier.gate.unreachable", reason)
            return
        self._writer = writer
        since = time.monotonic()
        try:
            self._do(self._core.door_opened(_now()))
            await self._read_gate(reader)
            self._log("WARNING", "courier.gate.gone", "the gate closed its door")
        except PeerError as error:
            self._log("ERROR", error.code, f"{error.detail}. {error.remedy}".strip())
        except OSError as error:
            reason = f"{error.strerror or error}; if at once, is this user in courier_uids?"
            self._log("WARNING", "courier.gate.gone", reason)
        finally:
            self._writer = None
            if self._enrolment is not None:
                self._enrolment.cancel()
            self._do(self._core.door_lost())
            writer.close()
            # A gate that talks nonsense at once must not be visited at full speed.
            if (time.monotonic() - since) * 1000 > self._config.backoff_ms_max:
                self._door_backoff.reset()

    async def _read_gate(self, reader: asyncio.StreamReader) -> None:
        decoder = FrameDecoder()
        while data := await reader.read(_READ_BYTES):
            for frame in decoder.feed(data):
                message = parse_from_gate(frame)
                if self._watcher is not None and message.HasField("snapshot"):
                    self._watcher.saw(message.snapshot)
                self._do(self._core.from_gate(message, _now()))
                await self._may_read.wait()

    # -- the authority ----------------------------------------------------------------------

    async def _enroll(self, request: pb.EnrollRequest) -> None:
        authority = self._authority
        try:
            async with channels.enroll_channel(
                authority.enroll_address, ca_pem=authority.ca_pem
            ) as channel:
                stub = RegistrationServiceStub(channel)
                reply = await stub.Enroll(request, timeout=channels.ENROLL_TIMEOUT_S)
        except aio.AioRpcError as error:
            self._do(self._core.enrol_failed(channels.loss_of(error)[1], _now()))
            return
        try:
            validity = self._identity.keep(authority.name, reply.courier_certificates)
        except (EnvironmentFault, MalformedError) as error:
            self._log("ERROR", error.code, f"{error.detail}. {error.remedy}")
            validity = None
        self._do(self._core.enrolled(reply, validity, _now()))

    async def _link(self, hello: pb.LinkUp) -> None:
        loss, detail = Loss.UNREACHABLE, "the authority ended the stream"
        try:
            await self._talk(hello)
        except aio.AioRpcError as error:
            loss, detail = channels.loss_of(error)
        except TimeoutError:
            detail = f"no connection within {channels.CONNECT_TIMEOUT_S:g} s"
        if self._stream is asyncio.current_task():  # not replaced meanwhile
            self._stream = None
            self._do(self._core.stream_lost(loss, detail, _now()))

    async def _talk(self, hello: pb.LinkUp) -> None:
        authority = self._authority
        async with channels.link_channel(
            authority.address,
            ca_pem=authority.ca_pem,
            key_pem=self._identity.key_pem,
            chain_pem=self._identity.chain_pem(authority.name) or b"",
            keepalive_ms=self._config.keepalive_ms,
        ) as channel:
            call = GovernorServiceStub(channel).Link(None)
            async with asyncio.timeout(channels.CONNECT_TIMEOUT_S):
                await call.write(hello)
            self._do(self._core.stream_opened(_now()))
            sender = self._start(self._send(call))
            try:
                while isinstance(message := await call.read(), pb.LinkDown):
                    self._do(self._core.from_authority(message, _now()))
                    await self._drain()
            finally:
                sender.cancel()

    async def _send(self, call: aio.StreamStreamCall[pb.LinkUp, pb.LinkDown]) -> None:
        # Why a write failed is the reader's to tell: it gets the status.
        with suppress(aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                message = self._core.next_up(_now())
                self._settle()
                if message is None:
                    self._may_write.clear()
                    await self._may_write.wait()
                else:
                    await call.write(message)
                    self._core.flow.written()

    async def _drain(self) -> None:
        if self._writer is not None:
            with suppress(OSError):  # the gate's reader notices
                await self._writer.drain()

    # -- the core ---------------------------------------------------------------------------

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case ToGate(message):
                    self._give(message)
                case OpenStream(hello):
                    self._stream = self._start(self._link(hello))
                case CloseStream():
                    stream, self._stream = self._stream, None
                    if stream is not None:
                        stream.cancel()
                case Enroll(request):
                    self._enrolment = self._start(self._enroll(request))
                case Write():
                    self._may_write.set()
                case Note(level, code, detail):
                    self._log(level, code, detail)
        self._settle()

    def _give(self, message: pb.ToGate) -> None:
        if self._writer is None or self._writer.is_closing():
            return
        try:
            self._writer.write(encode_frame(message))
        except OversizedError as error:  # an authority's fault ends no link and no process
            self._log("ERROR", error.code, error.detail)

    def _settle(self) -> None:
        """Let what was decided take effect: read on or not, and when to wake the core."""
        if self._watcher is not None:
            core = self._core
            self._watcher.linked(
                self._authority.name, core.state, core.expires_unix_ms, core.flow.held_ms
            )
        if self._core.flow.full:
            self._may_read.clear()
        else:
            self._may_read.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ms = self._core.get_timer()
        if due_ms is not None:
            wait_s = max(0, due_ms - _now().mono_ms) / 1000
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._start(self._wake())  # in the group, so that a fault of ours ends the process

    async def _wake(self) -> None:
        self._do(self._core.handle_timer(_now()))

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        if self._tasks is None:
            raise MisuseError("a carrier works only while it runs", code="courier.not-running")
        return self._tasks.create_task(work)

    def _log(self, level: str, code: str, detail: str) -> None:
        _LOG.log(
            getattr(logging, level),
            detail,
            extra={FIELDS: {"code": code, "authority": self._authority.name}},
        )


def _now() -> Now:
    return Now(
        mono_ms=time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000,
        wall_unix_ms=time.time_ns() // 1_000_000,
    )
