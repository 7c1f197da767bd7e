"""Laws 3 and 4: one head of a fork is adopted, a chain is closed, FLOP are relieved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flopgate_governor.core.facts import Totals
from flopgate_governor.joining.tokens import write_token
from flopgate_governor.store import budgets
from flopgate_proto.errors import HistoryError, PeerError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Adoption, Ceiling, ChipIdentity, Closure, Policy, Relief
from tests.support.governor import AUTHORITY, FakeHost, LocalGovernor, cluster_policy
from tests.support.governor_steps import evidence

DAY_MS = 86_400_000
CLUSTER = "cluster:c1"
CAP = 10**9
SIGNED: dict[str, Any] = {"authority": AUTHORITY, "nonce": bytes(16), "reason": "looked into"}


@pytest.fixture
def governor_policy() -> Policy:
    return cluster_policy(CAP)


@pytest.fixture
def host(governor: LocalGovernor) -> FakeHost:
    """Covered, enrolled, and granted some headroom that it did not use up."""
    host = FakeHost(1)
    governor.enroll(host, governor.token(capacity_tflop_per_s=2_000_000))
    host.accept(governor.send(host.report(1_000)))
    host.accept(governor.send(host.report(1_000, spend_tflop=600)))
    return host


def totals(governor: LocalGovernor) -> Totals:
    with governor.state.store.transaction() as connection:
        return budgets.load_books(connection, [CLUSTER]).of(CLUSTER)


def reason(governor: LocalGovernor, host: FakeHost) -> str:
    with governor.state.store.transaction() as connection:
        rows = connection.exec_driver_sql(
            "SELECT refused_reason FROM host WHERE host_id=?", (host.host_id,)
        )
        return str(rows.scalar_one())


def notices(reply: pb.LinkDown) -> list[str]:
    return [notice.reason for notice in reply.notices]


def forked(governor: LocalGovernor, host: FakeHost) -> FakeHost:
    """A copy of the host's disk reports otherwise than the host did."""
    copy = replace(host)
    copy.head = host.head
    host.accept(governor.send(host.report(1_000, spend_tflop=100)))
    copy.unaccounted_tflop = 70
    copy.run_nonce = bytes([9] * 16)
    assert notices(governor.send(copy.report())) == ["report.forked"]
    return copy


def granted(host: FakeHost) -> bool:
    """Whether the newest report was answered by a grant."""
    if host.last is None or host.last.answer.acknowledged_sequence != host.sequence:
        return False
    return all(isinstance(one.outcome, Ceiling) for one in host.last.answer.verdicts)


def adopt(host: FakeHost) -> Adoption:
    return Adoption(host_id=host.host_id, sequence=host.sequence, head=host.head, **SIGNED)


def test_law_4_the_head_on_record_is_adopted_and_the_rest_is_spent(
    governor: LocalGovernor, host: FakeHost
) -> None:
    forked(governor, host)
    before = totals(governor)
    assert before.outstanding_tflop > 0
    governor.order(adopt(host))
    after = totals(governor)
    assert after.outstanding_tflop == 0
    assert after.settled_tflop == before.settled_tflop + before.outstanding_tflop
    # The copy computed too: what it charged of its own counts, though its history is given up.
    assert after.unaccounted_tflop == before.unaccounted_tflop + 70
    host.accept(governor.send(host.report(1_000)))
    assert granted(host)
    assert not reason(governor, host)


def test_law_4_the_other_head_is_adopted_and_costs_what_both_did(
    governor: LocalGovernor, host: FakeHost
) -> None:
    copy = forked(governor, host)
    before = totals(governor)
    governor.order(adopt(copy))
    after = totals(governor)
    # The copy charged 70 of its own; neither history takes the place of the other in the books.
    assert after.used_tflop == before.used_tflop + 70
    assert after.outstanding_tflop == 0
    governor.reopen()
    copy.accept(governor.send(copy.report(1_000)))
    copy.accept(governor.send(copy.report(1_000)))
    assert granted(copy)
    old = host.last_report
    assert old is not None
    # The history that was given up is no more, and stays as evidence.
    assert "report.before-enrolment" in notices(governor.send(old))
    assert {"report.forked", "chain.given-up"} <= set(evidence(governor))


def test_law_2_no_adoption_gives_headroom_back(governor: LocalGovernor, host: FakeHost) -> None:
    """What the given-up history held stays counted, whatever the adopted one says."""
    copy = forked(governor, host)
    used = totals(governor).used_tflop
    governor.order(adopt(copy))
    assert totals(governor).used_tflop >= used
    copy.accept(governor.send(copy.report(1_000)))
    copy.accept(governor.send(copy.report(1_000)))
    assert granted(copy)
    settled = totals(governor).settled_tflop
    copy.accept(governor.send(copy.report(spend_tflop=50)))
    assert totals(governor).settled_tflop == settled + 50


def test_an_unknown_head_is_not_adopted(governor: LocalGovernor, host: FakeHost) -> None:
    copy = forked(governor, host)
    copy.report()
    with pytest.raises(HistoryError, match=r"adoption\.head"):
        governor.order(adopt(copy))


