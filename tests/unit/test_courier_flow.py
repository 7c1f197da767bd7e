"""Reports on their way: order, bound, and that nothing stays missing, whatever is lost."""

import itertools

import pytest

from flopgate_agent.courier.flow import AGAIN_MS_MAX, HOLD_MS_MAX, UNACKNOWLEDGED, ReportFlow
from flopgate_proto.errors import MalformedError
from flopgate_proto.limits import MESSAGE_BYTES_MAX, REPORTS_PER_MESSAGE_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.flowing import RESEND_MS, sequences, signed


def started(now_ms: int = 0) -> ReportFlow:
    flow = ReportFlow(1_000_000, RESEND_MS)
    assert flow.start(now_ms) == UNACKNOWLEDGED
    return flow


def test_reports_leave_in_order_one_message_at_a_time() -> None:
    flow = started()
    for sequence in (5, 6, 7):
        assert flow.put(signed(sequence), 1) is None
    assert sequences(flow.take()) == [5, 6, 7]
    flow.put(signed(8), 2)
    assert flow.take() == []  # the last message is not written yet
    flow.written()
    assert sequences(flow.take()) == [8]


def test_bytes_count_until_they_are_written() -> None:
    flow = ReportFlow(100, RESEND_MS)
    flow.start(0)
    flow.put(signed(1, 200), 1)
    full = [flow.full]
    flow.take()
    full.append(flow.full)
    flow.written()
    full.append(flow.full)
    assert full == [True, True, False]
    assert flow.held_bytes == 0


def test_a_gap_is_not_sent_but_asked_for() -> None:
    flow = started()
    flow.put(signed(1), 1)
    assert flow.put(signed(3), 1) is None  # still waiting for what it asked for at the start
    assert flow.put(signed(4), RESEND_MS) == 2
    assert sequences(flow.take()) == [1]
    flow.written()
    for sequence in (2, 3, 4):
        flow.put(signed(sequence), RESEND_MS + 1)
    assert sequences(flow.take()) == [2, 3, 4]


def test_where_the_gate_no_longer_has_it_the_rest_goes_on() -> None:
    flow = started()
    flow.put(signed(1), 1)
    assert flow.put(signed(5), RESEND_MS) == 2
    assert flow.put(signed(5), 2 * RESEND_MS - 1) is None
    assert flow.put(signed(5), 2 * RESEND_MS) == UNACKNOWLEDGED
    assert flow.put(signed(5), 2 * RESEND_MS + 1) is None
    assert sequences(flow.take()) == [1, 5]


def test_going_back_replaces_what_is_queued() -> None:
    flow = started()
    flow.put(signed(9), 1)  # measured just before the gate read the request
    for sequence in (7, 8, 9):
        flow.put(signed(sequence), 2)
    held = flow.held_bytes
    assert sequences(flow.take()) == [7, 8, 9]
    assert held == 3 * signed(9).ByteSize()


def test_a_report_lost_at_the_end_is_noticed_by_two_snapshots() -> None:
    flow = started()
    flow.put(signed(1), 1)
    late = pb.Snapshot(sequence=2, acknowledged_sequence=0)
    assert flow.seen(late, RESEND_MS) is None  # the report may be right behind
    assert flow.seen(late, RESEND_MS) == 2
    assert flow.seen(late, RESEND_MS + 1) is None
    assert flow.seen(late, RESEND_MS + 2) is None  # one request at a time
    flow.put(signed(2), RESEND_MS + 3)
    assert flow.seen(late, 3 * RESEND_MS) is None
    assert flow.seen(late, 3 * RESEND_MS) is None


def test_a_resend_that_brought_nothing_is_repeated() -> None:
    flow = started()
    behind = pb.Snapshot(sequence=4, acknowledged_sequence=1)
    assert flow.seen(behind, RESEND_MS) is None
    assert flow.seen(behind, RESEND_MS) == UNACKNOWLEDGED
    even = pb.Snapshot(sequence=4, acknowledged_sequence=4)
    assert [flow.seen(even, 9 * RESEND_MS) for _ in range(3)] == [None] * 3


def test_what_an_authority_expects_waits_for_the_request_under_way() -> None:
    flow = started()
    assert flow.expected(3, 5) is None
    assert flow.get_timer() == RESEND_MS
    assert flow.handle_timer(RESEND_MS - 1) is None
    assert flow.handle_timer(RESEND_MS) == 3
    assert flow.get_timer() is None
    assert flow.expected(3, 2 * RESEND_MS) == 3


def test_what_an_authority_goes_on_expecting_is_asked_for_ever_less_often() -> None:
    """It may refuse it for good: a host whose history forked would send all it has every 2 s."""
    flow = started()
    asked_ms = [
        now_ms
        for now_ms in range(RESEND_MS, 600_000, 100)
        if flow.expected(9, now_ms) is not None or flow.handle_timer(now_ms) is not None
    ]
    waits_ms = [later - sooner for sooner, later in itertools.pairwise(asked_ms)]
    assert waits_ms[:5] == [2_000, 4_000, 8_000, 16_000, AGAIN_MS_MAX]
    assert set(waits_ms[5:]) == {AGAIN_MS_MAX}
    flow.expected(10, asked_ms[-1] + AGAIN_MS_MAX)
    assert flow.expected(10, asked_ms[-1] + AGAIN_MS_MAX + RESEND_MS) == 10


def test_who_is_held_back_asks_once_when_its_time_has_come() -> None:
    flow = started()
    for sequence in (1, 2, 3):
        flow.put(signed(sequence), 1)
    flow.hold(2, 50_000, 1_000)
    behind = pb.Snapshot(sequence=9, acknowledged_sequence=1)
    asked = {
        now_ms: asked
        for now_ms in range(1_000, 52_000, 500)
        for asked in (
            flow.handle_timer(now_ms),
            flow.seen(behind, now_ms),
            flow.put(signed(9), now_ms),
            flow.expected(2, now_ms),
        )
        if asked is not None
    }
    assert asked == {51_000: 2}
    assert not flow.waiting
    assert flow.held_bytes == 0


def test_no_authority_holds_a_host_back_for_ever() -> None:
    flow = started()
    flow.hold(2, 10**15, 0)
    assert flow.get_timer() == flow.held_ms == HOLD_MS_MAX
    flow.hold(2, 1_000, HOLD_MS_MAX - 400)
    assert flow.held_ms == HOLD_MS_MAX + 600
    assert flow.handle_timer(HOLD_MS_MAX + 600) == 2


def test_a_message_stays_within_the_limits() -> None:
    flow = ReportFlow(64_000_000, RESEND_MS)
    flow.start(0)
    for sequence in range(1, REPORTS_PER_MESSAGE_MAX + 10):
        flow.put(signed(sequence), 1)
    assert len(flow.take()) == REPORTS_PER_MESSAGE_MAX
    flow.start(0)
    for sequence in range(1, 40):
        flow.put(signed(sequence, 250_000), 1)
    while flow.waiting:
        reports = flow.take()
        assert reports
        assert pb.LinkUp(reports=reports).ByteSize() <= MESSAGE_BYTES_MAX
        flow.written()


def test_what_is_no_report_is_refused() -> None:
    flow = started()
    for payload in (b"\xff", b""):
        with pytest.raises(MalformedError):
            flow.put(pb.SignedReport(envelope=pb.Envelope(payload=payload)), 1)
