"""Chips that hang, one after the other: the others are set meanwhile."""

from __future__ import annotations

from typing import Final

from flopgate_agent.enforcement.chips.child import ALL
from flopgate_agent.enforcement.chips.client import ANSWER_MS_MAX, RETRY_MS, ChipLimits
from flopgate_agent.enforcement.chips.wire import Fact, State, Wish, decode_wishes

UUIDS: Final = [f"GPU-{index}" for index in range(6)]
TURN_MS: Final = 100


class Setter:
    """A child that sets chips at once and hangs at some of them."""

    def __init__(self, hanging: set[str], done: list[str]) -> None:
        self.pid = 1
        self._hanging = hanging
        self._set = done
        self._at = ""
        self._lines = b""
        self._killed = False

    @property
    def ended(self) -> bool:
        return self._killed and self._at not in self._hanging

    def ask(self, line: bytes) -> None:
        for uuid in decode_wishes(line):
            self._at = uuid
            self._say(Fact(uuid=uuid, rung="", state=State.BEGUN))
            if uuid in self._hanging:
                return
            self._set.append(uuid)
        self._at = ""
        self._say(Fact(uuid=ALL, rung="", state=State.DONE))

    def _say(self, fact: Fact) -> None:
        self._lines += fact.line()

    def said(self, bytes_max: int) -> bytes:
        said, self._lines = self._lines[:bytes_max], self._lines[bytes_max:]
        return said

    def hang_up(self) -> None:
        pass

    def kill(self) -> None:
        self._killed = True

    def wait(self, timeout_s: float) -> None:
        pass


def test_of_several_chips_that_hang_each_keeps_the_others_waiting_once() -> None:
    hanging, done = set(UUIDS[:3]), list[str]()
    limits = ChipLimits(lambda: Setter(hanging, done), lambda _: None)
    limits.want(UUIDS, Wish.DENIED)
    now_ms = 0
    while UUIDS[-1] not in done:
        limits.handle_timer(now_ms)
        now_ms += TURN_MS
    assert set(done) == set(UUIDS[3:])
    assert now_ms <= 3 * (ANSWER_MS_MAX + RETRY_MS) + 10 * TURN_MS
