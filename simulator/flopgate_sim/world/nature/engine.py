"""Virtual time: a heap of events. Time jumps to the next one; nothing ever sleeps.

World time is in microseconds since the world began. Two events of one moment happen in the order in
which they were planned, so that a run depends on nothing but its seed.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Callable

US_PER_MS = 1000
US_PER_S = 1_000_000
SPIN_MAX = 100_000
"""Events of one moment: beyond that somebody waits for a time that never passes."""
TIMELINE_MAX = 60
"""Newest lines of what happened that are kept for people."""
TRACE_LINES = 256
"""So many lines of the trace are hashed at once."""

Action = Callable[[], None]


class SpinError(RuntimeError):
    """Time stands still: a core wants to be called at a moment that is over, again and again."""


class Event:
    """Something planned. Cancelled, it never happens."""

    __slots__ = ("action", "at_us", "cancelled", "kind")

    def __init__(self, at_us: int, kind: str, action: Action) -> None:
        self.at_us = at_us
        self.kind = kind
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        """Let it not happen."""
        self.cancelled = True


class Engine:
    """The one clock and what is planned on it.

    Attributes:
        now_us: world time.
        steps: events that happened so far.
        checks: called after each event.
    """

    def __init__(self) -> None:
        self.now_us = 0
        self.steps = 0
        self.checks: list[Action] = []
        self._planned: list[tuple[int, int, Event]] = []
        self._number = 0
        self._stopped = False
        self._observer: Action | None = None
        self._observe_every_us = 0
        self._observe_us = 0
        self._spin = 0
        self._trace = hashlib.sha256()
        self._unhashed: list[str] = []
        self._lines: deque[tuple[int, str, str]] = deque(maxlen=TIMELINE_MAX)

    def at(self, at_us: int, kind: str, action: Action) -> Event:
        """Plan something, now at the earliest."""
        self._number += 1
        over = at_us < self.now_us
        if over:
            at_us = self.now_us
        event = Event(at_us, kind, action)
        heapq.heappush(self._planned, (at_us, self._number, event))
        return event

    def after(self, wait_us: int, kind: str, action: Action) -> Event:
        """Plan something for a while from now."""
        return self.at(self.now_us + wait_us, kind, action)

    def run(self, until_us: int) -> None:
        """Let everything happen that is planned up to a moment."""
        planned, trace = self._planned, self._unhashed
        while planned and planned[0][0] <= until_us and not self._stopped:
            at_us, _, event = heapq.heappop(planned)
            if event.cancelled:
                continue
            self._spin = self._spin + 1 if at_us == self.now_us else 0
            if self._spin > SPIN_MAX:
                raise SpinError(f"{SPIN_MAX} events at {at_us} us, the last: {event.kind}")
            if self._observer is not None:
                self._observe(at_us)
            self.now_us = at_us
            self.steps += 1
            trace.append(f"{at_us} {event.kind}\n")
            if len(trace) > TRACE_LINES:
                self._hash()
            event.action()
            for check in self.checks:
                check()
        if not self._stopped:
            self.now_us = max(self.now_us, until_us)

    def observe(self, every_us: int, look: Action) -> None:
        """Let somebody look at a steady rhythm, between events: no event, so it only reads."""
        self._observer, self._observe_every_us, self._observe_us = look, every_us, self.now_us

    def _observe(self, until_us: int) -> None:
        while self._observer is not None and self._observe_us < until_us:
            self.now_us = self._observe_us
            self._observe_us += self._observe_every_us
            self._observer()

    def stop(self) -> None:
        """Nothing more happens."""
        self._stopped = True

    def note(self, who: str, what: str) -> None:
        """Tell something: part of the trace, and of the timeline that people read."""
        self._lines.append((self.now_us, who, what))
        self._unhashed.append(f"{who} {what}\n")

    @property
    def timeline(self) -> tuple[str, ...]:
        """The newest lines, oldest first."""
        return tuple(
            f"{at_us / US_PER_S:12.3f} s  {who:<16} {what}" for at_us, who, what in self._lines
        )

    def _hash(self) -> None:
        self._trace.update("".join(self._unhashed).encode())
        self._unhashed.clear()

    @property
    def trace_digest(self) -> str:
        """SHA-256 over all that happened: the same for the same seed, bit for bit."""
        self._hash()
        return self._trace.hexdigest()
