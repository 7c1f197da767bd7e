"""The courier's core by itself: its table, enrolment, renewal, silence, notices."""

import random

import pytest

from flopgate_agent.courier.actions import (
    Action,
    CloseStream,
    Enroll,
    Loss,
    Note,
    Now,
    OpenStream,
    ToGate,
    Validity,
    Write,
)
from flopgate_agent.courier.backoff import BASE_MS, Backoff
from flopgate_agent.courier.core import ENROLMENT_WAIT_MS, CarrierCore, State
from flopgate_proto.errors import MisuseError
from flopgate_proto.v1 import flopgate_pb2 as pb

SPKI = b"courier key"
HOST = bytes(32)
WALL = 1_800_000_000_000
HOUR_MS = 3_600_000
FRESH = Validity(not_before_unix_ms=WALL, not_after_unix_ms=WALL + 30 * HOUR_MS)
ENDING = Validity(not_before_unix_ms=WALL - 3 * HOUR_MS, not_after_unix_ms=WALL + HOUR_MS)
OVER = Validity(not_before_unix_ms=WALL - 2, not_after_unix_ms=WALL - 1)
REPLY = pb.EnrollReply(courier_certificates=[b"certificate"])


def at(mono_ms: int) -> Now:
    return Now(mono_ms=mono_ms, wall_unix_ms=WALL + mono_ms)


def make(certificate: Validity | None) -> CarrierCore:
    return CarrierCore(
        authority="home",
        courier_spki=SPKI,
        certificate=certificate,
        queue_bytes_max=10_000,
        answer_timeout_ms=30_000,
        backoff_ms_max=10_000,
        source=random.Random(1),
    )


def state(core: CarrierCore) -> State:
    return core.state


def snapshot(host_id: bytes = HOST, sequence: int = 0) -> pb.FromGate:
    return pb.FromGate(snapshot=pb.Snapshot(host_id=host_id, sequence=sequence))


def enrolment(authority: str = "home", spki: bytes = SPKI) -> pb.FromGate:
    statement = pb.Enrolment(authority=authority, courier_spki=spki)
    envelope = pb.Envelope(payload=statement.SerializeToString())
    return pb.FromGate(enrolment=pb.Enrollable(enrolment=envelope))


def report(sequence: int) -> pb.FromGate:
    envelope = pb.Envelope(payload=pb.Report(sequence=sequence).SerializeToString())
    return pb.FromGate(report=pb.SignedReport(envelope=envelope))


def linked(certificate: Validity = FRESH) -> CarrierCore:
    core = make(certificate)
    core.door_opened(at(0))
    core.from_gate(snapshot(), at(0))
    core.stream_opened(at(0))
    return core


def hellos(actions: list[Action]) -> int:
    return sum(isinstance(one, ToGate) and one.message.HasField("hello") for one in actions)


def resends(actions: list[Action]) -> list[int]:
    return [
        one.message.resend.from_sequence
        for one in actions
        if isinstance(one, ToGate) and one.message.HasField("resend")
    ]


def kinds(actions: list[Action]) -> list[type[Action]]:
    return [type(one) for one in actions]


def test_first_contact_goes_through_enrolment_to_the_link() -> None:
    core = make(None)
    said = core.door_opened(at(0))
    assert said == [ToGate(pb.ToGate(hello=pb.CourierHello(authority="home", courier_spki=SPKI)))]
    assert core.from_gate(snapshot(), at(1)) == []
    assert state(core) is State.ENROLLING
    (enroll,) = core.from_gate(enrolment(), at(2))
    assert isinstance(enroll, Enroll)
    actions = core.enrolled(REPLY, FRESH, at(3))
    assert kinds(actions) == [ToGate, OpenStream]  # the gate learns first that it is admitted
    assert actions[1] == OpenStream(pb.LinkUp(hello=pb.Hello(host_ids=[HOST])))
    assert resends(core.stream_opened(at(4))) == [0]
    assert state(core) is State.LINKED


