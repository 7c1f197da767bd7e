"""What the gate wants of its chips, and the child that makes it so.

Nothing here waits. `want` notes a wish; `handle_timer` asks the child for what is not fulfilled,
takes what it said, and kills it when it hangs. The child stays while anything is held, so that what
is held is let go within a moment, and ends when nothing is. A chip at which one hung comes last
from then on, and not before that child is gone: the others are served. ``now_ms``: elapsed time of
the host.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from flopgate_agent.enforcement.chips.wire import (
    ANSWER_BYTES_MAX,
    Fact,
    State,
    WireError,
    Wish,
    decode_facts,
    encode_wishes,
)

COMMAND = (sys.executable, "-P", "-m", "flopgate_agent.enforcement.chips.child")
ANSWER_MS_MAX = 10_000
"""Eight chips take 0.6 s and a start; a driver without persistence takes some seconds to open."""
RETRY_MS, RETRY_MS_MAX = 1_000, 60_000
"""Before the next try of what a child could not bring to an end; doubles."""
RENEW_MS = 60_000
"""Held chips are set again so often: whoever changed them meanwhile is found out."""
STUCK_MAX = 4
"""Killed children that hang in the kernel; with more of them no other is started."""
END_S = 2.0
_POLL_S = 0.01
_TOLD = frozenset({State.REFUSED, State.NOT_IN_FORCE, State.UNREADABLE})


class ChipLimits:
    """At most one child at work.

    Attributes:
        stands: how each rung of each chip stood when it was last set, by (uuid, rung).
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str],
        folder: Path,
        boot_id: str,
        command: Sequence[str] = COMMAND,
        answer_ms_max: int = ANSWER_MS_MAX,
    ) -> None:
        """``folder`` and ``boot_id``: of the journal."""
        self._env = dict(env)
        self._command = (*command, str(folder), boot_id)
        self._answer_ms_max = answer_ms_max
        self._wanted: dict[str, Wish] = {}
        self._done: dict[str, Wish] = {}
        self._child: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        # What the child was asked for and has not brought to an end; the chip that it is at.
        self._asked: dict[str, Wish] = {}
        self._at = ""
        self._due_ms = 0
        self._not_before_ms = 0
        self._retry_ms = RETRY_MS
        self._renew_ms = 0
        self._hung: set[str] = set()
        self._stuck: list[tuple[subprocess.Popen[bytes], str]] = []
        self.stands: dict[tuple[str, str], Fact] = {}

    @property
    def pids(self) -> tuple[int, ...]:
        """Children that live."""
        working = [] if self._child is None else [self._child.pid]
        return (*working, *(child.pid for child, _ in self._stuck))

    @property
    def idle(self) -> bool:
        """Whether every wish is fulfilled, or cannot be."""
        return not self._asked and self._wanted == self._done

    def pending(self, uuids: Iterable[str]) -> bool:
        """Whether one of these chips is not yet as it is to be."""
        return any(self._done.get(uuid) is not self._wanted.get(uuid) for uuid in uuids)

    def want(self, uuids: Iterable[str], wish: Wish) -> None:
        """From now on these chips are to be so."""
        for uuid in uuids:
            if self._wanted.get(uuid) is not wish:
                self._wanted[uuid] = wish
                self._not_before_ms, self._retry_ms = 0, RETRY_MS

    def handle_timer(self, now_ms: int) -> tuple[Fact, ...]:
        """Go on; facts that a person should know of, each once."""
        self._stuck = [one for one in self._stuck if one[0].poll() is None]
        told: tuple[Fact, ...] = ()
        if self._child is not None:
            told = self._listen(self._child, now_ms)
        if not self._asked:
            self._renew(now_ms)
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
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=END_S)

    @property
    def _holding(self) -> bool:
        return any(wish in {Wish.DENIED, Wish.SLOWED} for wish in self._wanted.values())

    def _renew(self, now_ms: int) -> None:
        if now_ms >= self._renew_ms:
            self._renew_ms = now_ms + RENEW_MS
            keep = {Wish.FREE, Wish.PROBE}
            self._done = {uuid: wish for uuid, wish in self._done.items() if wish in keep}

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
            child = self._child or self._spawn()
            if child.stdin is not None:
                # One request at most is in the pipe: this cannot block.
                os.write(child.stdin.fileno(), encode_wishes(asked))
        except OSError:
            self._later(now_ms)
            return
        self._asked, self._at = asked, ""
        self._due_ms = now_ms + self._answer_ms_max

    def _spawn(self) -> subprocess.Popen[bytes]:
        child = self._child = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._env,
            bufsize=0,
            close_fds=True,
            # A Ctrl-C for the gate is the gate's business.
            start_new_session=True,
        )
        if child.stdout is not None:
            os.set_blocking(child.stdout.fileno(), False)
        self._buffer = b""
        return child

    def _listen(self, child: subprocess.Popen[bytes], now_ms: int) -> tuple[Fact, ...]:
        ended = child.poll() is not None
        told: list[Fact] = []
        try:
            for fact in self._read(child):
                told += self._note(fact)
        except WireError:
            ended = True
        if ended and self._child is not None:
            self._drop(child, now_ms)
        elif self._asked and now_ms >= self._due_ms:
            at, known = self._at, self._at in self._hung
            self._drop(child, now_ms)
            self._hung.add(at)
            if not known:
                told.append(Fact(uuid=at, rung="chip", state=State.REFUSED, detail="HANGS"))
        return tuple(told)

    def _read(self, child: subprocess.Popen[bytes]) -> tuple[Fact, ...]:
        """What it said since the last time, whole lines only."""
        if child.stdout is None:
            return ()
        with contextlib.suppress(BlockingIOError):
            while len(self._buffer) < ANSWER_BYTES_MAX:
                chunk = os.read(child.stdout.fileno(), ANSWER_BYTES_MAX)
                if not chunk:
                    break
                self._buffer += chunk
        whole, end, rest = self._buffer.rpartition(b"\n")
        self._buffer = rest
        return decode_facts(whole + end)

    def _note(self, fact: Fact) -> list[Fact]:
        if fact.state in {State.BEGUN, State.DONE}:
            if self._at in self._asked:
                self._done[self._at] = self._asked[self._at]
                self._hung -= {self._at, ""}
            self._at = fact.uuid
            if fact.state is State.DONE:
                self._asked, self._at = {}, ""
            return []
        key = (fact.uuid, fact.rung)
        before, self.stands[key] = self.stands.get(key), fact
        return [fact] if fact.state in _TOLD and before != fact else []

    def _later(self, now_ms: int) -> None:
        self._not_before_ms = now_ms + self._retry_ms
        self._retry_ms = min(RETRY_MS_MAX, self._retry_ms * 2)

    def _drop(self, child: subprocess.Popen[bytes], now_ms: int) -> None:
        """It has ended of itself, or hangs, or says nonsense."""
        at = self._at
        self._dismiss(child)
        child.kill()
        self._stuck[-1] = (child, at)
        self._later(now_ms)

    def _dismiss(self, child: subprocess.Popen[bytes]) -> None:
        """Without its pipes it ends."""
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        self._child, self._asked, self._at = None, {}, ""
        self._stuck.append((child, ""))
