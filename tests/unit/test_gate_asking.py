"""When a gate asks, and that it says by itself when it wants to be woken for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_proto.codec import decode_report
from flopgate_proto.limits import RENEW_AFTER_MS_MIN
from flopgate_proto.values import LaneState
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import GateRig, cut, running, settings

RETRY_MS = 700


def pressed_and_cut() -> GateRig:
    """A lane that runs, whose ceiling comes near; its request was not answered."""
    authority = GateAuthority()
    # Renewals are far away: nothing but the ceiling makes it ask.
    authority.policy = replace(
        authority.policy, wind_down_ms=60_000, renew_after_ms=300_000, lifetime_ms=900_000
    )
    # Looked at rarely: nothing but the timer wakes it.
    rig = running(authority, base=settings(retry_ms=RETRY_MS, sample_interval_ms=5_000))
    left_tflop = rig.lane.peak_tflop_per_s * 100
    authority.ceiling_tflop = rig.lane.book.allotted_tflop + left_tflop
    rig.core.chain.overdue = True
    next(iter(rig.core.authorities.values())).next_request_ms = 0
    rig.run(5_100)
    rig.network = cut
    return rig.run_until_request()


def test_the_retry_where_a_ceiling_comes_near_needs_no_look() -> None:
    rig = pressed_and_cut()
    assert rig.lane.pressed
    assert rig.state is LaneState.RUNNING
    for _ in range(3):
        (asked_ms,) = {one.asked_ms for one in rig.core.authorities.values()}
        due_ms, before = asked_ms + RETRY_MS, len(rig.reports)
        assert rig.core.get_timer() == due_ms, "renewals are asked for more and more rarely"
        rig.pass_time(due_ms - 1)
        rig.carry_out(rig.core.handle_timer(rig.now))
        assert len(rig.reports) == before
        rig.pass_time(due_ms)
        rig.carry_out(rig.core.handle_timer(rig.now))
        (report,) = rig.reports[before:]
        assert decode_report(report.payload).request is not None


@pytest.mark.parametrize("asks_again", [False, True])
def test_a_request_that_was_answered_is_repeated_only_while_the_ceiling_is_near(
    *, asks_again: bool
) -> None:
    rig = pressed_and_cut()
    if not asks_again:
        rig.authority.ceiling_tflop = None
    rig.answer(rig.authority.answer(rig.reports[-1]))
    asked_ms = next(iter(rig.core.authorities.values())).asked_ms
    assert (rig.core.get_timer() == asked_ms + RETRY_MS) is asks_again


@pytest.mark.parametrize("by_policy", [False, True])
def test_no_signed_span_makes_a_host_ask_without_end(*, by_policy: bool) -> None:
    """Each request is a report on its disk and at every authority, whoever wants it at once."""
    rig = running()
    if by_policy:
        rig.order(rig.authority.policy_order(renew_after_ms=0))
    else:
        rig.authority.terms = {"renew_after_ms": 0}
    rig.run(1_000)
    seen = len(rig.reports)
    rig.run(10_000)
    assert len(rig.reports) - seen <= 10_000 // RENEW_AFTER_MS_MIN
    assert rig.state is LaneState.RUNNING
    rig.network = cut
    seen = len(rig.reports)
    rig.run(10_000)
    assert len(rig.reports) - seen <= 10_000 // RENEW_AFTER_MS_MIN