def test_with_a_certificate_it_links_at_once() -> None:
    core = make(FRESH)
    assert hellos(core.door_opened(at(0))) == 1
    assert kinds(core.from_gate(snapshot(), at(1))) == [OpenStream]
    assert state(core) is State.CONNECTING


def test_on_each_stream_what_the_host_holds_is_handed_back_once() -> None:
    core = make(FRESH)
    core.door_opened(at(0))
    core.from_gate(snapshot(), at(1))
    asks = ToGate(pb.ToGate(ask_held_orders=pb.AskHeldOrders(authority="home")))
    assert asks in core.stream_opened(at(2))
    orders = [pb.SignedOrder(envelope=pb.Envelope(payload=b"a pause"))]
    held = pb.FromGate(held_orders=pb.HeldOrders(authority="home", orders=orders))
    assert kinds(core.from_gate(held, at(3))) == [Write]
    assert core.next_up(at(4)) == pb.LinkUp(held_orders=orders)
    assert core.next_up(at(5)) is None
    others = pb.FromGate(held_orders=pb.HeldOrders(authority="other", orders=orders))
    assert core.from_gate(others, at(6)) == []
    none = pb.FromGate(held_orders=pb.HeldOrders(authority="home"))
    assert core.from_gate(none, at(7)) == []
    core.from_gate(held, at(8))
    core.stream_lost(Loss.UNREACHABLE, "cut", at(9))
    assert core.next_up(at(10)) is None, "the next stream asks again"


def test_an_expired_certificate_is_as_good_as_none() -> None:
    core = make(OVER)
    core.door_opened(at(0))
    assert core.from_gate(snapshot(), at(1)) == []
    assert state(core) is State.ENROLLING


def test_a_new_certificate_that_is_over_already_does_not_spin() -> None:
    core = make(None)
    core.door_opened(at(0))
    core.from_gate(snapshot(), at(1))
    core.from_gate(enrolment(), at(2))
    assert kinds(core.enrolled(REPLY, OVER, at(3))) == [ToGate, Note]
    assert state(core) is State.BACKING_OFF
    assert (core.get_timer() or 0) > 3


def test_what_the_gate_signs_for_others_is_not_carried() -> None:
    core = make(None)
    core.door_opened(at(0))
    assert core.from_gate(enrolment(authority="other"), at(1)) == []
    assert core.from_gate(enrolment(spki=b"another courier"), at(1)) == []


def test_one_enrolment_at_a_time() -> None:
    core = make(None)
    core.door_opened(at(0))
    assert kinds(core.from_gate(enrolment(), at(1))) == [Enroll]
    assert core.from_gate(enrolment(), at(1)) == []


def test_a_gate_that_signs_no_enrolment_is_asked_again() -> None:
    core = make(None)
    core.door_opened(at(0))
    core.from_gate(snapshot(), at(1))
    assert core.get_timer() == ENROLMENT_WAIT_MS
    assert hellos(core.handle_timer(at(ENROLMENT_WAIT_MS - 1))) == 0
    assert hellos(core.handle_timer(at(ENROLMENT_WAIT_MS))) == 1


def test_a_failed_enrolment_is_tried_again_with_a_new_statement() -> None:
    core = make(None)
    core.door_opened(at(0))
    core.from_gate(snapshot(), at(1))
    core.from_gate(enrolment(), at(2))
    core.enrol_failed("no", at(3))
    assert state(core) is State.BACKING_OFF
    due_ms = core.get_timer()
    assert due_ms is not None
    assert 3 < due_ms <= 3 + BASE_MS
    assert hellos(core.handle_timer(at(due_ms))) == 1
    assert state(core) is State.ENROLLING
    assert kinds(core.from_gate(enrolment(), at(due_ms))) == [Enroll]


