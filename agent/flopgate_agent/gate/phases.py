"""How far rules bite on this host: the strictest that any authority or the host itself says. Pure.

What is looser than `enforce` needs a reason at every moment: a policy that is not too old, a rule
of it that surely has begun, and no stricter one that may have. Everything unknown is `enforce`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from flopgate_agent.gate.authority import Authority
from flopgate_proto.phases import strictest_between
from flopgate_proto.quick import quick
from flopgate_proto.values import Phase, Scope, ScopeKind


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The phase of this moment, and what says so, in words."""

    phase: Phase
    why: str

    @property
    def bites(self) -> bool:
        """Whether what has no permission is stopped."""
        return self.phase is Phase.ENFORCE


UNKNOWN: Final = InForce(phase=Phase.ENFORCE, why="no authority has admitted this host")
"""Before anything is known."""


def phase_in_force(
    authorities: Iterable[Authority], least: Phase, *, now_ms: int, running_ms: int
) -> InForce:
    """The strictest of what the authorities that admitted this host say, and ``least``.

    Args:
        authorities: all that the host knows.
        least: of the host's own configuration, which can only make it stricter.
        now_ms: host elapsed time.
        running_ms: gate running time.
    """
    told = [
        _from_one(one, now_ms=now_ms, running_ms=running_ms) for one in authorities if one.admitted
    ]
    if not told:
        return UNKNOWN
    strictest = max(told, key=lambda one: one.phase)
    if least > strictest.phase:
        return InForce(phase=least, why="this host's own configuration")
    return strictest


def next_change_ms(authorities: Iterable[Authority], *, now_ms: int, running_ms: int) -> list[int]:
    """Host elapsed times at which time alone can change the phase."""
    times_ms = []
    for one in authorities:
        policy, told = one.policy, one.told_time
        if policy is None or told is None or not policy.phases:
            continue
        left_ms = policy.loose_phase_age_ms - (running_ms - one.policy_seen_running_ms)
        times_ms.append(now_ms + left_ms)
        for rule in policy.phases:
            times_ms += told.changes_ms(rule.from_unix_ms)
    return [at_ms for at_ms in times_ms if at_ms > now_ms]


def _from_one(authority: Authority, *, now_ms: int, running_ms: int) -> InForce:
    policy, name, time = authority.policy, authority.name, authority.told_time
    if policy is None:
        return InForce(phase=Phase.ENFORCE, why=f"no policy of {name} is known")
    said = f"policy {policy.version} of {name}"
    if not policy.phases:
        return InForce(phase=Phase.ENFORCE, why=said)
    age_ms = running_ms - authority.policy_seen_running_ms
    if age_ms >= policy.loose_phase_age_ms:
        return InForce(phase=Phase.ENFORCE, why=f"{said} is too old for anything looser")
    if time is None:
        return InForce(phase=Phase.ENFORCE, why=f"{name} has not told the time yet")
    phase = strictest_between(
        policy.phases,
        authority.scopes | {Scope(ScopeKind.EVERYTHING)},
        time.earliest_unix_ms(now_ms),
        time.latest_unix_ms(now_ms),
    )
    permit = authority.permit
    if (
        permit is not None
        and permit.phase > phase
        and permit.policy_version >= policy.version
        and now_ms < permit.made_ms + permit.lifetime_ms
    ):
        return InForce(phase=permit.phase, why=f"the newest permit of {name}")
    return InForce(phase=phase, why=said)
