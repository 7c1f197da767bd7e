"""What a gate asks its chips' child for, and when: a fake child, and time that a test moves on."""

from __future__ import annotations

from itertools import count, pairwise

import pytest

from flopgate_agent.enforcement.chips.child import ALL
from flopgate_agent.enforcement.chips.client import (
    ANSWER_MS_MAX,
    RENEW_MS,
    RETRY_MS,
    RETRY_MS_MAX,
    STUCK_MAX,
    ChipLimits,
)
from flopgate_agent.enforcement.chips.wire import JOURNAL, Fact, State, Wish, decode_wishes

ONE, TWO, THREE = "GPU-1", "GPU-2", "GPU-3"
RUNG = "clocks"
TURN_MS = 100


class Setter:
    """A child that does, of each chip, what its host says of it, once it is listened to."""

    def __init__(self, host: Host) -> None:
        self.pid = len(host.children)
        self.ended = False
        self._host = host
        self._left: list[tuple[str, Wish]] = []
        self._at = ""

    def ask(self, line: bytes) -> None:
        wishes = decode_wishes(line)
        self._host.asked.append((self._host.now_ms, wishes))
        self._left = [*wishes.items()]

    def said(self, bytes_max: int) -> bytes:
        lines = b""
        while self._left:
            uuid, wish = self._left[0]
            if uuid not in {*self._host.mute, self._at}:
                lines += Fact(uuid=uuid, rung="", state=State.BEGUN).line()
            self._at = uuid
            if uuid in self._host.hanging:
                break
            if uuid in self._host.deadly:
                self.ended = True
                break
            lines += b"".join(fact.line() for fact in self._host.serve(uuid, wish))
            del self._left[0]
            self._at = ""
            if not self._left:
                lines += Fact(uuid=ALL, rung="", state=State.DONE).line()
        assert len(lines) <= bytes_max
        return lines

    def hang_up(self) -> None:
        self.ended = self.ended or not self._left

    def kill(self) -> None:
        self.ended = self.ended or not self._host.in_kernel

    def wait(self, timeout_s: float) -> None:
        pass