def test_an_open_chain_needs_no_adoption(governor: LocalGovernor, host: FakeHost) -> None:
    with pytest.raises(HistoryError, match=r"adoption\.not-closed"):
        governor.order(adopt(host))


def test_law_3_a_closed_chain_is_spent_and_its_silence_charged(
    governor: LocalGovernor, host: FakeHost
) -> None:
    before = totals(governor)
    governor.clock.unix_ms += 100_000
    governor.order(Closure(host_id=host.host_id, **SIGNED))
    after = totals(governor)
    assert after.outstanding_tflop == 0
    assert after.settled_tflop == before.settled_tflop + before.outstanding_tflop
    # An H100 for 100 seconds, at its dense 16-bit rate.
    assert after.unaccounted_tflop - before.unaccounted_tflop > 90_000
    assert notices(governor.send(host.report(1_000))) == ["report.after-closure"]
    assert reason(governor, host) == "host.closed"
    with pytest.raises(HistoryError, match=r"closure\.ended"):
        governor.order(Closure(host_id=host.host_id, **{**SIGNED, "nonce": bytes([1] * 16)}))


def test_chips_of_a_closed_chain_are_enrolled_anew(governor: LocalGovernor, host: FakeHost) -> None:
    again = anew(host)
    token = governor.token()
    with pytest.raises(HistoryError, match=r"enrolment\.chip-known"):
        governor.enroll(again, token)
    governor.order(Closure(host_id=host.host_id, **SIGNED))
    governor.enroll(again, token)
    again.accept(governor.send(again.report(1_000)))
    assert granted(again)
    with pytest.raises(HistoryError, match=r"enrolment\.retired"):
        governor.enroll(host, token)


class Reimaged(FakeHost):
    """The same chips under another key."""

    def __post_init__(self) -> None:
        super().__post_init__()
        other = FakeHost(self.number + 500)
        self.key, self.host_id, self.head = other.key, other.host_id, other.host_id


class Mixed(Reimaged):
    """A chip with the UUID of one and the board of another."""

    board = ""

    def identities(self) -> tuple[ChipIdentity, ...]:
        return tuple(replace(one, serial=self.board) for one in super().identities())


def anew(host: FakeHost) -> FakeHost:
    return Reimaged(host.number)


def automatic(governor: LocalGovernor, most: int) -> None:
    governor.order(replace(cluster_policy(CAP, 2), closures_max=most, closures_span_ms=7 * DAY_MS))


def test_law_4_a_lost_ledger_closes_its_old_chain_by_itself_up_to_a_rate(
    governor: LocalGovernor,
) -> None:
    automatic(governor, 1)
    token = governor.token(capacity_tflop_per_s=2_000_000)
    first, second = FakeHost(1), FakeHost(2)
    for one in (first, second):
        governor.enroll(one, token)
        one.accept(governor.send(one.report(1_000)))
    outstanding = totals(governor).outstanding_tflop
    governor.enroll(anew(first), token)
    assert reason(governor, first) == "host.closed"
    # Its ceiling is spent: losing a ledger never pays.
    assert totals(governor).settled_tflop == outstanding // 2
    with pytest.raises(HistoryError, match=r"enrolment\.chip-known"):
        governor.enroll(anew(second), token)
    governor.clock.unix_ms += 8 * DAY_MS
    governor.enroll(anew(second), governor.token())


def test_law_3_no_chip_is_left_behind_by_enrolling_some_of_them_anew(
    governor: LocalGovernor,
) -> None:
    automatic(governor, 5)
    token = governor.token(capacity_tflop_per_s=2_000_000)
    host = FakeHost(1, chips=8)
    governor.enroll(host, token)
    with pytest.raises(HistoryError, match=r"enrolment\.chip-known"):
        governor.enroll(Reimaged(1, chips=7), token)
    assert not reason(governor, host)
    governor.enroll(Reimaged(1, chips=8), token)
    assert reason(governor, host) == "host.closed"


@pytest.mark.parametrize("place", ["site", "jurisdiction", "cluster", "custodian"])
def test_law_6_no_host_leaves_a_pause_by_enrolling_its_chips_elsewhere(
    governor: LocalGovernor, place: str
) -> None:
    automatic(governor, 9)
    token = governor.token(hosts=9, capacity_tflop_per_s=2_000_000)
    host = FakeHost(1)
    governor.enroll(host, token)
    other: dict[str, Any] = {place: "elsewhere", "token_id": bytes([77]) * 16}
    elsewhere = replace(token, **other)
    with governor.state.store.transaction() as connection:
        write_token(connection, elsewhere)
    with pytest.raises(HistoryError, match=r"enrolment\.chip-known"):
        governor.enroll(anew(host), elsewhere)
    assert not reason(governor, host)
    governor.enroll(anew(host), token)
    assert reason(governor, host) == "host.closed"


