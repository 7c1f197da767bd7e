"""The governor's desk for licenses, without a store: what it approves and gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flopgate_governor.core.decide import Standing, held_tflop_per_s, reach_tflop
from flopgate_governor.core.facts import (
    Books,
    ChipPeaks,
    Host,
    HostFacts,
    LaneFacts,
)
from flopgate_governor.core.licenses.approvals import Approved, check_approval
from flopgate_governor.core.licenses.judging import AskedLicense, Decided, answer_to, judge
from flopgate_governor.core.orders import Mandate
from flopgate_proto.errors import HistoryError
from flopgate_proto.limits import PAUSES_MAX
from flopgate_proto.orders.held import LatchedPause
from flopgate_proto.values import (
    CapacityBasis,
    Ceiling,
    LaneRequest,
    LicenseApproval,
    LicenseQuote,
    LicenseState,
    LicenseWish,
    Phase,
    PhaseRule,
    Policy,
    Refusal,
    Request,
    Scope,
    ScopeKind,
    SingleUse,
)
from tests.support.governor import AUTHORITY, FakeHost, signed
from tests.support.governor_licenses import AMPLE, DAY_MS, OPENER, license_policy
from tests.support.governor_steps import pause

UNIX_MS = 1_800_000_000_000
WIND_DOWN_MS, RENEW_MS = 120_000, 300_000
"""Neither is the longer one by accident."""
PEAK_FLOP_PER_S = 10**15
POLICY = replace(
    license_policy(AMPLE),
    wind_down_ms=WIND_DOWN_MS,
    renew_after_ms=RENEW_MS,
    license_headroom_max_tflop=2_000_000,
    reserve_headroom_max_tflop=1_000_000,
)
REQUEST = bytes([1]) * 32
REPORT = FakeHost(1).value()
LANE = REPORT.lanes[0]


def approval(**fields: Any) -> LicenseApproval:
    base = LicenseApproval(
        authority=AUTHORITY,
        authority_id=bytes(32),
        requests=(REQUEST,),
        not_before_unix_ms=UNIX_MS,
        not_after_unix_ms=UNIX_MS + 7 * DAY_MS,
        span_ms=DAY_MS,
        headroom_max_tflop=1_000_000,
        reserve=bool(fields.get("reserve")),
        nonce=bytes(16),
        reason="the link is cut",
        opener_spkis=(OPENER.spki,) if fields.get("reserve") else (),
        opener_threshold=int(bool(fields.get("reserve"))),
    )
    return replace(base, **fields)


def approved(policy: Policy = POLICY, **fields: Any) -> Approved:
    return check_approval(approval(**fields), bytes(32), policy, UNIX_MS)


# ---------------------------------------------------------------------- what may be approved


@pytest.mark.parametrize(
    "fields",
    [
        {"span_ms": 7 * DAY_MS},
        {"span_ms": RENEW_MS},
        {"not_after_unix_ms": UNIX_MS + POLICY.license_age_ms},
        {"not_after_unix_ms": UNIX_MS + 1},
        {"headroom_max_tflop": 2_000_000},
        {"reserve": True, "span_ms": DAY_MS},
        {"reserve": True, "headroom_max_tflop": 1_000_000},
    ],
)
def test_what_policy_just_allows_may_be_approved(fields: dict[str, Any]) -> None:
    assert approved(**fields).headroom_tflop == fields.get("headroom_max_tflop", 1_000_000)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"span_ms": 7 * DAY_MS + 1}, "license.span"),
        ({"span_ms": RENEW_MS - 1}, "license.span"),
        ({"not_after_unix_ms": UNIX_MS + POLICY.license_age_ms + 1}, "license.not-after"),
        ({"not_after_unix_ms": UNIX_MS}, "license.not-after"),
        ({"headroom_max_tflop": 2_000_001}, "license.headroom"),
        ({"reserve": True, "span_ms": DAY_MS + 1}, "license.span"),
        ({"reserve": True, "headroom_max_tflop": 1_000_001}, "license.headroom"),
    ],
)
def test_what_lies_just_beyond_policy_may_not(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(HistoryError) as caught:
        approved(**fields)
    assert caught.value.code == code


@pytest.mark.parametrize("field", ["reserve_span_ms", "reserve_after_ms"])
def test_no_reserve_is_approved_that_no_policy_lets_open(field: str) -> None:
    none: dict[str, Any] = {field: 0}
    policy = replace(POLICY, **none)
    assert approved(policy).policy is policy
    with pytest.raises(HistoryError) as caught:
        approved(policy, reserve=True)
    assert caught.value.code == "license.none-by-policy"


# ---------------------------------------------------------------------- what is given


def host_facts(chips: int = 1, **fields: Any) -> HostFacts:
    peaks = ChipPeaks(
        dense_8bit_flop_per_s=2 * PEAK_FLOP_PER_S,
        dense_16bit_flop_per_s=PEAK_FLOP_PER_S,
        dense_flop_per_s=2 * PEAK_FLOP_PER_S,
        weighted_bit_op_per_s=16 * PEAK_FLOP_PER_S,
        worst_nominal_flop_per_s=PEAK_FLOP_PER_S,
        worst_high_flop_per_s=2 * PEAK_FLOP_PER_S,
    )
    host = Host(
        host_id=REPORT.host_id,
        spki=b"",
        cluster="c1",
        custodian="cu",
        site="s1",
        jurisdiction="x",
        chips=(peaks,) * chips,
    )
    return HostFacts(host=host, sequence=1, head=bytes(32), **fields)


def asked(
    span_ms: int = DAY_MS,
    ask_tflop: int = 1_000_000,
    *,
    workloads: tuple[str, ...] = ("w1",),
    reserve: bool = False,
    single_use: SingleUse = SingleUse.TPM,
    allotted_tflop: int = 0,
) -> AskedLicense:
    lanes = tuple(
        replace(LANE, workload=name, chips=(chip,), allotted_tflop=allotted_tflop)
        for chip, name in enumerate(workloads)
    )
    request = Request(
        lanes=tuple(LaneRequest(workload=name, headroom_tflop=ask_tflop) for name in workloads),
        license=LicenseWish(span_ms=span_ms, reserve=reserve),
    )
    report = replace(REPORT, lanes=lanes, request=request)
    return AskedLicense(report=report, digest=REQUEST, stale=False, single_use=single_use)


def standing(policy: Policy = POLICY, *covered: str) -> Standing:
    return Standing(
        halt=None,
        policy=policy,
        mandate=Mandate.GIVEN,
        covered=frozenset(covered or ("c1",)),
        budgets={"cluster:c1": AMPLE},
        unix_ms=UNIX_MS,
    )


def judged(
    one: AskedLicense,
    under: Approved | None = None,
    *,
    host: HostFacts | None = None,
    lanes: dict[str, LaneFacts] | None = None,
    now: Standing | None = None,
    pauses: tuple[LatchedPause, ...] = (),
) -> Decided:
    request = one.report.request
    assert request is not None
    return judge(
        one,
        under or approved(),
        host=host or host_facts(len(request.lanes)),
        lanes=lanes or {},
        books=Books(),
        standing=now or standing(),
        pauses=pauses,
    )


def reason(decided: Decided) -> str:
    (verdict,) = decided.verdicts
    return verdict.outcome.reason if isinstance(verdict.outcome, Refusal) else ""


def latched(scope: Scope, number: int = 0) -> LatchedPause:
    value = pause(scope, nonce=number)
    return LatchedPause(
        pause=value, digest=bytes([number]) * 32, envelope=signed(value), since_ms=0
    )


@pytest.mark.parametrize(
    ("span_ms", "refusal"), [(RENEW_MS, ""), (RENEW_MS - 1, "license.span"), (DAY_MS, "")]
)
def test_what_is_asked_for_is_given_where_it_is_long_enough(span_ms: int, refusal: str) -> None:
    decided = judged(asked(span_ms))
    assert reason(decided) == refusal
    if decided.terms is not None and decided.terms.license is not None:
        assert decided.terms.lifetime_ms == span_ms
        assert decided.terms.license.step_ms == min(POLICY.license_step_ms, span_ms)
        assert decided.lanes["w1"].grants[0].lifetime_ms == span_ms
    assert (decided.terms is None) is bool(refusal)


def test_a_longer_span_than_was_approved_is_not_given() -> None:
    terms = judged(asked(2 * DAY_MS)).terms
    assert terms is not None
    assert terms.lifetime_ms == DAY_MS


def test_what_is_held_is_counted_from_what_was_spent() -> None:
    lanes = {"w1": LaneFacts(workload="w1", allotted_tflop=7_000)}
    decided = judged(asked(allotted_tflop=5_000), lanes=lanes)
    (grant,) = decided.lanes["w1"].grants
    # What was asked for counts from the request on, and what was spent since is not given again.
    assert grant.held_tflop == 1_005_000
    assert grant.license is not None
    assert grant.license.told_tflop == 1_005_000
    assert grant.license.not_after_unix_ms == approval().not_after_unix_ms
    assert grant.rate_tflop_per_s == held_tflop_per_s(
        host_facts().host, (0,), CapacityBasis.DENSE_8BIT
    )
    assert decided.held_tflop == (998_000,)


def test_a_reserve_is_an_amount_on_top_of_what_was_asked_with() -> None:
    lanes = {"w1": LaneFacts(workload="w1", allotted_tflop=7_000)}
    decided = judged(asked(reserve=True, allotted_tflop=5_000), approved(reserve=True), lanes=lanes)
    (grant,) = decided.lanes["w1"].grants
    assert grant.license is not None
    assert (grant.license.told_tflop, grant.held_tflop) == (1_000_000, 1_000_000)
    assert decided.held_tflop == (1_000_000,)
    (verdict,) = decided.verdicts
    assert isinstance(verdict.outcome, Ceiling)
    assert verdict.outcome.ceiling_tflop == 1_005_000


def test_law_5_without_a_counter_the_peak_of_the_span_is_held_of_a_reserve_too() -> None:
    decided = judged(
        asked(reserve=True, allotted_tflop=5_000, single_use=SingleUse.SOFTWARE),
        approved(reserve=True),
        lanes={"w1": LaneFacts(workload="w1", allotted_tflop=7_000)},
    )
    assert decided.held_tflop == (reach_tflop(PEAK_FLOP_PER_S, DAY_MS),)


def test_one_lane_that_is_refused_leaves_the_others_their_license() -> None:
    paused = latched(Scope(ScopeKind.WORKLOAD, "w1"))
    decided = judged(asked(workloads=("w1", "w2")), pauses=(paused,))
    assert [isinstance(one.outcome, Ceiling) for one in decided.verdicts] == [False, True]
    assert decided.terms is not None
    assert decided.held_tflop == (0, 1_000_000)


def test_law_3_a_host_with_a_chip_in_no_lane_is_given_none() -> None:
    assert reason(judged(asked(), host=host_facts(2))) == "host.chips-bare"


@pytest.mark.parametrize(("floor", "refusal"), [(0, ""), (1, "license.given-up")])
def test_the_floor_of_its_own_kind_alone_refuses(floor: int, refusal: str) -> None:
    told = LicenseQuote(state=LicenseState.NONE, floor=floor)
    other = LicenseQuote(state=LicenseState.NONE, floor=9)
    plain = host_facts(license=told, reserve=other)
    assert reason(judged(asked(), host=plain)) == refusal
    reserve = host_facts(license=other, reserve=told)
    given = judged(asked(reserve=True), approved(reserve=True), host=reserve)
    assert reason(given) == refusal


@pytest.mark.parametrize(("cluster", "exempt"), [("c1", False), ("c2", True)])
def test_who_is_below_the_threshold_is_licensed_as_exempt(cluster: str, *, exempt: bool) -> None:
    terms = judged(asked(), now=standing(POLICY, cluster)).terms
    assert terms is not None
    assert terms.exempt is exempt


def test_the_phase_in_a_license_is_that_of_the_hour() -> None:
    everything = Scope(ScopeKind.EVERYTHING)
    rules = (
        PhaseRule(scope=everything, phase=Phase.OBSERVE, from_unix_ms=0),
        PhaseRule(scope=everything, phase=Phase.WARN, from_unix_ms=UNIX_MS),
    )
    terms = judged(asked(), now=standing(POLICY), under=approved(replace(POLICY, phases=rules)))
    assert terms.terms is not None
    assert terms.terms.phase is Phase.WARN


def test_an_answer_names_as_many_pauses_as_it_may() -> None:
    pauses = tuple(latched(Scope(ScopeKind.SITE, "s1"), n) for n in range(PAUSES_MAX + 1))
    one = asked()
    told = answer_to(
        one,
        judged(one, pauses=pauses),
        authority=AUTHORITY,
        host=host_facts(),
        pauses=pauses,
        standing=standing(),
    )
    assert told.pauses == tuple(held.digest for held in pauses[:PAUSES_MAX])
