"""Group commit: what arrives while one transaction runs is committed together in the next.

Signatures are verified as messages come: where more are worth waiting for, nothing waits idly. One
thread belongs to the store; the event loop never waits for a disk. Callers take turns:
`core.turns`. What waits is bounded in bytes, of each caller and of all: streams are held back, not
served from ever more memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from flopgate_governor.batch import Judged, commit_checked
from flopgate_governor.core.turns import Turns
from flopgate_governor.receive import Checked, Submission, receive
from flopgate_governor.state import State
from flopgate_proto.errors import StorageError

A = TypeVar("A")
T = TypeVar("T")

BATCH_REPORTS_MAX: Final = 1_024
"""Most reports of one transaction, but at least one message."""

BUSY_MESSAGES: Final = 8
"""After a batch of at least so many messages the next one gathers."""

GATHER_MAX_S: Final = 0.008
"""How long it gathers at most."""

CHUNK_MESSAGES: Final = 32
"""While it gathers, so many messages are worth a switch to the writer's thread."""

WAITING_BYTES_MAX: Final = 64 * 1024 * 1024
"""Most bytes of reports that wait for their transaction, but at least one message."""

CALLER_BYTES_MAX: Final = 4 * 1024 * 1024
"""Most bytes of them that one caller has there, over all its streams, but at least one message."""

Reply = Judged | BaseException
"""What became of a message, or why nothing of it was committed."""


@dataclass(slots=True, kw_only=True)
class _Waiting:
    submission: Submission
    size_bytes: int
    caller: Hashable
    deliver: Callable[[Reply], None]


class Committer:
    """The door to the one writer. Belongs to one event loop."""

    def __init__(self, open_state: Callable[[], State]) -> None:
        self._open_state = open_state
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._state: State | None = None
        self._waiting: Turns[_Waiting] = Turns()
        self._waiting_bytes = 0
        self._bytes_of: dict[Hashable, int] = {}
        self._room = asyncio.Event()
        self._room.set()
        self._gathered = asyncio.Event()
        self._wanted = 0
        self._pump: asyncio.Task[None] | None = None
        self._closed = False
        self._log = structlog.get_logger("commit")
        self._untold = ""

    async def start(self) -> None:
        """Open the store.

        Raises:
            ConfigError, StorageError: it cannot be opened.
        """
        loop = asyncio.get_running_loop()
        self._state = await loop.run_in_executor(self._executor, self._open_state)

    async def call(self, work: Callable[[State], T]) -> T:
        """Run something else in the writer's thread, between two batches."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, work, self._opened())

    async def submit(
        self,
        submission: Submission,
        size_bytes: int,
        deliver: Callable[[Reply], None],
        caller: Hashable,
    ) -> None:
        """Queue the reports of one message, once there is room.

        ``deliver`` takes the reply once they are durable, in the order in which ``caller`` came.

        Raises:
            StorageError: the governor is stopping.
        """
        size_bytes = max(1, size_bytes)
        while not self._has_room(size_bytes, caller):
            # All are woken, in the order in which they came: nobody is overtaken for ever.
            self._room.clear()
            await self._room.wait()
        if self._closed:
            raise StorageError("the governor is stopping", code="governor.stopping")
        waiting = _Waiting(
            submission=submission, size_bytes=size_bytes, caller=caller, deliver=deliver
        )
        self._waiting.put(caller, waiting, len(submission.reports))
        self._waiting_bytes += size_bytes
        self._bytes_of[caller] = self._bytes_of.get(caller, 0) + size_bytes
        if len(self._waiting) >= self._wanted:
            self._gathered.set()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._drain())

    def _has_room(self, size_bytes: int, caller: Hashable) -> bool:
        own_bytes = self._bytes_of.get(caller, 0)
        return not (
            (self._waiting_bytes > 0 and self._waiting_bytes + size_bytes > WAITING_BYTES_MAX)
            or (own_bytes > 0 and own_bytes + size_bytes > CALLER_BYTES_MAX)
        )

    async def close(self) -> None:
        """Commit what waits, then close the store."""
        self._closed = True
        if self._pump is not None:
            await asyncio.wait([self._pump])
        if self._state is not None:
            await self.call(lambda state: state.store.close())
        self._executor.shutdown()

    async def _drain(self) -> None:
        expected = 0
        while self._waiting:
            batch, work = await self._next_batch(expected)
            for waiting in batch:
                self._waiting_bytes -= waiting.size_bytes
                left_bytes = self._bytes_of.pop(waiting.caller) - waiting.size_bytes
                if left_bytes:
                    self._bytes_of[waiting.caller] = left_bytes
            self._room.set()
            _deliver(batch, work)
            self._say_untold()
            # Whoever is answered may speak again at once.
            expected = len(self._waiting) + len(batch) if len(batch) >= BUSY_MESSAGES else 0

    def _say_untold(self) -> None:
        """Once, until something else fails or nothing does."""
        why = self._opened().untold
        if why and why != self._untold:
            self._log.warning(
                "untold", error=why, detail="answers went out without what goes beside them"
            )
        self._untold = why

    async def _next_batch(
        self, expected: int
    ) -> tuple[list[_Waiting], asyncio.Future[list[Judged]]]:
        """Check what waits and what comes meanwhile, and commit it together.

        What a transaction costs by itself is paid once: it waits a while for ``expected`` messages.
        """
        clock = asyncio.get_running_loop().time
        until_s = clock() + GATHER_MAX_S
        batch: list[_Waiting] = []
        checked: list[Checked] = []
        over = False
        while chunk := self._next_chunk(batch):
            batch += chunk
            checks = await self._in_writer(receive, [waiting.submission for waiting in chunk])
            if (error := checks.exception()) is not None:
                return batch, _failed(error)
            checked += checks.result()
            if over:
                break
            if len(batch) < expected:
                await self._gather(min(CHUNK_MESSAGES, expected - len(batch)), until_s)
            over = clock() >= until_s
        return batch, await self._in_writer(commit_checked, checked)

    def _next_chunk(self, batch: list[_Waiting]) -> list[_Waiting]:
        """What waits and still fits into the batch, but at least one message of every batch."""
        reports = sum(len(waiting.submission.reports) for waiting in batch)
        chunk: list[_Waiting] = []
        while self._waiting:
            reports += self._waiting.next_reports()
            if reports > BATCH_REPORTS_MAX and (batch or chunk):
                break
            chunk.append(self._waiting.take())
        return chunk

    async def _gather(self, messages: int, until_s: float) -> None:
        """Wait until so many messages wait, or for this moment."""
        self._wanted = messages
        self._gathered.clear()
        if len(self._waiting) < messages:
            patience = asyncio.get_running_loop().call_at(until_s, self._gathered.set)
            await self._gathered.wait()
            patience.cancel()

    async def _in_writer(self, work: Callable[[State, A], T], given: A) -> asyncio.Future[T]:
        """Run it in the writer's thread; its result or error, once it is done."""
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._executor, work, self._opened(), given)
        await asyncio.wait([done])
        return done

    def _opened(self) -> State:
        if self._state is None:
            raise StorageError("the store is not open", code="storage.closed")
        return self._state


def _failed(error: BaseException) -> asyncio.Future[list[Judged]]:
    failed: asyncio.Future[list[Judged]] = asyncio.get_running_loop().create_future()
    failed.set_exception(error)
    return failed


def _deliver(batch: list[_Waiting], work: asyncio.Future[list[Judged]]) -> None:
    error = work.exception()
    replies: Sequence[Reply] = work.result() if error is None else [error] * len(batch)
    for waiting, reply in zip(batch, replies, strict=True):
        waiting.deliver(reply)
