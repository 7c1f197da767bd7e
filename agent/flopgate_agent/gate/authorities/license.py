"""A license of one authority at its gate, and what of it was reserved and spent (law 5). Pure.

    NONE ------------- installed ----------------------> HELD, or SEALED where it is a reserve
    SEALED ----------- opened by enough of its openers -> OPENED
    HELD, SEALED, OPENED -- a newer one of its kind ---> HELD or SEALED
    HELD, SEALED, OPENED -- used up, past its end, returned, retired, rolled back --> NONE

A license and a reserve of one authority stand side by side, each in a table of its own.

Laws of this table:

* Reserve before run: what runs under a license lies within ``reserved_ms`` and each lane's
  ``reserved_tflop``, and both are durable before. In a new run nothing is reserved.
* A start never gains: what was reserved and is in no report is lost, from the end of the ceiling
  and from the span.
* ``floor`` only grows, and no request up to it gets a license any more.
* NONE comes when nothing runs under it, and is quoted once the figures show all that was done.
* Nothing but a reserve spends a reserve: while others let a lane run, its bounds move along. But
  where its authority has no say, they stand still: what runs then is under no ceiling of it, so it
  draws the reserve in its books.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from flopgate_agent.gate.authorities.told_time import ToldTime
from flopgate_proto.values import LicenseQuote, LicenseState, Refusal, SingleUse

ASKED_MAX: Final = 8
"""Requests of which a license may still come, the newest to stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A report of this chain that asked for a license.

    ``allotted`` holds the allotted total of each workload at that time. ``made_ms`` is on the clock
    of ``boot_id``. ``told_unix_ms``: no earlier was it then, as far as the authority's online key
    had told, 0 where it had not; ``running_ms``: gate running time.
    """

    digest: bytes
    sequence: int
    run_nonce: bytes
    boot_id: bytes
    made_ms: int
    reserve: bool
    allotted: dict[str, int]
    told_unix_ms: int
    running_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class License:
    """What was granted and approved; it never changes.

    ``request`` and ``sequence`` are of the report that asked; ``ceilings`` bound the host's running
    total, by workload. Of a reserve they are what it may add to that total, whatever others did.
    ``peaks``: most TFLOP/s that each lane's chips may be able to do.
    """

    request: bytes
    sequence: int
    approval: bytes
    batch_number: int
    span_ms: int
    step_ms: int
    wind_down_ms: int
    exempt: bool
    single_use: SingleUse
    ceilings: dict[str, int]
    peaks: dict[str, int]
    not_before_unix_ms: int
    not_after_unix_ms: int
    reserve: bool
    opener_spkis: tuple[bytes, ...]
    opener_threshold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Of one lane, bounds on its allotted total: what is left to reserve, and what is reserved.

    ``at_tflop``: of a reserve, that total when the bounds last moved along: where no more than
    that is reserved, what others let run since takes nothing off.
    """

    end_tflop: int
    reserved_tflop: int
    at_tflop: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a gate stands with licenses of one kind and one authority, as it is kept.

    Attributes:
        used_ms: reserved time included: a run ends before it has used more.
        ended: why nothing may run under it any more, or why there is none, a code; empty where
            neither is so.
        refusals, unseen: what newer answers said against running, by workload, and digests of
            pauses that have not arrived: it outlives a run, as the license does.
    """

    state: LicenseState = LicenseState.NONE
    license: License | None = None
    floor: int = 0
    used_ms: int = 0
    shares: Mapping[str, Share] | None = None
    opening: bytes = b""
    ended: str = ""
    asked: tuple[Asked, ...] = ()
    refusals: tuple[tuple[str, Refusal], ...] = ()
    unseen: tuple[bytes, ...] = ()

    def asks(self, asked: Asked) -> Standing:
        """One more request was made."""
        return replace(self, asked=(*self.asked, asked)[-ASKED_MAX:])

    def installed(self, license_: License) -> Standing:
        """A license was accepted."""
        return Standing(
            state=LicenseState.SEALED if license_.reserve else LicenseState.HELD,
            license=license_,
            floor=max(self.floor, license_.sequence),
            shares={
                name: Share(end_tflop=most, reserved_tflop=0)
                for name, most in license_.ceilings.items()
            },
            asked=tuple(one for one in self.asked if one.sequence > license_.sequence),
        )

    def returned(self, floor: int) -> Standing:
        """The host's people give back what they hold; none asked for up to now comes any more.

        The floor is quoted while what is held still winds down, and frees the others at once.
        """
        none = self.none("license.returned", floor)
        if self.license is None:
            return none
        return replace(self, ended=none.ended, floor=none.floor, asked=none.asked)

    def opened(self, opening: bytes) -> Standing:
        """Enough of its openers opened the reserve."""
        return replace(self, state=LicenseState.OPENED, opening=opening)

    def none(self, ended: str, floor: int) -> Standing:
        """It is over; none for a request up to ``floor`` is taken any more."""
        floor = max(self.floor, floor)
        asked = tuple(one for one in self.asked if one.sequence > floor)
        return Standing(floor=floor, ended=ended, asked=asked)

    def quote(self) -> LicenseQuote | None:
        """What a report says of it; ``None`` before the first license."""
        if self.license is None:
            return LicenseQuote(state=LicenseState.NONE, floor=self.floor) if self.floor else None
        return LicenseQuote(
            state=self.state,
            request=self.license.request,
            floor=self.floor,
            used_ms=self.used_ms,
            opening=self.opening,
        )


class LicenseDesk:
    """The standing of one authority's licenses of one kind in this run.

    Attributes:
        is_reserve: its kind.
        drawn: of a reserve, whether its authority has no say, so that whatever runs draws it.
        used_ms: of the span, so far.
        in_use: whether a lane is let run by it, since ``since_ms`` of host elapsed time.
        running: workloads that it lets run.
        idle_since_ms: since when it lets nothing run, where it does not.
        reserved: whether anything was reserved in this run.
        exhausted: workloads for which too little is left, while an opened reserve can take over.
        outgrown: workloads whose lane has chips that can do more than it was given for: their peak.
        last_let_run: workloads that it was the last to let run: what they still do is its own.
    """

    def __init__(self, standing: Standing | None = None, *, is_reserve: bool = False) -> None:
        self.is_reserve = is_reserve
        self.drawn = False
        self._placed = True
        self.standing = standing or Standing()
        self.used_ms = self.standing.used_ms
        self.in_use = False
        self.since_ms = 0
        self.running: set[str] = set()
        self.idle_since_ms = 0
        self.reserved = False
        self.exhausted: set[str] = set()
        self.last_let_run: set[str] = set()
        self.outgrown: dict[str, int] = {}
        self._before_start: Mapping[str, Share] | None = None
        self._quotes: list[tuple[int, LicenseQuote | None]] = [(0, self.standing.quote())]

    @property
    def kind(self) -> str:
        """In words."""
        return "reserve license" if self.is_reserve else "license"

    @property
    def license(self) -> License | None:
        """The license held, sealed ones included."""
        return self.standing.license

    def resume(self, allotted: Mapping[str, int], quoted: LicenseQuote | None, now_ms: int) -> None:
        """A new run: what was reserved and is in no report is lost.

        Args:
            allotted: totals of the last report, by workload.
            quoted: what that report says of the license.
            now_ms: host elapsed time of the start.
        """
        shares = {
            name: self._resumed(share, allotted.get(name, 0))
            for name, share in (self.standing.shares or {}).items()
        }
        if not self.is_reserve:
            self._before_start = self.standing.shares
        self.standing = replace(self.standing, shares=shares)
        self.since_ms = self.idle_since_ms = now_ms
        self._quotes = [(0, quoted)]
        self._quotes.append((now_ms, self._quote()))

    def _resumed(self, share: Share, allotted_tflop: int) -> Share:
        end_tflop = share.end_tflop - max(0, share.reserved_tflop - allotted_tflop)
        if not self.is_reserve:
            return replace(share, end_tflop=end_tflop)
        if share.reserved_tflop <= share.at_tflop:
            # Nothing was reserved: all that the last report shows was let run by others.
            end_tflop = share.end_tflop + allotted_tflop - share.at_tflop
        return Share(end_tflop=end_tflop, reserved_tflop=allotted_tflop, at_tflop=allotted_tflop)

    def stand_still(self, allotted: Mapping[str, int]) -> bool:
        """Its authority has no say from now on; whether that must be written down.

        Bounds that lie above where they moved along last tell the next start that they stood.
        """
        if self.drawn:
            return False
        if not self._placed:
            self.move_along(allotted)
        self.drawn, shares = True, self.standing.shares or {}
        if all(one.reserved_tflop > one.at_tflop for one in shares.values()):
            return False
        shares = {
            name: replace(one, reserved_tflop=max(one.reserved_tflop, one.at_tflop + 1))
            for name, one in shares.items()
        }
        self.standing = replace(self.standing, shares=shares)
        return True

    def move_along(self, allotted: Mapping[str, int]) -> bool:
        """Allotted totals of now, by workload: what others let run takes nothing off a reserve.

        Whether that must be written down: its authority has its say again.
        """
        shares, drawn = {}, self.drawn
        self.drawn, self._placed = False, True
        for name, share in (self.standing.shares or {}).items():
            at_tflop = allotted.get(name, share.at_tflop)
            if drawn:
                shares[name] = replace(share, reserved_tflop=at_tflop, at_tflop=at_tflop)
                continue
            by_tflop = 0 if name in self.last_let_run else at_tflop - share.at_tflop
            shares[name] = Share(
                end_tflop=share.end_tflop + by_tflop,
                reserved_tflop=share.reserved_tflop + by_tflop,
                at_tflop=at_tflop,
            )
        self.standing = replace(self.standing, shares=shares)
        return drawn

    def release(self) -> bool:
        """Others let everything run again: nothing stays reserved; whether anything was."""
        shares = self.standing.shares or {}
        if (
            self.drawn
            or self.last_let_run
            or all(one.reserved_tflop <= one.at_tflop for one in shares.values())
        ):
            return False
        shares = {n: replace(one, reserved_tflop=one.at_tflop) for n, one in shares.items()}
        self.standing = replace(self.standing, shares=shares)
        return True

    def become(self, standing: Standing, now_ms: int) -> None:
        """Stand otherwise from now on."""
        if standing.license is not self.standing.license:
            self.used_ms, self.reserved, self.in_use = standing.used_ms, False, False
            self.drawn = self._placed = False
            self.running, self.exhausted, self.last_let_run, self.outgrown = set(), set(), set(), {}
            self._before_start = None
        self.standing = standing
        self._quotes.append((now_ms, self._quote()))

    def _quote(self) -> LicenseQuote | None:
        """Never less than it said before: what an orderly stop gives back would look like fraud."""
        quote, before = self.standing.quote(), self._quotes[-1][1]
        if quote is None or before is None or quote.request != before.request:
            return quote
        return replace(quote, used_ms=max(quote.used_ms, before.used_ms))

    def reserve(self, used_ms: int, shares: Mapping[str, Share], now_ms: int) -> None:
        """This much may be used in this run, once it is durable."""
        self.reserved = True
        self._before_start = None
        self.become(replace(self.standing, used_ms=used_ms, shares=dict(shares)), now_ms)

    def note_denials(self, refusals: Mapping[str, Refusal], unseen: Collection[bytes]) -> bool:
        """What denies now; whether that is not as it was written down."""
        before = self.standing
        if before.license is not None:
            told = tuple(sorted(refusals.items())), tuple(sorted(unseen))
            if told != (before.refusals, before.unseen):
                self.standing = replace(before, refusals=told[0], unseen=told[1])
        return self.standing is not before

    def kept(self) -> Standing:
        """As it is written down: a run that reserves nothing takes nothing off at the next start.

        Else each start would lose once more what one run lost.
        """
        if self._before_start is None:
            return self.standing
        return replace(self.standing, shares=self._before_start)

    def quote_at(self, end_ms: int) -> LicenseQuote | None:
        """What a report says whose figures go up to ``end_ms``: it frees what they all show."""
        while len(self._quotes) > 1 and self._quotes[1][0] <= end_ms:
            del self._quotes[0]
        return self._quotes[0][1]

    def used_until(self, now_ms: int) -> int:
        """Of the span, up to this moment of host elapsed time."""
        return self.used_ms + (max(0, now_ms - self.since_ms) if self.in_use else 0)

    def note_time(self, now_ms: int) -> None:
        """Metered uptime: what runs under it uses its span."""
        self.used_ms, self.since_ms = self.used_until(now_ms), now_ms

    def note_peaks(self, peaks: Mapping[str, int]) -> None:
        """What the chips of each lane can do at most, TFLOP/s, by workload."""
        most = {} if self.license is None else self.license.peaks
        self.outgrown = {n: peaks[n] for n in most.keys() & peaks.keys() if peaks[n] > most[n]}

    # ------------------------------------------------------------------ what it lets run

    def begun(self, told: ToldTime | None, now_ms: int) -> bool:
        """Whether its time has surely come."""
        held = self.license
        if held is None or told is None:
            return False
        return told.earliest_unix_ms(now_ms) >= held.not_before_unix_ms

    def opens(self) -> bool:
        """Whether one is held that may let something run."""
        held = self.standing.state in {LicenseState.HELD, LicenseState.OPENED}
        return held and not self.standing.ended

    def left_ms(self, told: ToldTime | None, now_ms: int, *, reserved: bool) -> int:
        """For how long it lets run: of its span, or of what is reserved of it, and of its dates."""
        held = self.license
        if held is None or told is None:
            return 0
        most_ms = held.span_ms
        if reserved:
            most_ms = self.standing.used_ms if self.reserved else self.used_ms
        dated_ms = held.not_after_unix_ms - told.latest_unix_ms(now_ms)
        return max(0, min(most_ms - self.used_ms, dated_ms))

    def bound_tflop(self, workload: str, *, reserved: bool) -> int | None:
        """Bound on a lane's allotted total; ``None``: it says nothing of this workload."""
        share = (self.standing.shares or {}).get(workload)
        if share is None:
            return None
        return share.reserved_tflop if reserved else share.end_tflop
