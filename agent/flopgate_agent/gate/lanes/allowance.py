"""What a lane may do at this moment: the least of what all required authorities gave. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from flopgate_agent.gate.authorities.authority import Authority, Permit
from flopgate_agent.gate.authorities.license import LicenseDesk
from flopgate_agent.gate.authorities.officers import DELEGATE
from flopgate_agent.gate.authorities.told_time import ToldTime
from flopgate_proto.amounts import rate_texts
from flopgate_proto.quick import maker, quick


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Permission, bounded by time and FLOP.

    Attributes:
        until_ms: host elapsed time at which all work must have ended.
        until_by: authority whose permit ends first.
        ceiling_tflop: bound on the allotted book of the lane.
        ceiling_by: authority whose ceiling is the lowest.
        licensed_by: authorities that permit it by a license.
        reserve_by: those of them whose license is an opened reserve.
    """

    until_ms: int
    until_by: str
    ceiling_tflop: int
    ceiling_by: str
    wind_down_ms: int
    exempt: bool
    licensed_by: tuple[str, ...] = ()
    reserve_by: tuple[str, ...] = ()

    def by_license(self, authority: str, *, reserve: bool) -> bool:
        """Whether a license of this kind and authority lets it run."""
        return authority in self.licensed_by and (authority in self.reserve_by) is reserve


make_allowed = maker(Allowed)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """No permission, and the way back (law 8).

    ``wind_down_ms`` is the time left for a checkpoint from now on, 0 for an emergency or fault.
    """

    reason: str
    detail: str
    way_back: str
    authority: str
    wind_down_ms: int
    order_digest: bytes = b""


UNENROLLED: Final = Denied(
    reason="host.unenrolled",
    detail="no authority has admitted this host",
    way_back="Run `flopgate-agent join` with a token; if that was done, see the courier's log.",
    authority="",
    wind_down_ms=0,
)

NEXT_LICENSE: Final = (
    "Ask for the next license with `flopgate-agent license request`, or let the courier reach the "
    "authority."
)
"""The way back from a license that is over."""


def allowance(
    workload: str, authorities: Iterable[Authority], now_ms: int, running_ms: int
) -> Allowed | Denied:
    """Permission of one lane, from every authority that must give it.

    Of a license only what is reserved counts.

    Of several denials the one that leaves the least time rules: an emergency of one authority
    does not wait for the wind-down that another one grants. One that was joined and has not
    admitted the host denies as soon as another has: what ran before is in no book of its own.
    """
    return _of_all(workload, authorities, now_ms, running_ms, reserved=True)


def whole(
    workload: str, authorities: Iterable[Authority], now_ms: int, running_ms: int
) -> Allowed | Denied:
    """Permission of one lane, were all that is left of licenses reserved."""
    return _of_all(workload, authorities, now_ms, running_ms, reserved=False)


def projected(
    workloads: Iterable[str], authorities: Iterable[Authority], now_ms: int, running_ms: int
) -> dict[tuple[str, bool], set[str]]:
    """Workloads that each authority would permit by a license, were all of it reserved.

    By authority, and whether it is a reserve.
    """
    known, found = list(authorities), dict[tuple[str, bool], set[str]]()
    for name in workloads:
        permission = whole(name, known, now_ms, running_ms)
        if isinstance(permission, Allowed):
            for authority in permission.licensed_by:
                kind = (authority, authority in permission.reserve_by)
                found.setdefault(kind, set()).add(name)
    return found


def _of_all(
    workload: str,
    authorities: Iterable[Authority],
    now_ms: int,
    running_ms: int,
    *,
    reserved: bool,
) -> Allowed | Denied:
    granted: list[Allowed] = []
    denied: list[Denied] = []
    awaited: list[str] = []
    for authority in authorities:
        if not authority.admitted:
            awaited.append(authority.name)
            continue
        match _from_one(authority, workload, now_ms, running_ms, reserved=reserved):
            case Denied() as one:
                denied.append(one)
            case Allowed() as one:
                granted.append(one)
    if denied:
        return min(denied, key=lambda one: one.wind_down_ms)
    if not granted:
        return UNENROLLED
    if awaited:
        return Denied(
            reason="authority.awaited",
            detail=f"{awaited[0]} was joined and has not admitted this host yet",
            way_back="It goes on by itself once it is admitted: see the courier's log. To take "
            "the join back, remove its token from the gate's join directory and restart the gate.",
            authority=awaited[0],
            wind_down_ms=max(one.wind_down_ms for one in granted),
        )
    if len(granted) == 1:
        return granted[0]
    first = min(granted, key=lambda one: one.until_ms)
    least = min(granted, key=lambda one: one.ceiling_tflop)
    return make_allowed(
        until_ms=first.until_ms,
        until_by=first.until_by,
        ceiling_tflop=least.ceiling_tflop,
        ceiling_by=least.ceiling_by,
        wind_down_ms=max(one.wind_down_ms for one in granted),
        exempt=all(one.exempt for one in granted),
        licensed_by=tuple(name for one in granted for name in one.licensed_by),
        reserve_by=tuple(name for one in granted for name in one.reserve_by),
    )