def test_a_board_of_another_host_does_not_come_in_by_the_uuid_of_a_closed_one(
    governor: LocalGovernor,
) -> None:
    """Its UUID leads to the host whose chain may end by itself, its serial to one that lives."""
    automatic(governor, 9)
    token = governor.token(capacity_tflop_per_s=2_000_000)
    gone, lives = FakeHost(1), FakeHost(2, chips=2)
    governor.enroll(gone, token)
    governor.enroll(lives, token)
    mixed = Mixed(gone.number)
    mixed.board = lives.identities()[0].serial
    with pytest.raises(HistoryError, match=r"enrolment\.chip-known"):
        governor.enroll(mixed, token)
    assert not reason(governor, gone)


def test_law_4_evidence_is_not_shed_by_enrolling_anew(
    governor: LocalGovernor, host: FakeHost
) -> None:
    automatic(governor, 5)
    forked(governor, host)
    with pytest.raises(HistoryError, match=r"enrolment\.chip-known"):
        governor.enroll(anew(host), governor.token())


def relief(host: FakeHost, amount_tflop: int, number: int = 0) -> Relief:
    fields = {**SIGNED, "nonce": bytes([number] * 16)}
    return Relief(
        host_id=host.host_id,
        workload=host.workload,
        amount_tflop=amount_tflop,
        evidence_digest=bytes(32),
        **fields,
    )


def test_law_3_a_relief_takes_off_what_a_lane_holds_and_no_more(
    governor: LocalGovernor, host: FakeHost
) -> None:
    host.unaccounted_tflop += 500
    host.accept(governor.send(host.report(1_000)))
    assert totals(governor).unaccounted_tflop == 500
    governor.order(relief(host, 300))
    assert totals(governor).unaccounted_tflop == 200
    governor.reopen()
    with pytest.raises(HistoryError, match=r"relief\.amount"):
        governor.order(relief(host, 201, 1))
    governor.order(relief(host, 200, 2))
    assert totals(governor).unaccounted_tflop == 0
    # The host's own book goes on as it was.
    host.unaccounted_tflop += 5
    host.accept(governor.send(host.report(1_000)))
    assert totals(governor).unaccounted_tflop == 5


def test_rulings_wait_as_everything_that_loosens(governor: LocalGovernor, host: FakeHost) -> None:
    governor.order(replace(cluster_policy(CAP, 2), loosening_delay_ms=DAY_MS))
    host.unaccounted_tflop += 500
    host.accept(governor.send(host.report(1_000)))
    governor.order(relief(host, 300))
    assert totals(governor).unaccounted_tflop == 500
    governor.clock.unix_ms += DAY_MS
    governor.reopen()
    host.accept(governor.send(host.report(1_000)))
    assert totals(governor).unaccounted_tflop == 500, "a host may hold a veto that a backup lacks"
    governor.clock.unix_ms += cluster_policy(CAP).lifetime_ms
    host.accept(governor.send(host.report(1_000)))
    assert totals(governor).unaccounted_tflop == 200
    # Once, however often the governor starts.
    governor.reopen()
    host.accept(governor.send(host.report(1_000)))
    assert totals(governor).unaccounted_tflop == 200


def test_a_ruling_that_can_no_longer_take_effect_falls(
    governor: LocalGovernor, host: FakeHost
) -> None:
    governor.order(replace(cluster_policy(CAP, 2), loosening_delay_ms=DAY_MS))
    host.unaccounted_tflop += 500
    host.accept(governor.send(host.report(1_000)))
    governor.order(relief(host, 400))
    governor.order(relief(host, 300, 1))
    governor.clock.unix_ms += DAY_MS
    host.accept(governor.send(host.report(1_000)))
    assert totals(governor).unaccounted_tflop == 100
    assert [one.code for one in governor.state.book.orders.fallen] == ["relief.amount"]


@pytest.mark.parametrize("amount_tflop", [0, COUNT_MAX + 1])
def test_a_relief_of_an_amount_that_is_none_is_refused(
    governor: LocalGovernor, host: FakeHost, amount_tflop: int
) -> None:
    with pytest.raises((PeerError, ValueError)):
        governor.order(relief(host, amount_tflop))


def test_a_ruling_on_a_host_that_is_not_known_is_refused(governor: LocalGovernor) -> None:
    with pytest.raises(HistoryError, match=r"ruling\.host-unknown"):
        governor.order(Closure(host_id=bytes(32), **SIGNED))


def test_a_ruling_that_fell_stays_fallen_when_the_governor_starts_anew(
    governor: LocalGovernor, host: FakeHost
) -> None:
    governor.order(replace(cluster_policy(CAP, 2), loosening_delay_ms=DAY_MS))
    host.unaccounted_tflop += 500
    host.accept(governor.send(host.report(1_000)))
    governor.order(relief(host, 300, 1))
    governor.order(relief(host, 300, 2))
    governor.clock.unix_ms += DAY_MS
    host.accept(governor.send(host.report(1_000)))
    assert [fallen.code for fallen in governor.state.book.orders.fallen] == ["relief.amount"]
    # What it was signed for is there again.
    host.unaccounted_tflop += 500
    host.accept(governor.send(host.report(1_000)))
    governor.reopen()
    host.accept(governor.send(host.report(1_000)))
    assert totals(governor).unaccounted_tflop == 700