class Host:
    """Chips, the records of what they were before, and the gate's part that is tested.

    Attributes:
        asked: lines that children were asked for, with the time.
        records: stamps of what is written down, by chip.
        kept: chips whose record nobody here can undo.
        hanging, deadly, mute: chips at which a child hangs, or ends; which it does not name first.
        refusing: what a chip says instead of yes.
        in_kernel: whether a child that hangs outlives a kill.
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self.asked: list[tuple[int, dict[str, Wish]]] = []
        self.children: list[Setter] = []
        self.told: list[Fact] = []
        self.records: dict[str, int] = {}
        self.kept: set[str] = set()
        self.hanging: set[str] = set()
        self.deadly: set[str] = set()
        self.mute: set[str] = set()
        self.refusing: dict[str, Fact] = {}
        self.in_kernel = False
        self.no_child = False
        self._stamps = count(1)
        self.limits = ChipLimits(self._spawn, self.records.get)

    def _spawn(self) -> Setter:
        if self.no_child:
            raise OSError
        self.children.append(Setter(self))
        return self.children[-1]

    def serve(self, uuid: str, wish: Wish) -> list[Fact]:
        if uuid in self.refusing:
            return [self.refusing[uuid]]
        if wish is Wish.FREE:
            if uuid not in self.kept:
                self.records.pop(uuid, None)
            return [Fact(uuid=uuid, rung=RUNG, state=State.UNDONE)]
        self.record(uuid)
        return [Fact(uuid=uuid, rung=RUNG, state=State.HELD)]

    def record(self, uuid: str) -> None:
        """Whoever closes a chip writes down first what it was."""
        self.records[uuid] = next(self._stamps)

    def refuse(self, uuid: str, rung: str = RUNG) -> None:
        self.refusing[uuid] = Fact(uuid=uuid, rung=rung, state=State.REFUSED, detail="no")

    def turn(self, span_ms: int = 10 * TURN_MS) -> None:
        """Let the gate turn for so long."""
        for _ in range(span_ms // TURN_MS):
            self.told += self.limits.handle_timer(self.now_ms)
            self.now_ms += TURN_MS

    def set(self, wish: Wish, *uuids: str) -> None:
        """Wish it; it is done soon."""
        self.limits.want(uuids, wish)
        self.turn()
        assert self.limits.idle

    def asked_since(self, at_ms: int, uuid: str) -> list[int]:
        """When it was asked for a chip."""
        return [ms for ms, wishes in self.asked if ms >= at_ms and uuid in wishes]


@pytest.fixture
def host() -> Host:
    return Host()


# ---------------------------------------------------------------------- closed by somebody else


def test_what_was_closed_since_it_was_opened_is_opened_again_at_once(host: Host) -> None:
    host.set(Wish.DENIED, ONE)
    host.set(Wish.FREE, ONE)
    host.record(ONE)
    assert not host.limits.pending([ONE])
    at_ms = host.now_ms
    host.turn()
    assert host.asked_since(at_ms, ONE) == [at_ms]
    assert ONE not in host.records
    host.turn(2 * RENEW_MS)
    assert host.asked_since(at_ms, ONE) == [at_ms], "once"


def test_a_record_that_nobody_here_undoes_is_not_asked_for_over_and_over(host: Host) -> None:
    host.record(ONE)
    host.kept.add(ONE)
    host.set(Wish.FREE, ONE)
    host.turn(2 * RENEW_MS)
    assert host.asked_since(0, ONE) == [0]
    host.record(ONE)
    at_ms = host.now_ms
    host.turn(2 * RENEW_MS)
    assert host.asked_since(at_ms, ONE) == [at_ms]


def test_a_record_that_went_with_the_opening_is_no_sign_of_another(host: Host) -> None:
    host.set(Wish.DENIED, ONE)
    host.limits.want([ONE], Wish.FREE)
    at_ms = host.now_ms
    host.turn(2 * RENEW_MS)
    assert host.asked_since(at_ms, ONE) == [at_ms]


def test_what_is_opened_again_waits_for_no_chip_that_hangs(host: Host) -> None:
    host.set(Wish.DENIED, ONE)
    host.set(Wish.FREE, ONE)
    host.limits.want([TWO], Wish.DENIED)
    host.no_child = True
    host.turn(8 * RETRY_MS)
    host.no_child = False
    host.record(ONE)
    at_ms = host.now_ms
    host.turn()
    assert host.asked_since(at_ms, ONE) == [at_ms]


def test_a_job_waits_for_what_is_to_be_opened_again_and_hangs(host: Host) -> None:
    host.set(Wish.FREE, ONE)
    host.record(ONE)
    host.hanging.add(ONE)
    host.turn(ANSWER_MS_MAX + 3 * RETRY_MS)
    assert host.limits.pending([ONE])


# ---------------------------------------------------------------------- hang, end, refuse


def test_a_child_has_its_time_and_no_more(host: Host) -> None:
    host.hanging.add(ONE)
    host.limits.want([ONE], Wish.DENIED)
    host.turn(ANSWER_MS_MAX)
    assert not host.told
    host.turn(TURN_MS)
    assert [fact.detail for fact in host.told] == ["HANGS"]


def test_a_chip_that_hangs_again_is_told_once(host: Host) -> None:
    host.hanging.add(ONE)
    host.limits.want([ONE], Wish.DENIED)
    host.turn(4 * ANSWER_MS_MAX)
    assert len(host.children) > 1
    assert [fact.detail for fact in host.told] == ["HANGS"]


def test_a_child_that_ends_before_its_first_chip_is_told_anew_after_one_that_served(
    host: Host,
) -> None:
    host.deadly, host.mute = {ONE}, {ONE}
    host.limits.want([ONE], Wish.DENIED)
    host.turn(20 * RETRY_MS)
    assert [(fact.uuid, fact.detail) for fact in host.told] == [("", "ENDED")]
    host.deadly, host.mute = set(), set()
    host.turn(RETRY_MS_MAX)
    assert host.limits.idle
    host.deadly, host.mute = {ONE}, {ONE}
    host.limits.want([ONE], Wish.FREE)
    host.turn()
    assert [(fact.uuid, fact.detail) for fact in host.told] == [("", "ENDED")] * 2


def test_a_chip_at_which_one_hung_comes_last(host: Host) -> None:
    host.hanging.add(ONE)
    host.limits.want([ONE, TWO, THREE], Wish.DENIED)
    host.turn(ANSWER_MS_MAX + 2 * RETRY_MS)
    assert [*host.asked[-1][1]] == [TWO, THREE, ONE]
    assert {TWO, THREE} <= host.records.keys()


def test_no_more_children_than_so_many_hang_in_the_kernel(host: Host) -> None:
    host.in_kernel = True
    host.hanging |= {f"GPU-{number}" for number in range(STUCK_MAX + 2)}
    host.limits.want(host.hanging, Wish.DENIED)
    host.turn(8 * (ANSWER_MS_MAX + RETRY_MS))
    assert len(host.children) == STUCK_MAX
    # Each is asked for what no other hangs at.
    assert len(host.asked[-1][1]) == len(host.hanging) - STUCK_MAX + 1
    for child in host.children:
        child.ended = True
    host.hanging.clear()
    host.turn(2 * RETRY_MS_MAX)
    assert host.limits.idle


def test_what_a_child_left_half_open_is_closed_again(host: Host) -> None:
    host.set(Wish.DENIED, ONE)
    host.deadly.add(ONE)
    host.limits.want([ONE], Wish.FREE)
    host.turn(3 * TURN_MS)
    host.deadly.clear()
    host.limits.want([ONE], Wish.DENIED)
    assert not host.limits.idle
    at_ms = host.now_ms
    host.turn()
    assert host.asked[-1] == (at_ms, {ONE: Wish.DENIED})


def test_a_job_waits_for_a_chip_that_is_held_and_for_another_once(host: Host) -> None:
    host.set(Wish.DENIED, ONE)
    host.hanging |= {ONE, TWO}
    host.limits.want([ONE, TWO], Wish.FREE)
    assert host.limits.pending([TWO])
    host.turn(ANSWER_MS_MAX + 2 * TURN_MS)
    assert host.limits.pending([ONE])
    assert not host.limits.pending([TWO])


def test_a_chip_that_was_let_go_is_held_no_more(host: Host) -> None:
    host.set(Wish.DENIED, ONE)
    host.set(Wish.FREE, ONE)
    host.no_child = True
    host.limits.want([ONE], Wish.DENIED)
    assert host.limits.pending([ONE])
    host.turn()
    assert not host.limits.pending([ONE])


def test_what_the_driver_never_does_is_not_tried_over_and_over(host: Host) -> None:
    host.refuse(ONE)
    host.set(Wish.DENIED, ONE)
    host.turn(RENEW_MS // 2)
    assert host.asked_since(0, ONE) == [0]
    assert len(host.told) == 1


@pytest.mark.parametrize(("wish", "rung"), [(Wish.DENIED, JOURNAL), (Wish.FREE, RUNG)])
def test_what_could_not_be_written_or_undone_is_tried_less_and_less_often(
    host: Host, wish: Wish, rung: str
) -> None:
    host.refuse(ONE, rung)
    host.limits.want([ONE], wish)
    host.turn(10 * RETRY_MS_MAX)
    times_ms = host.asked_since(0, ONE)
    gaps_ms = [after - before for before, after in pairwise(times_ms)]
    # A turn to hear of it.
    assert gaps_ms[:3] == [n * RETRY_MS + TURN_MS for n in (1, 2, 4)]
    assert gaps_ms[-1] == RETRY_MS_MAX + TURN_MS
    assert len(host.told) == 1
    host.refusing.clear()
    host.turn(2 * RETRY_MS_MAX)
    assert host.limits.idle


def test_a_rung_that_is_not_undone_is_held_and_a_chip_that_is_not_there_is_not(host: Host) -> None:
    host.refuse(ONE)
    host.refuse(TWO, "chip")
    host.limits.want([ONE, TWO], Wish.FREE)
    host.turn(2 * TURN_MS)
    assert host.limits.pending([ONE])
    assert not host.limits.pending([TWO])


def test_what_somebody_undid_is_told_where_it_was_held(host: Host) -> None:
    undone = Fact(uuid=ONE, rung=RUNG, state=State.FOUND_UNDONE)
    host.refusing[ONE] = undone
    host.set(Wish.DENIED, ONE)
    assert not host.told, "a record stands before the act"
    del host.refusing[ONE]
    host.turn(RENEW_MS)
    host.refusing[ONE] = undone
    host.turn(RENEW_MS + TURN_MS)
    assert host.told == [undone]


def test_what_is_slow_stays_slow_until_it_is_free(host: Host) -> None:
    host.set(Wish.SLOWED, ONE)
    host.limits.want([ONE], Wish.DENIED)
    assert host.limits.idle
    host.turn(RENEW_MS + TURN_MS)
    assert host.asked[-1][1] == {ONE: Wish.SLOWED}


# ---------------------------------------------------------------------- time


def test_what_is_held_is_looked_at_again_and_what_is_free_is_not(host: Host) -> None:
    host.set(Wish.DENIED, ONE)
    host.set(Wish.FREE, TWO)
    at_ms = host.now_ms
    host.turn(3 * RENEW_MS)
    assert len(host.asked_since(at_ms, ONE)) == 3
    assert not host.asked_since(at_ms, TWO)
    assert host.limits.get_timer() is not None


def test_with_nothing_held_nothing_is_due_and_no_child_stays(host: Host) -> None:
    host.set(Wish.DENIED, ONE)
    assert host.limits.pids
    host.set(Wish.FREE, ONE)
    host.turn()
    assert host.limits.get_timer() is None
    assert not host.limits.pids


def test_a_clock_that_was_set_back_makes_nobody_wait(host: Host) -> None:
    host.now_ms = back_ms = 10 * RETRY_MS_MAX
    host.set(Wish.DENIED, ONE)
    host.now_ms = 0
    host.turn(RENEW_MS + 2 * TURN_MS)
    assert host.asked_since(0, ONE)[-1] <= RENEW_MS, "the next look"
    host.now_ms = back_ms
    host.no_child = True
    host.limits.want([TWO], Wish.DENIED)
    host.limits.close()
    host.turn()
    host.no_child, host.now_ms = False, 0
    host.turn(RETRY_MS_MAX + 2 * TURN_MS)
    assert host.limits.idle, "the next try"
    host.now_ms = back_ms
    host.hanging.add(TWO)
    host.limits.want([TWO], Wish.FREE)
    host.turn(TURN_MS)
    host.now_ms = 0
    host.turn(ANSWER_MS_MAX + 2 * TURN_MS)
    assert [fact.detail for fact in host.told] == ["HANGS"], "the child"