def ceiling_of(
    permission: Allowed | Denied, workload: str, authorities: Iterable[Authority], now_ms: int
) -> int | None:
    """Bound on the allotted book of a lane now; ``None`` where no grant covers what it computes.

    A pause, a refusal or a fault takes permission, not the escrow: every authority holds its newest
    grant outstanding until a report names a newer one or was measured past its expiry (law 2).
    Until then, what the lane computes on its way to the freeze is what was granted. In the other
    book it would count twice against the budget: as unaccounted, and as still outstanding. Of
    several authorities' ceilings the least rules, as ever.
    """
    if isinstance(permission, Allowed):
        return permission.ceiling_tflop
    ceilings = []
    for authority in authorities:
        permit = authority.granted.get(workload)
        alive = permit is not None and now_ms < permit.made_ms + permit.lifetime_ms
        licensed_tflop = authority.desk.bound_tflop(workload, reserved=True)
        if workload in authority.reserve_desk.last_let_run:
            reserve_tflop = authority.reserve_desk.bound_tflop(workload, reserved=True) or 0
            licensed_tflop = max(licensed_tflop or 0, reserve_tflop)
        if permit is not None and alive:
            ceilings.append(max(permit.ceilings[workload], licensed_tflop or 0))
        elif licensed_tflop is not None:
            ceilings.append(licensed_tflop)
        else:
            return None
    return min(ceilings, default=None)


def _from_one(
    authority: Authority, workload: str, now_ms: int, running_ms: int, *, reserved: bool
) -> Allowed | Denied:
    if authority.policy is None:
        return _denied(
            authority,
            "policy.missing",
            "no policy known",
            "The courier fetches it.",
            wind_down_ms=0,
        )
    paused = authority.pause_of(workload, running_ms)
    if paused is not None:
        return _denied(
            authority,
            "pause.latched",
            f"paused ({paused.pause.scope}): {paused.pause.reason}",
            "Officers lift it with a resume that names this pause.",
            order_digest=paused.digest,
            wind_down_ms=0 if paused.pause.emergency else None,
        )
    if authority.unseen_pauses:
        return _denied(
            authority,
            "pause.unseen",
            "an answer names a pause that has not arrived",
            "The courier brings it; then its resume is needed.",
            order_digest=min(authority.unseen_pauses),
        )
    refusal = authority.refusals.get(workload)
    if refusal is not None:
        return _denied(
            authority,
            refusal.reason,
            refusal.detail,
            refusal.way_back,
            order_digest=refusal.order_digest,
        )
    permit = authority.permit
    alive = permit is not None and now_ms < permit.made_ms + permit.lifetime_ms
    fresh = permit is not None and workload in permit.ceilings and now_ms < _handover_ms(permit)
    if not fresh:
        licensed = _by_license(authority, workload, now_ms, reserved=reserved)
        if licensed is not None:
            return licensed
        words = None if alive else _no_license(authority, workload, now_ms)
        if words is not None:
            return _denied(authority, *words)
    unsigned = "" if alive else authority.signs_no_more(running_ms)
    if unsigned:
        return _denied(
            authority,
            unsigned,
            f"the officers of {authority.name} let no key sign permits any more",
            DELEGATE,
            wind_down_ms=0 if permit is not None else None,
        )
    if permit is None or workload not in permit.ceilings:
        return _denied(
            authority,
            "permit.none",
            f"{authority.name} has granted nothing yet",
            "Check that the courier reaches the authority.",
        )
    until_ms = permit.made_ms + permit.lifetime_ms
    if now_ms >= until_ms:
        return _denied(
            authority,
            "permit.expired",
            f"the permit of {authority.name} ran out",
            "Check that the courier reaches the authority.",
            wind_down_ms=0,
        )
    return make_allowed(
        until_ms=until_ms,
        until_by=authority.name,
        ceiling_tflop=permit.ceilings[workload],
        ceiling_by=authority.name,
        wind_down_ms=permit.wind_down_ms,
        exempt=permit.exempt,
    )