def test_a_certificate_in_its_last_third_is_renewed_beside_the_link() -> None:
    core = linked(ENDING)
    assert state(core) is State.LINKED
    assert kinds(core.from_gate(enrolment(), at(1))) == [Enroll]
    assert state(core) is State.LINKED
    assert kinds(core.enrolled(REPLY, FRESH, at(2))) == [ToGate, CloseStream, OpenStream]
    assert state(core) is State.CONNECTING


def test_renewal_is_asked_for_when_its_time_comes() -> None:
    core = linked(FRESH)
    asked_at_ms = 0
    now_ms = 0
    while not asked_at_ms:
        due_ms = core.get_timer()
        assert due_ms is not None
        now_ms = max(due_ms, now_ms + 1)
        if hellos(core.handle_timer(at(now_ms))):
            asked_at_ms = now_ms
    assert 20 * HOUR_MS <= asked_at_ms <= 21 * HOUR_MS  # 30 hours, less a third, hourly checks
    assert state(core) is State.LINKED


def test_a_short_certificate_is_looked_at_in_time() -> None:
    core = make(None)
    core.door_opened(at(0))
    core.from_gate(snapshot(), at(0))
    core.from_gate(enrolment(), at(0))
    short = Validity(not_before_unix_ms=WALL, not_after_unix_ms=WALL + 300_000)
    core.enrolled(REPLY, short, at(0))
    core.stream_opened(at(0))
    assert core.get_timer() == 200_000
    assert hellos(core.handle_timer(at(200_000))) == 1


def test_a_fresh_certificate_does_not_break_the_link() -> None:
    core = linked(FRESH)
    core.from_gate(enrolment(), at(1))
    assert kinds(core.enrolled(REPLY, FRESH, at(2))) == [ToGate]
    assert state(core) is State.LINKED


def test_a_refused_certificate_is_renewed_before_the_next_attempt() -> None:
    core = linked(FRESH)
    actions = core.stream_lost(Loss.REFUSED, "who are you", at(5))
    assert kinds(actions) == [Note, CloseStream]
    due_ms = core.get_timer()
    assert due_ms is not None
    assert hellos(core.handle_timer(at(due_ms))) == 1
    assert state(core) is State.ENROLLING


def test_attempts_are_spaced_by_growing_bounds_until_an_answer_comes() -> None:
    core = linked()
    bounds = []
    now_ms = 0
    for _ in range(40):
        core.stream_lost(Loss.UNREACHABLE, "gone", at(now_ms))
        assert state(core) is State.BACKING_OFF
        due_ms = core.get_timer()
        assert due_ms is not None
        assert 0 < due_ms - now_ms <= 10_000
        bounds.append(due_ms - now_ms)
        now_ms = due_ms
        assert OpenStream in kinds(core.handle_timer(at(now_ms)))
        core.stream_opened(at(now_ms))  # a stream alone proves nothing
    assert max(bounds[-30:]) > 4 * BASE_MS
    core.from_authority(pb.LinkDown(), at(now_ms))
    core.stream_lost(Loss.UNREACHABLE, "gone", at(now_ms))
    due_ms = core.get_timer()
    assert due_ms is not None
    assert due_ms - now_ms <= BASE_MS


def test_silence_after_a_report_ends_the_stream() -> None:
    core = linked()
    assert Write in kinds(core.from_gate(report(1), at(1)))
    assert core.next_up(at(10)) is not None
    assert core.handle_timer(at(30_009)) == []
    assert kinds(core.handle_timer(at(30_010))) == [Note, CloseStream]
    assert state(core) is State.BACKING_OFF


def test_an_answer_ends_the_waiting() -> None:
    core = linked()
    core.from_gate(report(1), at(1))
    core.next_up(at(10))
    batch = pb.AnswerBatch(batch_root=pb.Envelope(payload=b"root"))
    order = pb.SignedOrder(envelope=pb.Envelope(payload=b"x"))
    actions = core.from_authority(pb.LinkDown(batches=[batch], orders=[order]), at(20))
    assert actions == [ToGate(pb.ToGate(answers=batch)), ToGate(pb.ToGate(order=order))]
    core.handle_timer(at(40_000))
    assert state(core) is State.LINKED


