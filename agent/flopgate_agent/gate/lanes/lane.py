"""One lane: from permission to standstill, all of it inside the lifetime (law 1).

Timeline of a stop, all on host elapsed time. ``until`` is the end of the lifetime:

    wind-down          freeze              kill                  until
    |--- wind_down ----|------ drain ------|-- enforcement bound --|

Nothing waits for good will: the freeze needs none of the job, the kill none of the freeze.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from flopgate_agent.gate.actions import (
    Action,
    Deny,
    Freeze,
    Kill,
    Notify,
    Restore,
    Slow,
    Tell,
    Thaw,
)
from flopgate_agent.gate.lanes import insisting
from flopgate_agent.gate.lanes.allowance import Allowed, Denied
from flopgate_agent.gate.lanes.book import LaneBook
from flopgate_agent.gate.lanes.chip_meter import ChipMeter
from flopgate_agent.gate.lanes.outlook import LOOK_MS_MAX, Outlook, WouldStop, outlook
from flopgate_agent.gate.lanes.states import MAY_COMPUTE, RUNGS, Rung, check_step
from flopgate_agent.gate.settings import GateSettings, LaneSetting
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import ChargedFigure, LaneState, Phase

PRESSED = 2
"""A new ceiling is asked for while what is left still covers so many orderly stops."""
COMPUTING: Final = "lane.computing_without_permission"


class Lane:
    """State machine of one lane. Starts FROZEN: whatever runs without permission is held.

    Where the phase does not bite it runs, whatever permission says; ``would`` holds what would have
    stopped it. ``figure`` is the one that policy charges; ``pressed`` says that the ceiling comes
    near; ``ceiling_tflop`` bounds the allotted book (``None``: no grant); ``killed``: in this stop.
    """

    def __init__(
        self, setting: LaneSetting, settings: GateSettings, chips: Sequence[ChipMeter], now_ms: int
    ) -> None:
        self.setting = setting
        self.workload = setting.workload
        self.book = LaneBook()
        self.state = LaneState.FROZEN
        self.why: Denied | None = None
        self.since_ms = now_ms
        self.figure = ChargedFigure.NOMINAL
        self.pressed = False
        self.ceiling_tflop: int | None = None
        self.would: WouldStop | None = None
        # What starts without permission is held without a notice: only who ran so far gets one.
        self._warned = True
        self._peaks: dict[ChargedFigure, int] = {}
        self.allowed = False
        self._stopped_ms: int | None = None
        self._settings = settings
        self._bound_ms = settings.enforcement_bound_ms
        # Between two looks at their closest work goes unseen; a stall shows after its timeout.
        self._blind_ms = settings.sample_interval_ms + settings.stall_timeout_ms
        self._look_after_ms = settings.sample_interval_ms
        self._chips = chips
        self._freeze_at_ms = now_ms
        self._kill_at_ms: int | None = None
        self._tell_kill_ms = now_ms
        self._looks = insisting.Looks(chips)
        self._held: tuple[int, ...] = ()
        # What a gate before this one left standing is unknown: the first step says it anew.
        self._rungs: frozenset[Rung] | None = None
        self.killed = False
        self._latest_freeze_ms: int | None = None
        self._tightest_ms: int | None = None

    @property
    def pids(self) -> tuple[int, ...]:
        """Processes with a context on a chip of this lane, sorted."""
        return tuple(sorted({pid for chip in self._chips for pid in chip.pids}))

    @property
    def unheld(self) -> bool:
        """Whether somebody has a context on a chip of this lane who was not frozen with it."""
        return bool(set(self.pids) - set(self._held))

    @property
    def active(self) -> bool:
        """Whether any chip of the lane worked at the last look, or cannot be read."""
        return any(chip.active for chip in self._chips)

    @property
    def peak_tflop_per_s(self) -> int:
        """Fastest that the books of this lane can grow under the policy in force."""
        peak = self._peaks.get(self.figure)
        if peak is None:
            peak = self._settings.peak_tflop_per_s(self.setting.chips, self.figure)
            self._peaks[self.figure] = peak
        return peak

    @property
    def worked(self) -> bool:
        """Whether any chip of the lane was seen to work at the last look."""
        return any(chip.worked for chip in self._chips)

    def lose_hold(self) -> None:
        """Actions may have been voided: nothing counts as held until it is frozen again."""
        self._held = ()
        self._rungs = None

    def wind_on(self, freeze_at_ms: int) -> None:
        """A run before this one was winding it down, and told it until when."""
        self.state, self._freeze_at_ms = LaneState.WINDING_DOWN, freeze_at_ms

    def _cost_tflop(self, span_ms: int) -> int:
        return -(-self.peak_tflop_per_s * span_ms // 1000)

    def ceiling_at(self, from_ms: int) -> int | None:
        """The ceiling for what was computed in an interval that began at ``from_ms``.

        After a pause, a refusal or a fault the grant still covers the wind-down, up to the freeze;
        what goes on behind the freeze nobody granted.
        """
        if self.allowed or self.state in MAY_COMPUTE:
            return self.ceiling_tflop
        if self._stopped_ms is not None and from_ms < self._stopped_ms:
            return self.ceiling_tflop
        return None

    def left_tflop(self, allowed: Allowed) -> int:
        """What the ceiling still covers."""
        return max(0, allowed.ceiling_tflop - self.book.allotted_tflop)

    def look_by_ms(self, covered_ms: int) -> int:
        """By when to look again, as of the last step; ``covered_ms`` is the newest look.

        A running lane need not be looked at before it can have come near its ceiling, at its peak
        rate: nothing would follow from what is seen. A stop is watched closely; and where nothing
        may run, the closest rhythm bounds how long somebody who comes nevertheless goes unseen.
        """
        if self.state is LaneState.FROZEN and covered_ms < self.since_ms + insisting.STUBBORN_MS:
            return max(covered_ms, self.since_ms) + self._settings.watch_interval_ms
        return covered_ms + self._look_after_ms

    def _patience_ms(self, left_tflop: int, pressed_tflop: int) -> int:
        least_ms, peak = self._settings.sample_interval_ms, self.peak_tflop_per_s
        if not peak:
            return LOOK_MS_MAX
        return max(least_ms, min((left_tflop - pressed_tflop) * 1000 // peak, LOOK_MS_MAX))

    def get_timer(self) -> int | None:
        """When time alone changes something; ``None`` while it does not."""
        match self.state:
            case LaneState.WINDING_DOWN:
                return self._freeze_at_ms
            case LaneState.FROZEN:
                return self._kill_at_ms
            case LaneState.RUNNING | LaneState.EXEMPT:
                return self._tightest_ms
            case _:
                return None

    def step(
        self, permission: Allowed | Denied, drain_ms: int, now_ms: int, phase: Phase = Phase.ENFORCE
    ) -> list[Action]:
        """Let permission, time and what the chips show act on the lane, as far as rules bite."""
        self.pressed = False
        self.allowed = isinstance(permission, Allowed)
        self._look_after_ms = self._settings.sample_interval_ms
        loose = phase is not Phase.ENFORCE
        if loose:
            actions = self._step_loose(permission, drain_ms, now_ms, phase)
        else:
            if self.would is not None:
                self.why = self.would = None
            if isinstance(permission, Allowed):
                actions = self._step_allowed(permission, drain_ms, now_ms)
            else:
                actions = self._step_denied(permission, drain_ms, now_ms)
        climb = self._climb(loose=loose)
        return [*(climb if self.setting.chips else ()), *actions]

    def _climb(self, *, loose: bool) -> list[Action]:
        """What the state asks of the chips and they do not have yet, before anything else."""
        asked, stand = RUNGS[self.state], self._rungs
        if not asked:
            self._rungs = asked
            if stand == asked:
                return []
            until_ms = COUNT_MAX if loose else self._latest_freeze_ms or 0
            return [Restore(workload=self.workload, until_ms=until_ms)]
        if self.killed:
            asked |= {Rung.SLOW}
        missing = asked - (stand or frozenset())
        self._rungs = asked | (stand or frozenset())
        deny: list[Action] = [Deny(workload=self.workload)] if Rung.DENY in missing else []
        return [*deny, *([Slow(workload=self.workload)] if Rung.SLOW in missing else [])]

    def _step_loose(
        self, permission: Allowed | Denied, drain_ms: int, now_ms: int, phase: Phase
    ) -> list[Action]:
        """Whatever permission says, the lane runs; once rules bite, it gets its wind-down."""
        exempt = isinstance(permission, Allowed) and permission.exempt
        actions = self._run(exempt=exempt, freeze_at_ms=COUNT_MAX, now_ms=now_ms)
        why: Denied | None = None
        freeze_at_ms, self._tightest_ms, self._latest_freeze_ms = now_ms, None, None
        match permission:
            case Denied():
                why = permission
                freeze_at_ms += permission.wind_down_ms
            case Allowed():
                looked = self._outlook(permission, drain_ms, now_ms)
                why = looked.why
                if why is None:
                    self._tightest_ms = looked.wind_down_at_ms
                elif not looked.at_once:
                    freeze_at_ms = min(looked.freeze_at_ms, now_ms + permission.wind_down_ms)
        told, self.why = self.would, why
        if why is None:
            self.would, self._warned = None, False
            gone = Tell(event="lane.would-go-on", subject=self.workload, detail="")
            return [*actions, *([gone] if told else ())]
        if told is None:
            self.would = WouldStop(why=why, since_ms=now_ms, freeze_at_ms=freeze_at_ms)
        else:
            freeze_at_ms = min(freeze_at_ms, told.freeze_at_ms)
            self.would = replace(told, why=why, freeze_at_ms=freeze_at_ms)
            if told.why.reason == why.reason:
                return actions
        left_ms = max(0, freeze_at_ms - now_ms)
        detail = f"{why.reason}: {why.detail}; {left_ms} ms to the freeze, were it enforced"
        actions.append(Tell(event="lane.would-stop", subject=self.workload, detail=detail))
        if phase is Phase.WARN and not self._warned:
            self._warned = True
            actions.append(Notify(workload=self.workload, pids=self.pids, left_ms=left_ms))
        return actions

    def _outlook(self, allowed: Allowed, drain_ms: int, now_ms: int) -> Outlook:
        stop_ms = drain_ms + self._bound_ms
        looked = outlook(
            allowed,
            left_tflop=self.left_tflop(allowed),
            at_once_tflop=self._cost_tflop(self._blind_ms + stop_ms),
            orderly_tflop=self._cost_tflop(allowed.wind_down_ms + self._blind_ms + stop_ms),
            stop_ms=stop_ms,
            now_ms=now_ms,
        )
        pressed_tflop = PRESSED * looked.orderly_tflop
        # More of a license is reserved, not asked for.
        self.pressed = not allowed.licensed_by and looked.left_tflop <= pressed_tflop
        if looked.why is None:
            self._look_after_ms = self._patience_ms(looked.left_tflop, pressed_tflop)
        return looked

    def _step_allowed(self, allowed: Allowed, drain_ms: int, now_ms: int) -> list[Action]:
        outlook = self._outlook(allowed, drain_ms, now_ms)
        freeze_at_ms, why = outlook.freeze_at_ms, outlook.why
        self._latest_freeze_ms = freeze_at_ms
        if why is not None:
            if outlook.at_once:
                return self._stop_now(why, drain_ms, now_ms)
            if self.state not in MAY_COMPUTE:
                # Too little is left to start with: wait for the next grant, keep what stands.
                return self._hold(why, drain_ms, now_ms)
            # A ceiling can end long before the permit does: the notice says what is really left.
            ends_ms = min(freeze_at_ms, now_ms + allowed.wind_down_ms)
            if self.state is LaneState.WINDING_DOWN:
                ends_ms = min(ends_ms, self._freeze_at_ms)
            if now_ms >= ends_ms:
                return self._stop_now(why, drain_ms, now_ms)
            return self._wind_down(why, ends_ms, now_ms)
        self._tightest_ms = outlook.wind_down_at_ms
        return self._run(exempt=allowed.exempt, freeze_at_ms=freeze_at_ms, now_ms=now_ms)

    def _step_denied(self, denied: Denied, drain_ms: int, now_ms: int) -> list[Action]:
        if self.state not in MAY_COMPUTE:
            return self._hold(denied, drain_ms, now_ms)
        freeze_at_ms = now_ms + denied.wind_down_ms
        if self._latest_freeze_ms is not None:
            freeze_at_ms = min(freeze_at_ms, self._latest_freeze_ms)
        if self.state is LaneState.WINDING_DOWN:
            freeze_at_ms = min(freeze_at_ms, self._freeze_at_ms)
        if now_ms >= freeze_at_ms:
            return self._stop_now(denied, drain_ms, now_ms)
        return self._wind_down(denied, freeze_at_ms, now_ms)

    def _run(self, *, exempt: bool, freeze_at_ms: int, now_ms: int) -> list[Action]:
        state = LaneState.EXEMPT if exempt else LaneState.RUNNING
        thaw: list[Action] = []
        # A thaw may be among what was voided: where rungs are asked for anew, it is as well.
        if self.state not in MAY_COMPUTE or self._rungs is None:
            thaw = [Thaw(workload=self.workload, until_ms=freeze_at_ms)]
            self._held = ()
        if self.state is state:
            return thaw
        self._enter(state, now_ms)
        self.why = None
        return [*thaw, Tell(event="lane.runs", subject=self.workload, detail=state.name.lower())]

    def _wind_down(self, why: Denied, freeze_at_ms: int, now_ms: int) -> list[Action]:
        self._freeze_at_ms = freeze_at_ms
        self.why = why
        if self.state is LaneState.WINDING_DOWN:
            return []
        self._enter(LaneState.WINDING_DOWN, now_ms)
        left_ms = freeze_at_ms - now_ms
        return [
            Tell(
                event="lane.winds-down",
                subject=self.workload,
                detail=f"{why.reason}: {why.detail}; {left_ms} ms to the freeze",
            ),
            Notify(workload=self.workload, pids=self.pids, left_ms=left_ms),
        ]

    def _stop_now(self, why: Denied, drain_ms: int, now_ms: int) -> list[Action]:
        if self.state in MAY_COMPUTE:
            self.why = why
            self._enter(LaneState.FROZEN, now_ms)
            told = Tell(event="lane.frozen", subject=self.workload, detail=why.reason)
            return [told, *self._freeze(drain_ms, now_ms)]
        return self._hold(why, drain_ms, now_ms)

    def _freeze(self, drain_ms: int, now_ms: int) -> list[Action]:
        self._kill_at_ms = now_ms + drain_ms
        self._looks.begin()
        self._held = self.pids
        return [Freeze(workload=self.workload, pids=self._held)]

    def _kill(self, now_ms: int, *, woken: bool = False) -> list[Action]:
        tried_ms = now_ms - self.since_ms
        self._kill_at_ms = now_ms + insisting.again_after_ms(tried_ms, left=bool(self.pids))
        first, self.killed = not (self.killed or woken), True
        kill = Kill(workload=self.workload, pids=self.pids)
        if now_ms < self._tell_kill_ms:
            return [kill]
        # The first kill lies inside the lifetime; what goes on after its bound has no permission.
        self._tell_kill_ms = now_ms + (self._bound_ms if first else insisting.RETELL_MS)
        detail = f"not still after {tried_ms} ms: killed, and again until it stands"
        event = "lane.killed" if first else COMPUTING
        return [Tell(event=event, subject=self.workload, detail=detail), kill]

    def _hold(self, why: Denied, drain_ms: int, now_ms: int) -> list[Action]:
        """No permission and nothing should run: keep it so, and prove it."""
        self.why = why
        unheld = self.unheld
        if self.state is LaneState.HALTED:
            if not unheld and not self.active:
                return []
            self._enter(LaneState.FROZEN, now_ms)
            found = "work" if self.worked else "a new process" if unheld else "activity"
            told = Tell(event="lane.disturbed", subject=self.workload, detail=f"{found}, held")
            # Only where nothing could be read, the whole drain is waited for it to come back.
            seen = unheld or self.worked
            wait_ms = min(drain_ms, insisting.NEWCOMER_DRAIN_MS) if seen else drain_ms
            freeze = self._freeze(wait_ms, now_ms)
            # What stood still and works again was woken by somebody: it gets no time to drain. A
            # job that a scheduler started here is held, and killed only if it does not stand.
            woken = self.worked and not unheld
            return [told, *freeze, *(self._kill(now_ms, woken=True) if woken else ())]
        if self._still_since_freeze():
            self._enter(LaneState.HALTED, now_ms)
            return [Tell(event="lane.halted", subject=self.workload, detail=why.reason)]
        if self._kill_at_ms is None:
            return self._freeze(drain_ms, now_ms)
        enough, ends_ms = self._looks.enough(), self.since_ms + drain_ms
        if now_ms >= self._kill_at_ms:
            if self.killed or enough or now_ms >= ends_ms:
                return self._kill(now_ms)
            self._kill_at_ms = min(now_ms + self._settings.watch_interval_ms, ends_ms)
        if unheld:
            # A latecomer extends nothing: the kill comes when it was due, or sooner.
            newcomer_ms = now_ms + min(drain_ms, insisting.NEWCOMER_DRAIN_MS)
            self._kill_at_ms = min(self._kill_at_ms, newcomer_ms)
            self._held = self.pids
            return [Freeze(workload=self.workload, pids=self._held)]
        return []

    def _still_since_freeze(self) -> bool:
        return all(
            chip.still_since_ms is not None
            and chip.judged_until_ms > max(chip.still_since_ms, self.since_ms)
            for chip in self._chips
        )

    def _enter(self, state: LaneState, now_ms: int) -> None:
        if self.state in MAY_COMPUTE and state not in MAY_COMPUTE:
            self._stopped_ms = now_ms
        self.state = check_step(self.state, state)
        self.since_ms = self._tell_kill_ms = now_ms
        self.killed = False
