"""A host that adds more to the store than its allowance waits; nobody else does."""

from dataclasses import replace

import pytest

from flopgate_governor.additions import new_names
from flopgate_governor.commands.status import lines_of
from flopgate_governor.core.allowance import (
    INTERVAL_MS_MAX,
    WORKLOADS_OF_HOST_MAX,
    Allowance,
    interval_ms,
)
from flopgate_governor.core.facts import LaneFacts
from flopgate_governor.service.overview import overview
from flopgate_proto.amounts import span_text
from flopgate_proto.errors import OversizedError, StorageError
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.governor import POLICY, FakeHost, LocalGovernor, answers, joined
from tests.support.governor_licenses import carry
from tests.support.governor_steps import retirement

SMALL = Allowance(interval_bytes=8_192, burst_bytes=16_384)
"""Some 7 reports at once, and 3 in each interval."""


@pytest.fixture
def host(governor: LocalGovernor) -> FakeHost:
    governor.state.volumes.allowance = SMALL
    return joined(governor, 2)[0]


def until_held(governor: LocalGovernor, host: FakeHost) -> tuple[int, pb.Notice]:
    """Reports until one is refused: how many were taken, and the notice."""
    for taken in range(100):
        down = governor.send(host.report())
        if down.notices:
            (notice,) = down.notices
            return taken, notice
    raise AssertionError


def test_it_is_told_when_to_come_again_and_loses_nothing(
    governor: LocalGovernor, host: FakeHost
) -> None:
    taken, notice = until_held(governor, host)
    assert 5 <= taken <= 9
    assert (notice.reason, notice.host_id) == ("host.held-back", host.host_id)
    assert notice.expected_sequence == taken + 1
    assert POLICY.renew_after_ms < notice.retry_after_ms <= 2 * POLICY.renew_after_ms
    refused = host.last_report
    assert refused is not None
    governor.clock.unix_ms += notice.retry_after_ms
    (answer,) = answers(governor.send(refused))
    assert answer.answer.acknowledged_sequence == taken + 1


def test_of_one_message_only_the_first_is_told(governor: LocalGovernor, host: FakeHost) -> None:
    down = governor.send(*[host.report() for _ in range(60)], host_id=host.host_id)
    (notice,) = down.notices
    assert notice.reason == "host.held-back"
    assert len(answers(down)) == notice.expected_sequence - 1
    assert governor.count("report") == len(answers(down))


def test_what_is_on_record_is_answered_all_the_same(
    governor: LocalGovernor, host: FakeHost
) -> None:
    first = host.report()
    governor.send(first)
    until_held(governor, host)
    (answer,) = answers(governor.send(first))
    assert answer.answer.acknowledged_sequence == 1


def test_nobody_else_waits_not_in_the_same_message_either(
    governor: LocalGovernor, host: FakeHost
) -> None:
    until_held(governor, host)
    (other,) = joined(governor, 3)[2:]
    down = governor.send(host.report(), other.report(), host.report(), other.report())
    assert [answer.answer.host_id for answer in answers(down)] == [other.host_id] * 2
    assert [notice.host_id for notice in down.notices] == [host.host_id]


def test_what_officers_bring_and_a_last_report_are_taken(
    governor: LocalGovernor, host: FakeHost
) -> None:
    _, notice = until_held(governor, host)
    carried = host.last_report
    assert carried is not None
    (answer,) = answers(carry(governor, carried))
    assert answer.answer.acknowledged_sequence == notice.expected_sequence
    (answer,) = answers(governor.send(retirement(host)))
    assert answer.answer.acknowledged_sequence == notice.expected_sequence + 1


def test_what_officers_bring_costs_the_host_nothing(
    governor: LocalGovernor, host: FakeHost
) -> None:
    carry(governor, *[host.report() for _ in range(40)])
    assert not governor.send(host.report()).notices


def test_only_what_is_durable_is_charged(governor: LocalGovernor, host: FakeHost) -> None:
    reports = [host.report() for _ in range(4)]
    with governor.state.store.transaction() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON report "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    for _ in range(5):
        with pytest.raises(StorageError):
            governor.send(*reports)
    with governor.state.store.transaction() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    assert len(answers(governor.send(*reports))) == len(reports)


def test_names_that_are_made_up_cost_more(governor: LocalGovernor, host: FakeHost) -> None:
    plain, _ = until_held(governor, host)
    other = joined(governor, 3)[2]
    for taken in range(100):
        other.workload = f"made-up-{taken}"
        other.allotted_tflop = other.unaccounted_tflop = 0
        if governor.send(other.report()).notices:
            break
    assert taken < plain


def test_a_host_names_so_many_workloads_and_no_more(host: FakeHost) -> None:
    (lane,) = host.value().lanes
    known = {f"w-{n}": LaneFacts(workload=f"w-{n}") for n in range(WORKLOADS_OF_HOST_MAX - 1)}
    assert new_names([lane], known) == 1
    assert new_names([replace(lane, workload="w-0")], known) == 0
    with pytest.raises(OversizedError, match=r"report\.workloads"):
        new_names([lane, replace(lane, workload="w2")], known)
    full = known | {lane.workload: LaneFacts(workload=lane.workload)}
    assert new_names([lane], full) == 0


def test_status_names_who_was_held_back(governor: LocalGovernor, host: FakeHost) -> None:
    def told() -> list[str]:
        lines = lines_of(overview(governor.state, ()))
        return [line for line in lines if "held back" in line]

    assert told() == []
    _, notice = until_held(governor, host)
    span = span_text(notice.retry_after_ms // 1000 * 1000)
    of_all, of_it = told()
    assert of_all == f"since the start  hosts held back for {span} together"
    assert f"held back for {span} since the governor started, for another" in of_it
    governor.clock.unix_ms += notice.retry_after_ms
    assert "not now" in told()[1]


def test_the_allowance_comes_with_each_renewal_or_more_often_than_policy_asks() -> None:
    assert interval_ms(None) == INTERVAL_MS_MAX
    assert interval_ms(replace(POLICY, renew_after_ms=500)) == 500
    assert interval_ms(replace(POLICY, renew_after_ms=86_400_000)) == INTERVAL_MS_MAX
