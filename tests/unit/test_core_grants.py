"""Laws 2 and 5: which grants stay outstanding, what is drawn of reserves, what a start loses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_agent.gate.authorities.license import LicenseDesk, Share, Standing
from flopgate_governor.core import account
from flopgate_governor.core.facts import Grant, LaneFacts, Licensed
from flopgate_proto.values import SingleUse
from tests.support.governor import FakeHost

OLD = Grant(
    request_digest=bytes(32),
    sequence=1,
    made_ms=1_000,
    run_nonce=bytes(16),
    lifetime_ms=500,
    held_tflop=300,
    governor_unix_ms=9_000,
)


@pytest.mark.parametrize(
    ("newer", "left"),
    [
        ({}, 1),
        ({"run_nonce": b"\x01" * 16}, 2),
        ({"held_tflop": 299}, 2),
        ({"made_ms": 999}, 2),
        ({"governor_unix_ms": 8_999}, 2),
    ],
    ids=["as much", "another run", "a lower ceiling", "over sooner here", "over sooner there"],
)
def test_law_2_a_grant_is_forgotten_where_another_covers_it_in_every_way(
    newer: dict[str, bytes | int], left: int
) -> None:
    new = replace(OLD, sequence=2, **newer)  # type: ignore[arg-type]
    lane = account.give(LaneFacts(workload="w1", grants=(OLD,)), new)
    assert len(lane.grants) == left
    assert lane.grants[-1] == new


def reserve(sequence: int) -> Grant:
    told = Licensed(told_tflop=45, not_after_unix_ms=0, single_use=SingleUse.TPM, reserve=True)
    return replace(OLD, sequence=sequence, held_tflop=50, license=told)


def test_law_5_what_lies_above_every_ceiling_is_drawn_of_the_oldest_reserve_first() -> None:
    (lane,) = FakeHost(1, allotted_tflop=170).value().lanes
    before = LaneFacts(workload=lane.workload, allotted_tflop=100, grants=(reserve(1), reserve(2)))
    after = account.write_books(before, lane)
    assert [(grant.sequence, grant.held_tflop) for grant in after.grants] == [(1, 0), (2, 30)]
    assert [grant.license and grant.license.told_tflop for grant in after.grants] == [0, 25]
    assert after.ungranted_tflop == 0


def test_law_5_what_was_reserved_and_is_in_no_report_is_lost_at_a_start() -> None:
    desk = LicenseDesk(Standing(shares={"w1": Share(end_tflop=100, reserved_tflop=60)}))
    desk.resume({"w1": 20}, None, 0)
    assert desk.bound_tflop("w1", reserved=False) == 60


def test_law_5_no_license_of_before_a_floor_comes_back_by_a_lower_one() -> None:
    standing = Standing(floor=9)
    assert standing.none("license.used-up", 4).floor == 9
    assert standing.returned(4).floor == 9
    assert standing.returned(11).floor == 11
