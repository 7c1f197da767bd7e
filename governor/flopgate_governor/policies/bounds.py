"""What a policy must not say: figures that no host could live by, or that undo a law.

The protocol takes any count; this is the form's own check, before officers sign. Spans are
milliseconds of a host's elapsed time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from flopgate_proto.amounts import flop_text, rate_text, span_text
from flopgate_proto.limits import (
    BUDGETS_MAX,
    PHASES_MAX,
    RENEW_AFTER_MS_MIN,
    STOP_SLACK_MS,
    TIERS_MAX,
)
from flopgate_proto.values.common import ScopeKind
from flopgate_proto.values.licenses import LICENSE_STEP_MS
from flopgate_proto.values.orders import Policy

DRIFT_PPM_MAX: Final = 100_000
"""A tenth: the most that Linux lets root slew a clock (adjtimex(2), ``tick``)."""
SILENCE_MS: Final = 10_000
"""A look at the counters may take 5 s, and a gate hears of it a second later: what stays of
``watchdog_ms`` before the drain must bear that, else a slow driver stops the host."""
LIFETIME_MS_MAX: Final = 7 * 86_400_000
"""How long a host that is cut off goes on; no longer than a delegation lasts by default."""
EXEMPT_LIFETIME_MS_MAX: Final = 30 * 86_400_000
LOOSENING_DELAY_MS_MAX: Final = 90 * 86_400_000
LICENSE_SPAN_MS_MAX: Final = 90 * 86_400_000
LICENSE_AGE_MS_MAX: Final = 180 * 86_400_000
KILL_MS: Final = 2_000
"""What a gate keeps free at the end of a lifetime, from a kill to its effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one key of a policy's form, and how to mend it.

    ``entry``: which of several tables of that name, from 0.
    """

    key: str
    entry: int = 0
    problem: str
    mend: str


ROUND_TRIP_MS: Final = 1_000
"""From a request that is made to its answer at the gate, over a slow link and a slow disk."""


def faults(policy: Policy) -> Iterator[Fault]:
    """Everything that is wrong, figures first; nothing where the policy can be lived by."""
    yield from _figures(policy)
    yield from _spans(policy)
    yield from _rules(policy)
    yield from _tiers(policy)
    yield from _licenses(policy)


def _figures(policy: Policy) -> Iterator[Fault]:
    for key, least, most, why in (
        ("drift_ppm", 0, DRIFT_PPM_MAX, "no clock drifts faster"),
        ("lifetime_ms", 1, LIFETIME_MS_MAX, "a host that is cut off goes on so long"),
        ("exempt_lifetime_ms", 1, EXEMPT_LIFETIME_MS_MAX, "a host that is cut off goes on so long"),
        ("renew_after_ms", RENEW_AFTER_MS_MIN, None, "every host asks so often"),
        (
            "loosening_delay_ms",
            0,
            LOOSENING_DELAY_MS_MAX,
            "a mistake stands so long",
        ),
        ("headroom_max_tflop", 1, None, "with 0 no covered host is ever granted anything"),
    ):
        value = getattr(policy, key)
        if value < least or (most is not None and value > most):
            span = f"{least} or more" if most is None else f"{least} to {most}"
            yield Fault(key=key, problem=f"is {value}: {why}", mend=f"Write {span}.")


def _spans(policy: Policy) -> Iterator[Fault]:
    # A grant covers its lifetime at the peak: what an answer finds left of it must outlast this.
    ceiling_ms = policy.drain_ms + STOP_SLACK_MS + ROUND_TRIP_MS
    rest = f"{STOP_SLACK_MS} ms for the stop and {ROUND_TRIP_MS} ms for an answer on its way"
    why = "hosts stand at ceiling.reached as soon as they are granted anything"
    if policy.lifetime_ms <= ceiling_ms:
        yield Fault(
            key="lifetime_ms",
            problem=f"is {policy.lifetime_ms}: it must hold wind_down_ms, drain_ms, {rest}, else "
            f"{why}",
            mend=f"Write more than {policy.wind_down_ms + ceiling_ms}, or a shorter drain_ms.",
        )
        return
    if policy.wind_down_ms + ceiling_ms >= policy.lifetime_ms:
        yield Fault(
            key="wind_down_ms",
            problem=f"is {policy.wind_down_ms}: with drain_ms, {rest} it does not fit into "
            f"lifetime_ms {policy.lifetime_ms}: {why}",
            mend=f"Write less than {policy.lifetime_ms - ceiling_ms}, a longer lifetime_ms or a "
            "shorter drain_ms.",
        )
        return
    most_ms = policy.lifetime_ms - policy.wind_down_ms - policy.drain_ms - KILL_MS
    if policy.renew_after_ms >= most_ms:
        yield Fault(
            key="renew_after_ms",
            problem=f"is {policy.renew_after_ms}: a permit winds down after {most_ms} ms, before "
            "it is renewed",
            mend=f"Write less than {most_ms}; the rest is what an outage may last.",
        )
    if policy.watchdog_ms < policy.drain_ms + SILENCE_MS:
        yield Fault(
            key="watchdog_ms",
            problem=f"is {policy.watchdog_ms}: before drain_ms {policy.drain_ms} it leaves a slow "
            "driver and a gate that starts anew no time",
            mend=f"Write {policy.drain_ms + SILENCE_MS} or more.",
        )
    if policy.exempt_lifetime_ms < policy.lifetime_ms:
        yield Fault(
            key="exempt_lifetime_ms",
            problem=f"is {policy.exempt_lifetime_ms}: shorter than lifetime_ms "
            f"{policy.lifetime_ms} of covered hosts",
            mend=f"Write {policy.lifetime_ms} or more.",
        )
    if policy.pause_lapse_ms < policy.lifetime_ms:
        yield Fault(
            key="pause_lapse_ms",
            problem=f"is {policy.pause_lapse_ms}: a pause could lapse before a host that it does "
            "not reach has stopped",
            mend=f"Write lifetime_ms {policy.lifetime_ms} or more.",
        )


def _licenses(policy: Policy) -> Iterator[Fault]:
    spans = (
        ("license_span_ms", "license_headroom_max_tflop"),
        ("reserve_span_ms", "reserve_headroom_max_tflop"),
    )
    given = [(key, headroom) for key, headroom in spans if getattr(policy, key)]
    if bool(policy.reserve_after_ms) is not bool(policy.reserve_span_ms):
        yield Fault(
            key="reserve_after_ms" if policy.reserve_after_ms else "reserve_span_ms",
            problem="stands alone: reserve_span_ms says how long a reserve lets run, "
            "reserve_after_ms when it opens",
            mend="Write both, or neither.",
        )
    least_ms = 2 * (policy.wind_down_ms + policy.drain_ms + STOP_SLACK_MS)
    for key, headroom in given:
        span_ms: int = getattr(policy, key)
        if not least_ms <= span_ms <= LICENSE_SPAN_MS_MAX:
            yield Fault(
                key=key,
                problem=f"is {span_text(span_ms)}: a stop in order and as much to run take "
                f"{span_text(least_ms)}, and no pause reaches a host so long",
                mend=f"Write {least_ms} to {LICENSE_SPAN_MS_MAX}.",
            )
        if not span_ms <= policy.license_age_ms <= LICENSE_AGE_MS_MAX:
            yield Fault(
                key="license_age_ms",
                problem=f"is {span_text(policy.license_age_ms)}: {key} is {span_text(span_ms)}, "
                "and could not be used up; a pause may take so long",
                mend=f"Write {span_ms} to {LICENSE_AGE_MS_MAX}.",
            )
        if not getattr(policy, headroom):
            yield Fault(
                key=headroom,
                problem=f"is 0, and {key} is {span_text(span_ms)}: nothing could be computed",
                mend='Write what one host may do in that span, as in "1e22 FLOP".',
            )
        step_ms = policy.license_step_ms or LICENSE_STEP_MS
        if not least_ms <= step_ms <= span_ms:
            yield Fault(
                key="license_step_ms",
                problem=f"is {span_text(step_ms)}: a step is lost with each crash, "
                f"holds a stop in order and as much to run, and is part of {key}",
                mend=f"Write {least_ms} to {span_ms}, as in 30m.",
            )


def _tiers(policy: Policy) -> Iterator[Fault]:
    if not policy.register_tflop and (policy.tiers or policy.prohibit_tflop_per_s):
        key = "tiers" if policy.tiers else "prohibit_tflop_per_s"
        yield Fault(
            key=key,
            problem="binds only what is registered, and without register_tflop nothing need be",
            mend="Write register_tflop too.",
        )
    if len(policy.tiers) > TIERS_MAX:
        yield Fault(
            key="tiers",
            problem=f"has {len(policy.tiers)} entries, at most {TIERS_MAX} are taken",
            mend="Take fewer.",
        )
    for key, text, least, most in (
        ("training_tflop", flop_text, policy.register_tflop, policy.prohibit_tflop),
        ("inference_tflop_per_s", rate_text, 0, policy.prohibit_tflop_per_s),
    ):
        below = least
        for position, tier in enumerate(policy.tiers):
            value: int = getattr(tier, key)
            if value < below:
                yield Fault(
                    key=key,
                    entry=position,
                    problem=f"is {text(value)}: what needs less approval may have {text(below)}",
                    mend="Write no less than that, the lowest tier first.",
                )
            if 0 < most < value:
                yield Fault(
                    key=key,
                    entry=position,
                    problem=f"is {text(value)}: {text(most)} is prohibited",
                    mend="Write no more than that.",
                )
            below = value


def _rules(policy: Policy) -> Iterator[Fault]:
    if policy.closures_max and not policy.closures_span_ms:
        yield Fault(
            key="closures_max",
            problem=f"is {policy.closures_max} within no time, without closures_span_ms: every new "
            "enrolment could close an old chain",
            mend='Write closures_span_ms too, as in "7d".',
        )
    for position, rule in enumerate(policy.phases):
        if rule.scope.kind is ScopeKind.WORKLOAD:
            yield Fault(
                key="phases",
                entry=position,
                problem=f"names {rule.scope}: a phase holds for hosts, whatever they compute",
                mend="Name everything, or a jurisdiction, custodian, site or cluster.",
            )
    if 0 < policy.prohibit_tflop < policy.register_tflop:
        yield Fault(
            key="register_tflop",
            problem=f"is {flop_text(policy.register_tflop)}: prohibit_tflop is "
            f"{flop_text(policy.prohibit_tflop)}",
            mend="Write no more than that.",
        )
    for position, budget in enumerate(policy.budgets):
        workload = budget.scope.kind is ScopeKind.WORKLOAD
        if workload and 0 < policy.prohibit_tflop < budget.cap_tflop:
            yield Fault(
                key="cap_tflop",
                entry=position,
                problem=f"of {budget.scope} is {flop_text(budget.cap_tflop)}: more than "
                f"prohibit_tflop, {flop_text(policy.prohibit_tflop)}",
                mend="Write no more than that.",
            )
    for key, entries, most in (
        ("budgets", [str(budget.scope) for budget in policy.budgets], BUDGETS_MAX),
        ("phases", [f"{r.scope} from {r.from_unix_ms}" for r in policy.phases], PHASES_MAX),
    ):
        if len(entries) > most:
            yield Fault(
                key=key,
                problem=f"has {len(entries)} entries, at most {most} are taken",
                mend="Take wider scopes.",
            )
        twice = [entry for entry, count in Counter(entries).items() if count > 1]
        if twice:
            second = [n for n, entry in enumerate(entries) if entry == twice[0]][1]
            yield Fault(
                key=key,
                entry=second,
                problem=f"has {twice[0]!r} twice",
                mend="Keep one of them.",
            )
