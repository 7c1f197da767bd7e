"""What the gate wants of its chips, and the child that makes it so.

Nothing here waits. `want` notes a wish; `handle_timer` asks the child for what is not fulfilled,
takes what it said, and kills it when it hangs. The child stays while anything is held, so that what
is held is let go within a moment, and ends when nothing is. A chip at which one hung comes last
from then on, and not before that child is gone: the others are served. What a child of somebody
else closed when this gate had opened it, is opened again. ``now_ms``: elapsed time of the host.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from flopgate_agent.enforcement.chips.wire import (
    ANSWER_BYTES_MAX,
    JOURNAL,
    Fact,
    State,
    WireError,
    Wish,
    decode_facts,
    encode_wishes,
)

ANSWER_MS_MAX = 10_000
"""Eight chips take 0.6 s and a start; a driver without persistence takes some seconds to open."""
RETRY_MS, RETRY_MS_MAX = 1_000, 60_000
"""Before the next try of what no child brought to an end; doubles until one more chip hangs."""
RENEW_MS = 60_000
"""Held chips are set again so often: whoever changed them meanwhile is found out."""
STUCK_MAX = 4
"""Killed children that hang in the kernel; with more of them no other is started."""
END_S = 2.0
_POLL_S = 0.01
_HOLDING = frozenset({Wish.DENIED, Wish.SLOWED})
_CHIP = "chip"
"""In the place of a rung, where the chip as a whole is meant."""
_TOLD = frozenset({State.REFUSED, State.NOT_IN_FORCE, State.UNREADABLE})


class Child(Protocol):
    """What sets chips. Nothing here waits but `wait`."""

    @property
    def pid(self) -> int:
        """Its process."""

    @property
    def ended(self) -> bool:
        """Whether it is gone."""

    def ask(self, line: bytes) -> None:
        """Give it a line; ``OSError`` where it takes none."""

    def said(self, bytes_max: int) -> bytes:
        """What it said since the last time, about so much at most."""

    def hang_up(self) -> None:
        """It is asked for nothing more, and ends."""

    def kill(self) -> None:
        """End it, as soon as the kernel lets it."""

    def wait(self, timeout_s: float) -> None:
        """Give it so long to be gone."""


class ChipLimits:
    """At most one child at work.

    Attributes:
        stands: how each rung of each chip stood when it was last set, by (uuid, rung).
    """

    def __init__(
        self,
        spawn: Callable[[], Child],
        recorded: Callable[[str], object],
        *,
        answer_ms_max: int = ANSWER_MS_MAX,
    ) -> None:
        """What it goes by.

        Args:
            spawn: starts a child; ``OSError`` where it cannot.
            recorded: tells the record of what a chip was before from any other of this chip;
                ``None`` where there is none.
            answer_ms_max: a child that says nothing for so long hangs.
        """
        self._spawn = spawn
        self._recorded = recorded
        self._answer_ms_max = answer_ms_max
        self._wanted: dict[str, Wish] = {}
        self._done: dict[str, Wish] = {}
        self._child: Child | None = None
        self._buffer = b""
        # What the child was asked for and has not brought to an end; the chip that it is at.
        self._asked: dict[str, Wish] = {}
        self._at = ""
        self._due_ms = 0
        self._not_before_ms = 0
        self._retry_ms = RETRY_MS
        self._renew_ms = 0
        # Chips at which a child hung or ended; those that may be held; those whose undo failed now.
        self._hung: set[str] = set()
        self._held: set[str] = set()
        self._refused: set[str] = set()
        # What was written down of a chip when it was to be opened: it may be nobody's to undo.
        self._left: dict[str, object] = {}
        self._stuck: list[tuple[Child, str]] = []
        self.stands: dict[tuple[str, str], Fact] = {}

    @property
    def pids(self) -> tuple[int, ...]:
        """Children that live."""
        working = [] if self._child is None else [self._child.pid]
        return (*working, *(child.pid for child, _ in self._stuck))

    @property
    def at_work(self) -> bool:
        """Whether a child was asked for something, and is not known to have ended with it."""
        return bool(self._asked)

    @property
    def idle(self) -> bool:
        """Whether every wish is fulfilled, or cannot be."""
        return not self._asked and self._wanted == self._done

    def pending(self, uuids: Iterable[str]) -> bool:
        """Whether one of these chips is not yet as it is to be.

        One that was never held is waited for once: a driver that hangs shuts nobody out of it.
        """
        first = self._retry_ms == RETRY_MS
        return any(
            self._done.get(uuid) is not self._wanted.get(uuid) and (first or uuid in self._held)
            for uuid in uuids
        )

    def get_timer(self) -> int | None:
        """When time alone changes something, were it not for a child that hangs."""
        if self._asked:
            return self._due_ms
        if self._wanted != self._done:
            return self._not_before_ms
        return self._renew_ms if self._holding else None

    def want(self, uuids: Iterable[str], wish: Wish) -> None:
        """From now on these chips are to be so; what is slow stays so until it is free."""
        for uuid in uuids:
            wanted = self._wanted.get(uuid)
            if wanted is not wish and (wanted, wish) != (Wish.SLOWED, Wish.DENIED):
                self._wanted[uuid] = wish
                self._not_before_ms, self._retry_ms = 0, RETRY_MS

    def handle_timer(self, now_ms: int) -> tuple[Fact, ...]:
        """Go on; facts that a person should know of, each once."""
        # A clock that was set back must not make anybody wait for it.
        self._due_ms = min(self._due_ms, now_ms + self._answer_ms_max)
        self._not_before_ms = min(self._not_before_ms, now_ms + RETRY_MS_MAX)
        self._renew_ms = min(self._renew_ms, now_ms + RENEW_MS)
        self._stuck = [one for one in self._stuck if not one[0].ended]
        told: tuple[Fact, ...] = ()
        if self._child is not None:
            told = self._listen(self._child, now_ms)
        if not self._asked:
            self._renew(now_ms)
            self._open_again()
            self._ask(now_ms)
        if self._child is not None and not self._asked and not self._holding:
            self._dismiss(self._child)
        return told

    def finish(self, now_ms: int) -> tuple[Fact, ...]:
        """Wait a little for what is under way and what is wished, then let the child end."""
        told = self.handle_timer(now_ms)
        end = time.monotonic() + END_S
        while self._asked and time.monotonic() < end:
            time.sleep(_POLL_S)
            told += self.handle_timer(now_ms)
        self.close()
        return told

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._dismiss(self._child)
        for child, _ in self._stuck:
            child.kill()
            child.wait(END_S)

    @property
    def _holding(self) -> bool:
        return any(wish in _HOLDING for wish in self._wanted.values())

    def _renew(self, now_ms: int) -> None:
        if now_ms >= self._renew_ms:
            self._renew_ms = now_ms + RENEW_MS
            self._done = {uuid: wish for uuid, wish in self._done.items() if wish not in _HOLDING}

    def _open_again(self) -> None:
        """What was closed after this gate opened it: by the last act of a lock-down, perhaps."""
        for uuid in [uuid for uuid, wish in self._done.items() if wish is Wish.FREE]:
            found = self._recorded(uuid)
            if found is not None and found != self._left.get(uuid):
                del self._done[uuid]
                self._held.add(uuid)
                self._not_before_ms, self._retry_ms = 0, RETRY_MS

    def _ask(self, now_ms: int) -> None:
        stuck = {uuid for _, uuid in self._stuck}
        asked = {
            uuid: self._wanted[uuid]
            for uuid in sorted(self._wanted, key=self._hung.__contains__)
            if self._done.get(uuid) is not self._wanted[uuid] and uuid not in stuck
        }
        if not asked or now_ms < self._not_before_ms or len(self._stuck) >= STUCK_MAX:
            return
        try:
            if self._child is None:
                self._child, self._buffer = self._spawn(), b""
            self._child.ask(encode_wishes(asked))
        except OSError:
            self._later(now_ms)
            return
        self._asked, self._at, self._refused = asked, "", set()
        self._left |= {uuid: self._recorded(uuid) for uuid in asked}
        # A child that dies over it may have set a part: nothing is known until one has answered.
        self._done = {uuid: wish for uuid, wish in self._done.items() if uuid not in asked}
        self._held |= {uuid for uuid, wish in asked.items() if wish in _HOLDING}
        self._due_ms = now_ms + self._answer_ms_max

    def _listen(self, child: Child, now_ms: int) -> tuple[Fact, ...]:
        ended = child.ended
        told: list[Fact] = []
        try:
            for fact in self._read(child):
                told += self._note(fact)
        except WireError:
            ended = True
        if ended or (self._asked and now_ms >= self._due_ms):
            if self._asked and self._at not in self._hung:
                self._hung.add(self._at)
                # The others need not wait for it: the next child leaves it out.
                self._retry_ms = RETRY_MS
                detail = "ENDED" if ended else "HANGS"
                told.append(Fact(uuid=self._at, rung=_CHIP, state=State.REFUSED, detail=detail))
            self._drop(child, now_ms)
        elif self._refused and not self._asked:
            self._refused.clear()
            self._later(now_ms)
        return tuple(told)

    def _read(self, child: Child) -> tuple[Fact, ...]:
        """What it said since the last time, whole lines only."""
        self._buffer += child.said(ANSWER_BYTES_MAX - len(self._buffer))
        whole, end, rest = self._buffer.rpartition(b"\n")
        self._buffer = rest
        return decode_facts(whole + end)

    def _note(self, fact: Fact) -> list[Fact]:
        if fact.state in {State.BEGUN, State.DONE}:
            if self._at in self._asked:
                self._finished(self._at, self._asked[self._at])
            self._at = fact.uuid
            if fact.state is State.DONE:
                self._asked, self._at = {}, ""
            return []
        key = (fact.uuid, fact.rung)
        before = self.stands.get(key)
        if fact.state is State.FOUND_UNDONE:
            # A record stands before the act: that act may never have come to be.
            return [fact] if before is not None and before.state is State.HELD else []
        self.stands[key] = fact
        if fact.state is State.REFUSED and fact.rung == JOURNAL:
            # Nothing was set: there may be room again in a moment.
            self._refused.add(fact.uuid)
        elif fact.state is State.REFUSED and self._asked.get(fact.uuid) is Wish.FREE:
            self._refused.add(fact.uuid)
            if fact.rung != _CHIP:
                # What was not undone is held still, by this gate or one before it.
                self._held.add(fact.uuid)
        return [fact] if fact.state in _TOLD and before != fact else []

    def _finished(self, uuid: str, wish: Wish) -> None:
        self._hung -= {uuid, ""}
        if uuid in self._refused:
            return
        self._done[uuid] = wish
        if wish is Wish.FREE:
            self._held.discard(uuid)

    def _later(self, now_ms: int) -> None:
        self._not_before_ms = now_ms + self._retry_ms
        self._retry_ms = min(RETRY_MS_MAX, self._retry_ms * 2)

    def _drop(self, child: Child, now_ms: int) -> None:
        """It has ended of itself, or hangs, or says nonsense."""
        at = self._at
        self._dismiss(child)
        child.kill()
        self._stuck[-1] = (child, at)
        self._later(now_ms)

    def _dismiss(self, child: Child) -> None:
        child.hang_up()
        self._child, self._asked, self._at = None, {}, ""
        self._stuck.append((child, ""))
