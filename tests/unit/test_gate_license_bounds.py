"""What a gate checks of a license and of an opening, at the edge of each rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.authorities.license import Asked, License, Standing
from flopgate_agent.gate.licenses.checking import (
    LicenseFile,
    check_addressed,
    check_license,
    check_opening,
    corrected_time,
)
from flopgate_agent.gate.memory import StoredAuthority
from flopgate_proto.codec import PayloadType, encode_opening
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import PeerError
from flopgate_proto.orders.held import LatchedPause
from flopgate_proto.values import LicenseTerms, ReserveOpening, SingleUse
from flopgate_proto.values.common import LaneState
from flopgate_proto.values.licenses import LICENSE_STEP_MS
from tests.support import orders
from tests.support.fixed import WORKLOAD
from tests.support.gate_license_rig import (
    HOUR_MS,
    LICENSES,
    OPENERS,
    SPAN_MS,
    LicenseRig,
    approve,
    issue,
    reserve_of,
)

HOME, WORLD = "home.example", "world.example"
APPROVAL = bytes([1]) * 32


@pytest.fixture
def rig(tmp_path: Path) -> LicenseRig:
    return LicenseRig(tmp_path)


def home(rig: LicenseRig) -> Authority:
    return rig.core.authorities[rig.authority.name]


def checked(rig: LicenseRig, found: LicenseFile, **changed: Any) -> License:
    """What is taken of it; a request can be changed."""
    asked = check_addressed(found, home(rig), rig.settings.host_id)
    times = {"running_ms": rig.core.running_ms, "now_ms": rig.now_ms}
    _, license_ = check_license(found, replace(asked, **changed), home(rig), rig.settings, **times)
    return license_


def refusal(check: Callable[[], object]) -> str:
    try:
        check()
    except PeerError as error:
        return error.code
    return ""


def steps(rig: LicenseRig, request: Envelope, step_ms: int, span_ms: int = SPAN_MS) -> LicenseFile:
    approval = approve(request, span_ms=span_ms)
    part = LicenseTerms(approval=approval.digest, step_ms=step_ms, single_use=SingleUse.SOFTWARE)
    return issue(rig.authority, request, approval=approval, terms={"license": part})


# ---------------------------------------------------------------------- a license


def test_a_step_is_longer_than_an_orderly_stop_and_what_leads_to_it(rig: LicenseRig) -> None:
    request, policy, how = rig.request(), home(rig).policy, rig.settings
    assert policy is not None
    assert policy.drain_ms > 0
    least_ms = policy.wind_down_ms + policy.drain_ms + how.enforcement_bound_ms
    least_ms += how.stall_timeout_ms + 16 * how.sample_interval_ms
    assert checked(rig, steps(rig, request, least_ms)).step_ms == least_ms
    shorter = steps(rig, request, least_ms - 1)
    assert refusal(lambda: checked(rig, shorter)) == "license.step"


def test_a_policy_without_steps_allows_those_of_the_default(rig: LicenseRig) -> None:
    policy = home(rig).policy
    assert policy is not None
    home(rig).policy = replace(policy, license_step_ms=0)
    request = rig.request()
    assert checked(rig, steps(rig, request, LICENSE_STEP_MS)).step_ms == LICENSE_STEP_MS
    longer = steps(rig, request, LICENSE_STEP_MS + 1)
    assert refusal(lambda: checked(rig, longer)) == "license.beyond-policy"


@pytest.mark.parametrize(("field", "by"), [("span_ms", SPAN_MS), ("headroom_max_tflop", 10**6)])
@pytest.mark.parametrize("reserve", [False, True])
def test_each_kind_is_held_to_its_own_bounds(
    rig: LicenseRig, field: str, by: int, *, reserve: bool
) -> None:
    policy = home(rig).policy
    assert policy is not None
    mine, other = ("reserve", "license") if reserve else ("license", "reserve")
    bounds: dict[str, Any] = {f"{mine}_{field}": by, f"{other}_{field}": 2 * by}
    home(rig).policy = replace(policy, **bounds)
    request = rig.request(reserve=reserve)
    for most, code in ((by, ""), (by + 1, "license.beyond-policy")):
        approval = (reserve_of if reserve else approve)(request, **{field: most})
        found = issue(rig.authority, request, approval=approval)
        assert refusal(lambda found=found: checked(rig, found)) == code  # type: ignore[misc]


def test_what_was_not_asked_for_counts_from_nothing(rig: LicenseRig) -> None:
    request = rig.request()
    found = issue(rig.authority, request)
    ceiling_tflop = checked(rig, found).ceilings[WORKLOAD]
    approval = approve(request, headroom_max_tflop=ceiling_tflop - 1)
    found = issue(rig.authority, request, approval=approval)
    assert checked(rig, found, allotted={WORKLOAD: 1}).ceilings == {WORKLOAD: ceiling_tflop}
    assert refusal(lambda: checked(rig, found, allotted={})) == "license.beyond-approval"


def test_no_license_exempts_a_host_that_alone_reaches_the_threshold(rig: LicenseRig) -> None:
    policy = home(rig).policy
    assert policy is not None
    found = issue(rig.authority, rig.request(), terms={"exempt": True})
    capacity = rig.settings.capacity_tflop_per_s(policy.capacity_basis)
    for threshold, code in ((capacity, "permit.beyond-policy"), (capacity + 1, "")):
        home(rig).policy = replace(policy, threshold_tflop_per_s=threshold)
        assert refusal(lambda: checked(rig, found)) == code


def test_law_4_a_license_of_another_history_is_none(rig: LicenseRig) -> None:
    found = issue(rig.authority, rig.request())
    number, quote = checked(rig, found).batch_number, home(rig).quote
    home(rig).quote = replace(quote, batch_number=number)
    home(rig).batch_digest = bytes(32)
    assert refusal(lambda: checked(rig, found)) == "answer.equivocation"


def test_a_license_is_installed_once(rig: LicenseRig) -> None:
    found = rig.licensed()
    assert refusal(lambda: checked(rig, found)) == "license.installed"


def test_a_license_that_ends_this_moment_is_past(rig: LicenseRig) -> None:
    request = rig.request()
    rig.run(1_000)
    told = home(rig).told_time
    assert told is not None
    for later_ms, code in ((0, "license.past"), (1, "")):
        end_ms = told.latest_unix_ms(rig.now_ms) + later_ms
        found = issue(rig.authority, request, approval=approve(request, not_after_unix_ms=end_ms))
        assert refusal(lambda found=found: checked(rig, found)) == code  # type: ignore[misc]


def test_a_reserve_whose_ceiling_was_passed_before_adds_nothing(rig: LicenseRig) -> None:
    request = rig.request(reserve=True)
    found = issue(rig.authority, request, approval=reserve_of(request), headroom_tflop=100)
    ceiling_tflop = checked(rig, found, allotted={}).ceilings[WORKLOAD]
    for above_tflop, adds_tflop in ((-40, 40), (0, 0), (7, 0)):
        allotted = {WORKLOAD: ceiling_tflop + above_tflop}
        assert checked(rig, found, allotted=allotted).ceilings[WORKLOAD] == adds_tflop


def test_officers_correct_a_time_from_the_moment_on_that_nothing_could_be_approved() -> None:
    asked = Asked(
        digest=bytes(32),
        sequence=1,
        run_nonce=bytes(16),
        boot_id=bytes(16),
        made_ms=0,
        reserve=False,
        allotted={},
        told_unix_ms=5 * HOUR_MS,
        running_ms=100,
    )
    held = reserve()
    times = {"running_ms": 350, "now_ms": 7}
    later = replace(held, not_after_unix_ms=5 * HOUR_MS + 1)
    assert corrected_time(asked, later, **times) is None
    told = corrected_time(asked, replace(held, not_after_unix_ms=5 * HOUR_MS), **times)
    assert told is not None
    assert told.earliest_unix_ms(7) == told.latest_unix_ms(7) == held.not_before_unix_ms + 250


def test_a_license_is_over_once_its_end_may_have_come_and_nothing_runs(rig: LicenseRig) -> None:
    rig.licensed()
    rig.run_until(LaneState.RUNNING)
    told, held = home(rig).told_time, home(rig).desk.license
    assert told is not None
    assert held is not None
    later_ms = held.not_after_unix_ms - told.latest_unix_ms(rig.now_ms)
    home(rig).told_time = replace(told, latest_after_ms=told.latest_after_ms + later_ms)
    rig.run(30_000)
    assert rig.state is LaneState.HALTED
    standing = home(rig).desk.standing
    assert (standing.license, standing.ended) == (None, "license.expired")


def test_law_5_nothing_goes_back_of_what_still_lets_something_run(rig: LicenseRig) -> None:
    rig.licensed()
    rig.run_until(LaneState.RUNNING)
    rig.run(5_000)
    before = home(rig).desk.standing
    rig.carry_out(rig.core.settle_reserved(rig.now))
    assert home(rig).desk.standing == before


# ---------------------------------------------------------------------- an opening


def reserve() -> License:
    return License(
        request=bytes(32),
        sequence=1,
        approval=APPROVAL,
        batch_number=1,
        span_ms=SPAN_MS,
        step_ms=1,
        wind_down_ms=1,
        exempt=False,
        single_use=SingleUse.SOFTWARE,
        ceilings={WORKLOAD: 1},
        peaks={WORKLOAD: 1},
        not_before_unix_ms=HOUR_MS,
        not_after_unix_ms=2 * HOUR_MS,
        reserve=True,
        opener_spkis=tuple(key.spki for key in OPENERS),
        opener_threshold=2,
    )


def sealed_at(name: str = HOME) -> Authority:
    """An authority that was never heard, whose reserve lies sealed."""
    authority = Authority(StoredAuthority(name=name))
    authority.policy = orders.policy(**LICENSES)
    authority.reserve_desk.become(Standing().installed(reserve()), 0)
    return authority


def opening(openers: int = 2, name: str = HOME, approval: bytes = APPROVAL) -> Envelope:
    statement = ReserveOpening(
        authority=name, approval=approval, nonce=bytes(16), reason="The link is cut."
    )
    return seal(PayloadType.RESERVE_OPENING, encode_opening(statement), OPENERS[:openers])


def opens(
    authority: Authority, *others: Authority, running_ms: int = HOUR_MS, **fields: Any
) -> str:
    """Why not; empty where it does."""
    known = (authority, *others)
    statement = opening(**fields)
    return refusal(lambda: check_opening(statement, authority, known, running_ms=running_ms))


def test_a_reserve_opens_by_its_own_opening_alone() -> None:
    assert opens(sealed_at()) == ""
    assert opens(sealed_at(), openers=1) == "envelope.quorum"
    assert opens(sealed_at(), name=WORLD) == "reserve.approval"
    assert opens(sealed_at(), approval=bytes(32)) == "reserve.approval"


def test_a_reserve_opens_once_every_authority_is_silent_for_long_enough() -> None:
    authority, other = sealed_at(), sealed_at(WORLD)
    for heard in (authority, other):
        heard.heard_running_ms = 5
        assert opens(authority, other, running_ms=HOUR_MS + 4) == "reserve.early"
        assert opens(authority, other, running_ms=HOUR_MS + 5) == ""
        heard.heard_running_ms = None


def test_law_6_a_pause_of_any_authority_that_came_or_is_named_keeps_a_reserve_shut() -> None:
    authority, other = sealed_at(), sealed_at(WORLD)
    pause = orders.pause(lapse_ms=HOUR_MS)
    envelope = orders.sealed_order(pause)
    held = LatchedPause(pause=pause, digest=envelope.digest, envelope=envelope, since_ms=10)
    for paused in (authority, other):
        paused.pauses = (held,)
        assert opens(authority, other, running_ms=HOUR_MS + 9) == "reserve.paused"
        assert opens(authority, other, running_ms=HOUR_MS + 10) == "", "it lapsed"
        paused.pauses = ()
        paused.unseen_pauses = frozenset({bytes(32)})
        assert opens(authority, other) == "reserve.paused"
        paused.unseen_pauses = frozenset()


def test_no_reserve_opens_by_a_policy_that_lets_none() -> None:
    authority = sealed_at()
    authority.policy = orders.policy(**(LICENSES | {"reserve_after_ms": 0}))
    assert opens(authority) == "reserve.none-by-policy"
    authority.policy = None
    assert opens(authority) == "reserve.none-by-policy"
