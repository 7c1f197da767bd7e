"""Group commit: what arrives while one transaction runs is committed together in the next.

One thread belongs to the store; the event loop never waits for a disk. What waits is bounded in
bytes: streams are held back, not served from ever more memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from flopgate_governor.batch import commit_batch
from flopgate_governor.receive import Submission
from flopgate_governor.state import State
from flopgate_proto.errors import StorageError
from flopgate_proto.v1 import flopgate_pb2 as pb

T = TypeVar("T")

BATCH_REPORTS_MAX: Final = 1_024
"""Most reports of one transaction, but at least one message."""

BUSY_MESSAGES: Final = 8
"""After a batch of at least so many messages the next one gathers."""

GATHER_MAX_S: Final = 0.008
"""How long it gathers at most."""

WAITING_BYTES_MAX: Final = 64 * 1024 * 1024
"""Most bytes of reports that wait for their transaction, but at least one message."""

Reply = pb.LinkDown | BaseException
"""The reply to a message, or why nothing of it was committed."""


@dataclass(slots=True, kw_only=True)
class _Waiting:
    submission: Submission
    size_bytes: int
    deliver: Callable[[Reply], None]


class Committer:
    """The door to the one writer. Belongs to one event loop."""

    def __init__(self, open_state: Callable[[], State]) -> None:
        self._open_state = open_state
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._state: State | None = None
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._gathered = asyncio.Event()
        self._wanted = 0
        self._pump: asyncio.Task[None] | None = None
        self._closed = False

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
        self, submission: Submission, size_bytes: int, deliver: Callable[[Reply], None]
    ) -> None:
        """Queue the reports of one message, once there is room.

        ``deliver`` takes the reply once they are durable, in the order of submission.

        Raises:
            StorageError: the governor is stopping.
        """
        while self._waiting_bytes > 0 and self._waiting_bytes + size_bytes > WAITING_BYTES_MAX:
            self._room.clear()
            await self._room.wait()
        if self._closed:
            raise StorageError("the governor is stopping", code="governor.stopping")
        self._waiting.append(
            _Waiting(submission=submission, size_bytes=size_bytes, deliver=deliver)
        )
        self._waiting_bytes += size_bytes
        if len(self._waiting) >= self._wanted:
            self._gathered.set()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._drain())

    async def close(self) -> None:
        """Commit what waits, then close the store."""
        self._closed = True
        if self._pump is not None:
            await asyncio.wait([self._pump])
        if self._state is not None:
            await self.call(lambda state: state.store.close())
        self._executor.shutdown()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        state = self._opened()
        while self._waiting:
            batch = self._next_batch()
            submissions = [waiting.submission for waiting in batch]
            work = loop.run_in_executor(self._executor, commit_batch, state, submissions)
            await asyncio.wait([work])
            self._waiting_bytes -= sum(waiting.size_bytes for waiting in batch)
            self._room.set()
            _deliver(batch, work)
            if len(batch) >= BUSY_MESSAGES:
                await self._gather(len(self._waiting) + len(batch))

    async def _gather(self, messages: int) -> None:
        """Wait for so many messages: what a transaction costs by itself is then paid once."""
        self._wanted = messages
        self._gathered.clear()
        patience = asyncio.get_running_loop().call_later(GATHER_MAX_S, self._gathered.set)
        await self._gathered.wait()
        patience.cancel()

    def _next_batch(self) -> list[_Waiting]:
        batch = [self._waiting.popleft()]
        reports = len(batch[0].submission.envelopes)
        while self._waiting:
            reports += len(self._waiting[0].submission.envelopes)
            if reports > BATCH_REPORTS_MAX:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _opened(self) -> State:
        if self._state is None:
            raise StorageError("the store is not open", code="storage.closed")
        return self._state


def _deliver(batch: list[_Waiting], work: asyncio.Future[list[pb.LinkDown]]) -> None:
    error = work.exception()
    replies: Sequence[Reply] = work.result() if error is None else [error] * len(batch)
    for waiting, reply in zip(batch, replies, strict=True):
        waiting.deliver(reply)
