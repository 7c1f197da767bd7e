"""When permission is asked for, and how much."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.lanes.lane import Lane
from flopgate_agent.gate.settings import GateSettings
from flopgate_proto.limits import COUNT_MAX, RENEW_AFTER_MS_MIN
from flopgate_proto.quick import maker
from flopgate_proto.values import LaneRequest, Policy, Request

make_request = maker(Request)
make_lane_request = maker(LaneRequest)

NO_POLICY_RENEW_MS = 120_000
"""Renewal before any policy is known (DESIGN section 9)."""
DEFAULT_WATCHDOG_MS, DEFAULT_DRAIN_MS = 30_000, 5_000
"""Until a policy says otherwise (DESIGN section 3, laws 1 and 8)."""


def policies_of(authorities: Iterable[Authority]) -> list[Policy]:
    """Policies in force."""
    return [policy for one in authorities if (policy := one.policy) is not None]


def drain_ms_of(authorities: Iterable[Authority]) -> int:
    """Longest time to come to a stand after a freeze."""
    return max([one.drain_ms for one in policies_of(authorities)], default=DEFAULT_DRAIN_MS)


def watchdog_ms_of(authorities: Iterable[Authority]) -> int:
    """For how long counters, or the gate, may be silent."""
    return min([one.watchdog_ms for one in policies_of(authorities)], default=DEFAULT_WATCHDOG_MS)


def plan_renewal(authority: Authority, now_ms: int) -> None:
    """After an answer: ask again when its terms say, or after a refusal when policy says."""
    authority.retry_ms = 0
    if authority.permit is not None:
        after_ms = max(authority.permit.renew_after_ms, RENEW_AFTER_MS_MIN)
        authority.next_request_ms = authority.permit.made_ms + after_ms
    else:
        authority.next_request_ms = now_ms + _renew_ms(authority)


def request_times_ms(
    authorities: Sequence[Authority], lanes: Collection[Lane], settings: GateSettings
) -> list[int]:
    """Host elapsed times at which a request is due.

    The renewal of each authority; and where a ceiling comes near, once all have rested for
    `retry_ms`: an answer that got lost is not waited for until the next renewal.
    """
    times_ms = [one.next_request_ms for one in authorities]
    pressed = [lane for lane in lanes if lane.pressed]
    if times_ms and pressed:
        times_ms.append(max(one.asked_ms for one in authorities) + settings.retry_ms)
    return times_ms


def request_if_due(
    authorities: Sequence[Authority], lanes: Collection[Lane], settings: GateSettings, now_ms: int
) -> Request | None:
    """One request to all authorities as soon as one is due (`request_times_ms`).

    An answer that does not come is asked for again after `retry_ms`, then twice that, up to the
    renewal interval. A request asks for as much as the longest permit could hold; the authority
    trims it to what policy and budgets allow.
    """
    due_ms = request_times_ms(authorities, lanes, settings)
    if not due_ms or now_ms < min(due_ms):
        return None
    for authority in authorities:
        authority.asked_ms = now_ms
        renew_ms = _renew_ms(authority)
        first_ms = min(settings.retry_ms, renew_ms)
        authority.retry_ms = min(max(authority.retry_ms * 2, first_ms), renew_ms)
        authority.next_request_ms = now_ms + authority.retry_ms
    policies = policies_of(authorities)
    longest = [max(policy.lifetime_ms, policy.exempt_lifetime_ms) for policy in policies]
    span_ms = max(longest, default=0)
    return make_request(lanes=wanted(lanes, span_ms))


def wanted(lanes: Iterable[Lane], span_ms: int) -> tuple[LaneRequest, ...]:
    """As much as each lane can do in a span."""
    return tuple(
        [
            make_lane_request(
                workload=lane.workload,
                headroom_tflop=min(-(-lane.peak_tflop_per_s * span_ms // 1000), COUNT_MAX),
            )
            for lane in lanes
            if lane.setting.chips
        ]
    )


def _renew_ms(authority: Authority) -> int:
    policy = authority.policy
    return max(policy.renew_after_ms, RENEW_AFTER_MS_MIN) if policy else NO_POLICY_RENEW_MS
