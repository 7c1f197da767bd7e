"""Whose message is taken next, where many callers send more than is served.

Every caller with something to say gets so many reports a turn, whatever the others send: who waits
is behind one turn of each of them, never behind all that one of them sent. What a caller did not
use of its turn is kept for a larger message, until its queue is empty. Messages of one caller keep
their order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

TURN_REPORTS: Final = 32
"""Reports of one turn. A message with more waits for several turns."""


class Turns(Generic[T]):
    """Queues of all callers, one a caller, served in turns."""

    __slots__ = ("_credit", "_queues", "_ring", "_size")

    def __init__(self) -> None:
        self._queues: dict[Hashable, deque[tuple[int, T]]] = {}
        self._ring: deque[Hashable] = deque()
        self._credit: dict[Hashable, int] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, caller: Hashable, item: T, reports: int) -> None:
        """Queue a message with so many reports behind this caller's own."""
        queue = self._queues.get(caller)
        if queue is None:
            queue = self._queues[caller] = deque()
            self._ring.append(caller)
            self._credit[caller] = TURN_REPORTS
        queue.append((max(1, reports), item))
        self._size += 1

    def next_reports(self) -> int:
        """How many reports the next message holds, at least 1; 0: nothing waits."""
        while self._size:
            caller = self._ring[0]
            reports = self._queues[caller][0][0]
            if reports <= self._credit[caller]:
                return reports
            self._credit[caller] += TURN_REPORTS
            self._ring.rotate(-1)
        return 0

    def take(self) -> T:
        """The next message.

        Raises:
            LookupError: nothing waits.
        """
        reports = self.next_reports()
        if not reports:
            raise LookupError("nothing waits")
        caller = self._ring[0]
        queue = self._queues[caller]
        item = queue.popleft()[1]
        self._size -= 1
        self._credit[caller] -= reports
        if not queue:
            self._ring.popleft()
            del self._queues[caller], self._credit[caller]
        elif self._credit[caller] <= 0:
            self._credit[caller] += TURN_REPORTS
            self._ring.rotate(-1)
        return item
