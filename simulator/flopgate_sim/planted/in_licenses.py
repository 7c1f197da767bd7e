"""Bugs of what gives, reserves, spends and gives back licenses, on both sides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flopgate_agent.gate import core
from flopgate_agent.gate.authorities.license import LicenseDesk, Standing
from flopgate_agent.gate.authorities.officers import OfficerOrders
from flopgate_agent.gate.authorities.told_time import ToldTime
from flopgate_agent.gate.clock import HostClock
from flopgate_agent.gate.licenses import checking
from flopgate_agent.gate.licenses.licensing import Licensing
from flopgate_agent.gate.settings import Now
from flopgate_agent.tpm import anchored
from flopgate_agent.tpm.rollback import Judged
from flopgate_governor.core import account, decide
from flopgate_governor.core.facts import LaneFacts
from flopgate_governor.core.licenses.approvals import Approved, check_approval
from flopgate_governor.licenses import issuing
from flopgate_governor.state import State
from flopgate_proto.codec.licenses import decode_approval
from flopgate_proto.envelope import Envelope
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values.licenses import LicenseApproval
from flopgate_sim.planted.patching import Swap
from flopgate_sim.world.hardware.tpm import HostTpm


def reserved_after() -> tuple[Swap, ...]:
    """The row says what was used, once it was."""
    reserve, left_ms, bound = LicenseDesk.reserve, LicenseDesk.left_ms, LicenseDesk.bound_tflop

    def late(self: LicenseDesk, _used_ms: int, shares: Any, now_ms: int) -> None:
        before = self.standing.shares or {}
        kept = {name: replace(one, reserved_tflop=0) for name, one in before.items()}
        reserve(self, self.used_ms, kept if shares else {}, now_ms)

    def all_ms(self: LicenseDesk, told: Any, now_ms: int, **_reserved: bool) -> int:
        return left_ms(self, told, now_ms, reserved=False)

    def whole_tflop(self: LicenseDesk, workload: str, **_reserved: bool) -> int | None:
        return bound(self, workload, reserved=False)

    return (
        Swap(LicenseDesk, "reserve", late),
        Swap(LicenseDesk, "left_ms", all_ms),
        Swap(LicenseDesk, "bound_tflop", whole_tflop),
    )


def nothing_lost() -> tuple[Swap, ...]:
    """A gate that starts again goes on where its last report was."""

    def forgiving(self: LicenseDesk, _allotted: Any, quoted: Any, now_ms: int) -> None:
        self.standing = replace(self.standing, used_ms=0)
        self.used_ms = 0
        self.since_ms = self.idle_since_ms = now_ms
        self._quotes = [(0, quoted)]

    return (Swap(LicenseDesk, "resume", forgiving),)


def counter_unbound() -> tuple[Swap, ...]:
    """A ledger of yesterday is as good as that of today."""

    def believing(_last: Any, _base: Any, seen: Any, **_reports: bool) -> Judged:
        return Judged(counter=seen.counter or 0)

    def unbound(_self: Any, _number: int) -> None:
        """No step is bound to a row."""

    return (
        Swap(anchored, "judge", believing),
        Swap(anchored, "judge_spent", lambda *_told: False),
        Swap(HostTpm, "spend", unbound),
    )


def _wall_clock() -> tuple[dict[str, int], Swap]:
    """The wall clock as the newest step of any gate saw it."""
    seen: dict[str, int] = {}
    advance = HostClock.advance

    def watched(self: HostClock, told: Now) -> Now:
        seen["wall_ms"] = told.wall_unix_ms
        return advance(self, told)

    return seen, Swap(HostClock, "advance", watched)


def uptime_by_wall() -> tuple[Swap, ...]:
    """What is used of a span is told by the wall clock."""
    seen, watching = _wall_clock()
    walls_ms: dict[int, int] = {}

    def by_wall(self: LicenseDesk, now_ms: int) -> None:
        wall_ms = seen.get("wall_ms", 0)
        last_ms = walls_ms.get(id(self), wall_ms)
        if self.in_use:
            self.used_ms = max(0, self.used_ms + wall_ms - last_ms)
        walls_ms[id(self)], self.since_ms = wall_ms, now_ms

    return (watching, Swap(LicenseDesk, "note_time", by_wall))


def end_by_wall() -> tuple[Swap, ...]:
    """The end of a license is told by the wall clock."""
    seen, watching = _wall_clock()

    def by_wall(self: LicenseDesk, told: Any, _now_ms: int, *, reserved: bool) -> int:
        held = self.license
        if held is None or told is None:
            return 0
        most_ms = held.span_ms
        if reserved:
            most_ms = self.standing.used_ms if self.reserved else self.used_ms
        dated_ms = held.not_after_unix_ms - seen.get("wall_ms", 0)
        return max(0, min(most_ms - self.used_ms, dated_ms))

    def never_past(_self: Any, *_of: Any) -> None:
        return None

    return (
        watching,
        Swap(LicenseDesk, "left_ms", by_wall),
        Swap(Licensing, "_over", never_past),
    )


def returned_twice() -> tuple[Swap, ...]:
    """What was given back is taken again from its file."""
    installed = Standing.installed

    def kept(self: Standing, license_: Any) -> Standing:
        return replace(installed(self, license_), asked=self.asked)

    def none(self: Standing, ended: str, floor: int) -> Standing:
        return Standing(floor=max(self.floor, floor), ended=ended, asked=self.asked)

    return (Swap(Standing, "installed", kept), Swap(Standing, "none", none))


def opened_under_pause() -> tuple[Swap, ...]:
    """A reserve opens, whatever is latched."""
    return (Swap(checking, "lapsed", lambda *_pause: True),)


def approval_unchecked() -> tuple[Swap, ...]:
    """A gate takes a license whatever officers signed."""

    def believed(_self: OfficerOrders, envelope: Envelope) -> tuple[LicenseApproval, bytes]:
        return decode_approval(envelope.payload), envelope.digest

    return (Swap(OfficerOrders, "check_approval", believed),)


def approval_of_others() -> tuple[Swap, ...]:
    """At a gate, officers who approve one request approve all."""
    check = OfficerOrders.check_approval

    def all_named(self: Any, envelope: Envelope) -> tuple[LicenseApproval, bytes]:
        approval, digest = check(self, envelope)
        asked = (one.digest for one in self.desk.standing.asked)
        return replace(approval, requests=(*approval.requests, *asked)), digest

    return (Swap(OfficerOrders, "check_approval", all_named),)


def given_unapproved() -> tuple[Swap, ...]:
    """A governor gives licenses whatever officers signed."""

    def believed(state: State, envelope: Envelope, _requests: list[bytes]) -> Approved:
        approval = decode_approval(envelope.payload)
        return check_approval(approval, envelope.digest, state.book.orders.policy, state.now_ms())

    return (Swap(issuing, "_verified", believed),)


def settled_by_expiry() -> tuple[Swap, ...]:
    """What a license holds is released once its end has passed."""
    settle = account.settle

    def late(lane: Any, report: Any, quote: Any, drift_ppm: int) -> Any:
        now_ms = report.wall_unix_ms
        kept = tuple(
            grant
            for grant in lane.grants
            if grant.license is None or now_ms < grant.license.not_after_unix_ms
        )
        return settle(replace(lane, grants=kept), report, quote, drift_ppm)

    return (Swap(account, "settle", late),)


def released_uninstalled() -> tuple[Swap, ...]:
    """A license that no report tells of is taken for lost."""

    def given_up(grant: Any, quote: Any) -> bool:
        told = quote.reserve if grant.is_reserve else quote.license
        return told is None or told.request != grant.request_digest

    return (Swap(account, "_given_up", given_up),)


def license_for_reserve() -> tuple[Swap, ...]:
    """A license that is installed takes the place of the reserve, too."""
    check = checking.check_license

    def replacing(found: Any, asked: Any, authority: Any, settings: Any, **times: int) -> Any:
        checked = check(found, asked, authority, settings, **times)
        desk = authority.reserve_desk
        if not asked.reserve and desk.license is not None:
            desk.become(desk.standing.none("license.replaced", asked.sequence), times["now_ms"])
        return checked

    return (Swap(core, "check_license", replacing),)


def reserve_refilled() -> tuple[Swap, ...]:
    """What a reserve itself let run takes nothing off it either."""
    move_along = LicenseDesk.move_along

    def refilling(self: LicenseDesk, allotted: Any) -> bool:
        self.last_let_run = set()
        return move_along(self, allotted)

    return (Swap(LicenseDesk, "move_along", refilling),)


def undrawn_without_say() -> tuple[Swap, ...]:
    """A reserve lies as it is while its authority has no say."""

    def moving(self: LicenseDesk, allotted: Any) -> bool:
        return self.move_along(allotted)

    return (Swap(LicenseDesk, "stand_still", moving),)


def counted_once() -> tuple[Swap, ...]:
    """A reserve is held as one more ceiling, beside which others have room."""

    def highest(self: LaneFacts) -> int:
        return max([self.allotted_tflop, *(grant.held_tflop for grant in self.grants)])

    return (Swap(LaneFacts, "reach_tflop", property(highest)),)


def settled_by_license() -> tuple[Swap, ...]:
    """What a gate says of its license settles its reserve, too."""

    def given_up(grant: Any, quote: Any) -> bool:
        told = quote.license
        return (
            told is not None
            and told.floor >= grant.sequence
            and told.request != grant.request_digest
        )

    return (Swap(account, "_given_up", given_up),)


def time_taken_back() -> tuple[Swap, ...]:
    """An approval tells the time, whatever the end of the license was when it was asked for."""

    def approved(_asked: Any, approval: Any, *, now_ms: int, **_running: int) -> ToldTime:
        return ToldTime.raised(approval.not_before_unix_ms, now_ms, None)

    return (
        Swap(checking, "corrected_time", approved),
        Swap(core, "corrected_time", approved),
    )


def pace_unbound() -> tuple[Swap, ...]:
    """A license states that its lane may have any chips."""
    return (Swap(decide, "peak_tflop_per_s", lambda _host, _chips: COUNT_MAX),)


def veto_unseen_by_governor() -> tuple[Swap, ...]:
    """A governor gives licenses whatever an officer vetoed since."""
    checked = issuing._checked  # noqa: SLF001  # the bug goes where the rule is

    def forgetful(state: State, *of: Any) -> Approved:
        before = state.book
        state.book = replace(before, orders=replace(before.orders, vetoed=frozenset()))
        try:
            return checked(state, *of)
        finally:
            state.book = before

    return (Swap(issuing, "_checked", forgetful),)


def veto_unseen_by_gate() -> tuple[Swap, ...]:
    """A gate takes a license whatever an officer vetoed since."""
    check = OfficerOrders.check_approval

    def forgetful(self: OfficerOrders, envelope: Envelope) -> tuple[LicenseApproval, bytes]:
        before = self.orders
        self.orders = None if before is None else replace(before, vetoed=frozenset())
        try:
            return check(self, envelope)
        finally:
            self.orders = before

    return (Swap(OfficerOrders, "check_approval", forgetful),)
