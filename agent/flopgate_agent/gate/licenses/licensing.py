"""All licenses of a host: what is reserved before it runs, what ends, and what is written down.

One row holds the standings of all authorities, signed by the host key. Each row has a number, one
more than the row before; where there is a TPM a counter in it is stepped to that number once the
row is durable. So a row that was put back is not the one that the counter names (law 5).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from flopgate_agent.gate.actions import Action, KeepLicenses, Tell
from flopgate_agent.gate.authorities.authority import Authority, admitted
from flopgate_agent.gate.authorities.license import LicenseDesk, Share
from flopgate_agent.gate.lanes.allowance import Allowed, Denied, projected
from flopgate_agent.gate.lanes.asking import drain_ms_of
from flopgate_agent.gate.lanes.lane import Lane
from flopgate_agent.gate.lanes.states import MAY_COMPUTE
from flopgate_agent.gate.licenses.row import opened, sealed
from flopgate_agent.gate.memory import LastReport, StoredLicenses
from flopgate_agent.gate.reports.chain import Chain
from flopgate_agent.gate.settings import GateSettings
from flopgate_proto.values import ChargedFigure

EARLY_LOOKS: Final = 4
"""The next step is reserved some looks before a lane would begin to wind down, or sooner: by a
sixteenth of a step."""


def _desks(authorities: Iterable[Authority]) -> Iterator[tuple[Authority, LicenseDesk]]:
    return ((one, desk) for one in authorities for desk in one.desks)


def _holding(authorities: Iterable[Authority]) -> list[tuple[Authority, LicenseDesk]]:
    """The desks at which a license is held: mostly none, and each step asks."""
    return [
        (one, desk)
        for one in authorities
        for desk in (one.desk, one.reserve_desk)
        if desk.standing.license is not None
    ]


class Licensing:
    """Reserves, ends and keeps the licenses of all authorities.

    Attributes:
        number: of the newest row; 0 before the first.
    """

    def __init__(self, settings: GateSettings, stored: StoredLicenses | None) -> None:
        self._settings = settings
        self._peaks = {
            lane.workload: settings.peak_tflop_per_s(lane.chips, ChargedFigure.HIGH)
            for lane in settings.lanes
        }
        self._stored = stored
        self._unwritten = False
        self.number = 0 if stored is None else stored.number

    def resume(
        self, authorities: Mapping[str, Authority], last: LastReport | None, now_ms: int
    ) -> None:
        """Go on from the row and the last report.

        Raises:
            StorageError: this host's gate did not write that row.
        """
        replaced = last is not None and last.report.host_id != self._settings.host_id
        if self._stored is None or replaced:
            # Another host's row: a fault holds everything until its key is back.
            return
        lanes = () if last is None else last.report.lanes
        quotes = () if last is None else last.report.quotes
        allotted = {lane.workload: lane.allotted_tflop for lane in lanes}
        quoted = {quote.authority: (quote.license, quote.reserve) for quote in quotes}
        for name, standings in opened(self._stored, self._settings.host_spki).items():
            if name not in authorities:
                continue
            authority = authorities[name]
            authority.desk = LicenseDesk(standings[0])
            authority.reserve_desk = LicenseDesk(standings[1], is_reserve=True)
            for desk, told in zip(authority.desks, quoted.get(name, (None, None)), strict=True):
                desk.resume(allotted, told, now_ms)
                authority.refusals |= dict(desk.standing.refusals)
                authority.unseen_pauses |= frozenset(desk.standing.unseen)
            authority.unseen_pauses -= authority.seen_pauses
        self._stored = None

    def next_row(self) -> int:
        """Number of the next row, which must be written.

        Raises:
            TpmError: the counter of rows cannot be made.
        """
        witness = self._settings.witness
        if witness is not None and self.number == 0:
            self.number = witness.spent()
        self.number += 1
        return self.number

    def keep(self, authorities: Collection[Authority], row: int = 0) -> KeepLicenses:
        """Write down where everything stands, in the next row or the one that ``row`` names.

        Raises:
            TpmError: as `next_row`.
        """
        number = row or self.next_row()
        self._unwritten = False
        for one, desk in _desks(authorities):
            desk.note_denials(one.refusals, one.unseen_pauses)
        standings = {one.name: (one.desk.kept(), one.reserve_desk.kept()) for one in authorities}
        return KeepLicenses(number=number, row=sealed(number, standings, self._settings.signer))

    # ------------------------------------------------------------------ each step

    def before(
        self,
        lanes: Mapping[str, Lane],
        authorities: Collection[Authority],
        ruling: Collection[Authority],
        chain: Chain,
        *,
        held_up: bool,
        now_ms: int,
        running_ms: int,
    ) -> list[Action]:
        """Before permission is worked out: what is over ends, and the next step is reserved.

        Args:
            lanes: by workload.
            authorities: all of them.
            ruling: those whose permission is needed.
            chain: of the host's reports.
            held_up: a fault denies everything, so nothing is reserved.
            now_ms: host elapsed time.
            running_ms: gate running time.
        """
        held = _holding(authorities)
        if not held:
            return []
        allotted = {name: lane.book.allotted_tflop for name, lane in lanes.items()}
        changed, told = False, list[Action]()
        for authority, desk in held:
            desk.note_time(now_ms)
            desk.note_peaks(self._peaks)
            if desk.is_reserve and authority in ruling:
                changed |= desk.move_along(allotted)
            elif desk.is_reserve:
                changed |= desk.stand_still(allotted)
        self._unwritten |= changed
        if held_up:
            return []
        changed = self._unwritten
        ruled = [name for name, lane in lanes.items() if lane.setting.chips]
        stop_ms = drain_ms_of(admitted(ruling)) + self._settings.enforcement_bound_ms
        for authority, desk in held:
            if not desk.is_reserve and authority.reserve_desk.opens():
                desk.exhausted |= self._exhausted(authority, lanes, stop_ms, now_ms)
        wanted = projected(ruled, ruling, now_ms, running_ms)
        for authority, desk in held:
            names = wanted.get((authority.name, desk.is_reserve), set())
            changed |= desk.note_denials(authority.refusals, authority.unseen_pauses)
            if ended := self._over(authority, desk, lanes, stop_ms, now_ms):
                self._end(desk, *ended)
                told.append(Tell(event=ended[0], subject=authority.name, detail=desk.kind))
                changed = chain.overdue = True
            elif names:
                changed |= self._reserve_if_due(
                    desk, names, lanes, chain, stop_ms=stop_ms, now_ms=now_ms
                )
            elif desk.is_reserve and not desk.in_use:
                changed |= desk.release()
        return [self.keep(authorities), *told] if changed else []

    def after(
        self,
        lanes: Mapping[str, Lane],
        permissions: Mapping[str, Allowed | Denied],
        authorities: Iterable[Authority],
        now_ms: int,
    ) -> None:
        """After the lanes stepped: which licenses let something run until the next step."""
        held = _holding(authorities)
        if not held:
            return
        allowed = {name: one for name, one in permissions.items() if isinstance(one, Allowed)}
        for authority, desk in held:
            names = {
                name
                for name, one in allowed.items()
                if one.by_license(authority.name, reserve=desk.is_reserve)
            }
            desk.last_let_run = (desk.last_let_run - set(allowed)) | names
            # A wind-down is let run by what ended.
            names |= {name for name in desk.running if isinstance(permissions[name], Denied)}
            desk.running = {name for name in names if lanes[name].state in MAY_COMPUTE}
            if desk.in_use and not desk.running:
                desk.idle_since_ms = now_ms
            desk.in_use = bool(desk.running)
            desk.since_ms = now_ms

    def _over(
        self,
        authority: Authority,
        desk: LicenseDesk,
        lanes: Mapping[str, Lane],
        stop_ms: int,
        now_ms: int,
    ) -> tuple[str, int] | None:
        """Why it ends, and its floor, once nothing runs under it and nothing can again."""
        held = desk.license
        if held is None or desk.in_use:
            return None
        if desk.standing.ended:
            return desk.standing.ended, desk.standing.floor
        told = authority.told_time
        if told is not None and told.latest_unix_ms(now_ms) >= held.not_after_unix_ms:
            return "license.expired", held.sequence
        if held.span_ms - desk.used_ms <= held.wind_down_ms + stop_ms:
            return "license.used-up", held.sequence
        for name in held.ceilings:
            lane = lanes.get(name)
            if lane is None or not lane.setting.chips or name in desk.exhausted:
                continue
            end_tflop = desk.bound_tflop(name, reserved=False) or 0
            orderly_tflop = self._cost_tflop(lane, self._orderly_ms(held.wind_down_ms, stop_ms))
            if end_tflop - lane.book.allotted_tflop > orderly_tflop:
                return None
        return "license.used-up", held.sequence

    def _exhausted(
        self, authority: Authority, lanes: Mapping[str, Lane], stop_ms: int, now_ms: int
    ) -> set[str]:
        """Workloads for which a license has too little left, before any wind-down begins."""
        desk, held = authority.desk, authority.desk.license
        if held is None:
            return set()
        orderly_ms = self._orderly_ms(held.wind_down_ms, stop_ms) + self._early_ms(held.step_ms)
        if desk.left_ms(authority.told_time, now_ms, reserved=False) <= orderly_ms:
            return set(held.ceilings)
        return {
            name
            for name in held.ceilings
            if (lane := lanes.get(name)) is not None
            and (desk.bound_tflop(name, reserved=False) or 0) - lane.book.allotted_tflop
            <= self._cost_tflop(lane, orderly_ms)
        }

    def _early_ms(self, step_ms: int) -> int:
        return max(EARLY_LOOKS * self._settings.sample_interval_ms, step_ms // 16)

    def _orderly_ms(self, wind_down_ms: int, stop_ms: int) -> int:
        settings = self._settings
        return wind_down_ms + stop_ms + settings.sample_interval_ms + settings.stall_timeout_ms

    @staticmethod
    def _cost_tflop(lane: Lane, span_ms: int) -> int:
        return -(-lane.peak_tflop_per_s * span_ms // 1000)

    def _reserve_if_due(
        self,
        desk: LicenseDesk,
        wanted: Collection[str],
        lanes: Mapping[str, Lane],
        chain: Chain,
        *,
        stop_ms: int,
        now_ms: int,
    ) -> bool:
        """Reserve the next step of what is wanted, if it is near its end or nothing is reserved.

        A step counts from what was reported: a crash then costs at most one.
        """
        held = desk.license
        if held is None:
            return False
        orderly_ms = self._orderly_ms(held.wind_down_ms, stop_ms) + self._early_ms(held.step_ms)
        reported = {lane.workload: lane.allotted_tflop for lane in chain.lanes}
        near = desk.standing.used_ms - desk.used_ms <= orderly_ms
        used_ms = max(desk.standing.used_ms, min(held.span_ms, desk.used_ms + held.step_ms))
        shares, gains = {}, near and used_ms > desk.standing.used_ms
        for name, share in (desk.standing.shares or {}).items():
            lane = lanes.get(name)
            allotted_tflop = 0 if lane is None else lane.book.allotted_tflop
            reserved_tflop = share.reserved_tflop
            if not desk.reserved:
                # What an earlier run reserved is lost, and must not be run under again.
                reserved_tflop = min(reserved_tflop, allotted_tflop)
            if lane is not None and name in wanted:
                step_tflop = self._cost_tflop(lane, held.step_ms)
                most_tflop = min(share.end_tflop, reported.get(name, 0) + step_tflop)
                left_tflop = reserved_tflop - allotted_tflop
                if left_tflop <= self._cost_tflop(lane, orderly_ms):
                    # Where the step ends too soon, the report of now makes room for more.
                    chain.overdue |= most_tflop < share.end_tflop
                    gains |= most_tflop > reserved_tflop
                    reserved_tflop = max(reserved_tflop, most_tflop)
            shares[name] = replace(share, reserved_tflop=reserved_tflop)
        if desk.reserved and not gains:
            return False
        desk.reserve(used_ms, shares, now_ms)
        return True

    @staticmethod
    def _end(desk: LicenseDesk, code: str, floor: int) -> None:
        desk.become(desk.standing.none(code, floor), desk.idle_since_ms)

    # ------------------------------------------------------------------ what people do

    def give_up(self, authorities: Collection[Authority], floor: int, now_ms: int) -> list[Action]:
        """The host retires, and nothing runs: every license goes back."""
        held = [desk for _, desk in _holding(authorities)]
        for desk in held:
            desk.become(desk.standing.none("license.retired", floor), now_ms)
        return [self.keep(authorities)] if held else []

    def give_back(
        self, authorities: Collection[Authority], chain: Chain, now_ms: int
    ) -> list[Action]:
        """The run ends, and nothing runs: what is reserved and not used goes back.

        Only what the last report shows as not used does.
        """
        changed = False
        reported = {lane.workload: lane.allotted_tflop for lane in chain.lanes}
        for _, desk in _desks(authorities):
            if desk.license is None or not desk.reserved or desk.in_use:
                continue
            desk.note_time(now_ms)
            shares = {
                name: _given_back(share, reported.get(name, 0), drawn=desk.drawn)
                for name, share in (desk.standing.shares or {}).items()
            }
            desk.reserve(min(desk.standing.used_ms, desk.used_ms), shares, now_ms)
            desk.reserved, changed = False, True
        return [self.keep(authorities)] if changed else []


def _given_back(share: Share, reported_tflop: int, *, drawn: bool) -> Share:
    """Nothing stays reserved but what was used, by the last report.

    Bounds of a reserve that is drawn stay above where they moved along last: else the next start
    would take what was drawn for what others let run.
    """
    least_tflop = max(reported_tflop, share.at_tflop + 1 if drawn else 0)
    return replace(share, reserved_tflop=min(share.reserved_tflop, least_tflop))