def _denied(
    authority: Authority,
    reason: str,
    detail: str,
    way_back: str,
    *,
    order_digest: bytes = b"",
    wind_down_ms: int | None = None,
) -> Denied:
    policy_ms = authority.policy.wind_down_ms if authority.policy else 0
    return Denied(
        reason=reason,
        detail=detail,
        way_back=way_back,
        authority=authority.name,
        wind_down_ms=policy_ms if wind_down_ms is None else wind_down_ms,
        order_digest=order_digest,
    )


def _handover_ms(permit: Permit) -> int:
    """From here on a license rules that stands beside a permit: before any wind-down begins.

    A permit that is renewed is replaced before that.
    """
    orderly_ms = permit.lifetime_ms - permit.wind_down_ms
    return permit.made_ms + (permit.renew_after_ms + max(permit.renew_after_ms, orderly_ms)) // 2


def _by_license(
    authority: Authority, workload: str, now_ms: int, *, reserved: bool
) -> Allowed | None:
    """What a license lets run: of what is reserved of it, or of all that is left.

    A license goes before a reserve that was opened: that lasts for when nothing else is left.
    """
    told = authority.told_time
    desks = [one for one in authority.desks if _covers(one, workload, told, now_ms)]
    if not desks:
        return None
    desk = desks[-1] if workload in desks[0].exhausted else desks[0]
    held, ceiling_tflop = desk.license, desk.bound_tflop(workload, reserved=reserved)
    if held is None or ceiling_tflop is None or (reserved and not desk.reserved):
        return None
    return make_allowed(
        until_ms=now_ms + desk.left_ms(told, now_ms, reserved=reserved),
        until_by=authority.name,
        ceiling_tflop=ceiling_tflop,
        ceiling_by=authority.name,
        wind_down_ms=held.wind_down_ms,
        exempt=held.exempt,
        licensed_by=(authority.name,),
        reserve_by=(authority.name,) if desk.is_reserve else (),
    )


def _covers(desk: LicenseDesk, workload: str, told: ToldTime | None, now_ms: int) -> bool:
    known = desk.bound_tflop(workload, reserved=False) is not None
    return known and workload not in desk.outgrown and desk.opens() and desk.begun(told, now_ms)


_NO_LICENSE: Final = {
    "license.used-up": "was used up",
    "license.expired": "is past its end",
    "license.returned": "was given back",
    "license.retired": "went back when the host was retired",
}
"""Why there is none any more, by code."""


def _no_license(authority: Authority, workload: str, now_ms: int) -> tuple[str, str, str] | None:
    """Reason, detail and way back, where a license would let run and does not (law 8)."""
    whys = [_no_use(one, authority, workload, now_ms) for one in authority.desks]
    told = [why for why in whys if why is not None]
    # What may let it run again is told before what is over.
    return min(told, key=lambda why: why[0] in _NO_LICENSE, default=None)


def _no_use(
    desk: LicenseDesk, authority: Authority, workload: str, now_ms: int
) -> tuple[str, str, str] | None:
    of = f"the {desk.kind} of {authority.name}"
    if desk.standing.ended in _NO_LICENSE:
        return desk.standing.ended, f"{of} {_NO_LICENSE[desk.standing.ended]}", NEXT_LICENSE
    if not desk.opens():
        return None
    if desk.license is not None and workload in desk.outgrown:
        peak, most = rate_texts(desk.outgrown[workload], desk.license.peaks[workload])
        detail = f"the chips of {workload} can do {peak}, {of} is for {most}"
        way_back = (
            "Take the chips that came out of the lane in gate.toml and restart the gate, or ask "
            "for the next license: `flopgate-agent license request`."
        )
        return "license.outgrown", detail, way_back
    if not desk.begun(authority.told_time, now_ms):
        detail = f"{of} has not begun, as far as this gate knows the time"
        way_back = "Wait, or tell it the time: `flopgate-agent license time`."
        return "license.early", detail, way_back
    detail = f"nothing is reserved yet of {of}"
    return "license.unreserved", detail, "It goes on by itself once nothing else denies."
