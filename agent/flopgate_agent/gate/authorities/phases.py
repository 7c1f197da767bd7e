"""How far rules bite on this host: the strictest that any authority or the host itself says. Pure.

What is looser than `enforce` needs a reason at every moment: a policy that is not too old and that
a signed statement of its authority named as in force, a rule of it that surely has begun, and no
stricter one that may have. Everything unknown is `enforce`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_proto.phases import strictest_between
from flopgate_proto.quick import maker, quick
from flopgate_proto.values import Phase, Policy, Scope, ScopeKind


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseInForce:
    """The phase of this moment, and what says so, in words."""

    phase: Phase
    why: str

    @property
    def bites(self) -> bool:
        """Whether what has no permission is stopped."""
        return self.phase is Phase.ENFORCE


make_phase_in_force = maker(PhaseInForce)


_phase_of = attrgetter("phase")

UNKNOWN: Final = PhaseInForce(phase=Phase.ENFORCE, why="no authority has admitted this host")
"""Before anything is known."""


def phase_in_force(
    authorities: Iterable[Authority], least: Phase, *, now_ms: int, running_ms: int
) -> PhaseInForce:
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
    strictest = max(told, key=_phase_of)
    if least > strictest.phase:
        return make_phase_in_force(phase=least, why="this host's own configuration")
    return strictest


def next_change_ms(authorities: Iterable[Authority], *, now_ms: int, running_ms: int) -> list[int]:
    """Host elapsed times at which time alone can change the phase."""
    times_ms = []
    for one in authorities:
        told = one.told_time
        if told is None:
            continue
        for policy, seen_ms in _policies(one):
            if not policy.phases:
                continue
            left_ms = policy.loose_phase_age_ms - (running_ms - seen_ms)
            times_ms.append(now_ms + left_ms)
            for rule in policy.phases:
                times_ms += told.changes_ms(rule.from_unix_ms)
    return [at_ms for at_ms in times_ms if at_ms > now_ms]


def _policies(authority: Authority) -> list[tuple[Policy, int]]:
    """That in force, and before it the one that was named, with the running times they came at."""
    held, named = authority.policy, authority.named_policy
    found = [] if held is None else [(held, authority.policy_seen_running_ms)]
    if named is not None and named.policy is not held:
        found.insert(0, (named.policy, named.seen_running_ms))
    return found


def _from_one(authority: Authority, *, now_ms: int, running_ms: int) -> PhaseInForce:
    """What an authority says: its policy in force, and until that was named the one before too.

    Officers may have vetoed what a courier brings, or it waits for them. So a newer policy makes
    nothing looser by itself, nor does it end what the one before allowed for its own time.
    """
    policies, name = _policies(authority), authority.name
    if authority.policy is None:
        return make_phase_in_force(phase=Phase.ENFORCE, why=f"no policy of {name} is known")
    said = [
        _from_policy(authority, policy, seen_ms, now_ms=now_ms, running_ms=running_ms)
        for policy, seen_ms in policies
    ]
    if authority.named_policy is None:
        version = authority.policy.version
        why = f"no signed statement of {name} has named policy {version} yet"
        said.append(make_phase_in_force(phase=Phase.ENFORCE, why=why))
    strictest = max(said, key=_phase_of)
    permit = authority.permit
    if (
        permit is not None
        and permit.phase > strictest.phase
        and permit.policy_version >= authority.policy.version
        and now_ms < permit.made_ms + permit.lifetime_ms
    ):
        return make_phase_in_force(phase=permit.phase, why=f"the newest permit of {name}")
    return strictest


def _from_policy(
    authority: Authority, policy: Policy, seen_ms: int, *, now_ms: int, running_ms: int
) -> PhaseInForce:
    name, time = authority.name, authority.told_time
    said = f"policy {policy.version} of {name}"
    if not policy.phases:
        return make_phase_in_force(phase=Phase.ENFORCE, why=said)
    if running_ms - seen_ms >= policy.loose_phase_age_ms:
        why = f"{said} is too old for anything looser"
        return make_phase_in_force(phase=Phase.ENFORCE, why=why)
    if time is None:
        return make_phase_in_force(phase=Phase.ENFORCE, why=f"{name} has not told the time yet")
    phase = strictest_between(
        policy.phases,
        authority.scopes | {Scope(ScopeKind.EVERYTHING)},
        time.earliest_unix_ms(now_ms),
        time.latest_unix_ms(now_ms),
    )
    return make_phase_in_force(phase=phase, why=said)