def test_a_notice_asks_the_gate_and_is_logged() -> None:
    core = linked()
    notice = pb.Notice(host_id=HOST, reason="history.gap", detail="x" * 9999, expected_sequence=4)
    actions = core.from_authority(pb.LinkDown(notices=[notice]), at(5000))
    assert resends(actions) == [4]
    (note,) = [one for one in actions if isinstance(one, Note)]
    assert note.code == "history.gap"
    assert len(note.detail) < 300


def test_a_notice_about_another_host_asks_nothing() -> None:
    core = linked()
    notice = pb.Notice(host_id=b"other", reason="history.gap", expected_sequence=4)
    assert resends(core.from_authority(pb.LinkDown(notices=[notice]), at(5000))) == []


def test_who_is_held_back_sends_nothing_until_its_time_not_on_a_new_stream_either() -> None:
    core = linked()
    core.from_gate(report(1), at(1))
    notice = pb.Notice(host_id=HOST, expected_sequence=4, retry_after_ms=60_000)
    assert kinds(core.from_authority(pb.LinkDown(notices=[notice]), at(5000))) == [Note]
    assert Write not in kinds(core.from_gate(report(4), at(6000)))
    core.stream_lost(Loss.UNREACHABLE, "gone", at(7000))
    core.handle_timer(at(20_000))
    assert resends(core.stream_opened(at(20_000))) == []
    assert Write not in kinds(core.from_gate(report(4), at(20_001)))
    assert core.next_up(at(64_999)) is None
    assert core.get_timer() == 65_000
    assert resends(core.handle_timer(at(64_999))) == []
    assert resends(core.handle_timer(at(65_000))) == [0]
    assert Write in kinds(core.from_gate(report(4), at(65_001)))


def test_a_notice_that_holds_another_host_back_holds_nothing() -> None:
    core = linked()
    notice = pb.Notice(host_id=b"other", expected_sequence=4, retry_after_ms=60_000)
    core.from_authority(pb.LinkDown(notices=[notice]), at(5000))
    assert Write in kinds(core.from_gate(report(1), at(5001)))


def test_a_lost_gate_ends_everything_and_the_next_starts_afresh() -> None:
    core = linked()
    core.from_gate(report(1), at(1))
    assert core.door_lost() == [CloseStream()]
    assert state(core) is State.DISCONNECTED
    assert core.flow.held_bytes == 0
    assert core.get_timer() is None
    core.door_opened(at(10))
    assert state(core) is State.DISCONNECTED
    assert kinds(core.from_gate(snapshot(), at(11))) == [OpenStream]


def test_another_host_behind_the_door_is_announced_anew() -> None:
    core = linked()
    actions = core.from_gate(snapshot(b"another host"), at(5))
    hello = pb.LinkUp(hello=pb.Hello(host_ids=[b"another host"]))
    assert actions == [CloseStream(), OpenStream(hello)]


def test_reports_before_the_link_are_left_to_the_ledger() -> None:
    core = make(FRESH)
    core.door_opened(at(0))
    core.from_gate(snapshot(), at(0))
    assert core.from_gate(report(1), at(1)) == []
    assert core.flow.held_bytes == 0


def test_an_event_that_the_table_lacks_is_our_error() -> None:
    with pytest.raises(MisuseError) as caught:
        make(FRESH).stream_opened(at(0))
    assert caught.value.code == "courier.state"


def test_backoff_stays_in_its_bounds_and_uses_their_width() -> None:
    backoff = Backoff(1000, random.Random(7))
    waits = [backoff.next_ms() for _ in range(300)]
    assert waits[0] <= BASE_MS
    assert min(waits) >= 1
    assert max(waits) <= 1000
    assert min(waits[10:]) < 200  # full jitter: also short waits, so that couriers spread
    assert max(waits[10:]) > 800
    backoff.reset()
    assert backoff.next_ms() <= BASE_MS
