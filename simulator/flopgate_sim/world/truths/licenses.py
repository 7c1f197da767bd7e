"""What licenses of a host really were worth, and what really ran by them: law 5 is judged by this.

What was given is read from the bytes that left an authority. What ran is what the chips did while
the gate let a lane run by that license: the gate says which; where it says none, law 1 judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flopgate_agent.gate.lanes.allowance import Allowed
from flopgate_agent.gate.lanes.states import MAY_COMPUTE
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LicenseApproval, SingleUse
from flopgate_sim.world.nature.engine import US_PER_MS, US_PER_S

if TYPE_CHECKING:
    from flopgate_agent.gate.core import GateCore
    from flopgate_sim.world.hosts.gate_side import GateSide

TFLOP = 10**12
ROUNDING_TFLOP = 4
UNSAID_SLACK_TFLOP = 20_000
"""A gate counts its running time by a clock that drifts: so much for the seconds in which it still
needs whom the judge does not."""
LATE_US = 10 * US_PER_S
"""A look, and what a stop in order takes beyond what is counted as let run."""


@dataclass(slots=True, kw_only=True)
class Given:
    """A license that left an authority.

    Attributes:
        budget_tflop: by workload: how far its ceiling lies above what the request reported.
        spent_flop: by workload: what the chips did while it let them.
        ran_us: how long it let anything run.
        over: a report that this authority acknowledged said that it is held no more, and never
            will be.
        restores: how often an older disk was put back on its host since it was given.
        excused: somebody gave it back, took another in its place, or may have lost it.
        drawn_tflop: of a reserve, by workload: what the gate booked while it let it.
        unsaid_tflop: of a reserve, by workload: what the gate booked while the authority rightly
            had no say; whatever a grant of it does not cover, draws it.
    """

    authority: str
    request: bytes
    budget_tflop: dict[str, int]
    span_ms: int
    not_after_unix_ms: int
    single_use: SingleUse
    sequence: int
    reserve: bool
    spent_flop: dict[str, int] = field(default_factory=dict)
    ran_us: int = 0
    over: bool = False
    restores: int = 0
    excused: bool = False
    drawn_tflop: dict[str, int] = field(default_factory=dict)
    unsaid_tflop: dict[str, int] = field(default_factory=dict)

    @property
    def uses(self) -> int:
        """How often it may be spent: each restored disk that no counter tells counts once more."""
        return 1 if self.single_use is SingleUse.TPM else 1 + self.restores


@dataclass(slots=True)
class LicenseTruth:
    """All licenses of one host.

    Attributes:
        given: by authority and request.
        faults: what went wrong when it happened, in words.
    """

    given: dict[tuple[str, bytes], Given] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _permitted: dict[str, tuple[tuple[tuple[str, bytes], ...], int]] = field(default_factory=dict)
    _running: tuple[frozenset[tuple[str, bytes]], int] = (frozenset(), 0)
    _floors: dict[str, tuple[int, int]] = field(default_factory=dict)
    _draws: dict[str, tuple[tuple[tuple[str, bytes], ...], int]] = field(default_factory=dict)
    _unsaid: dict[str, tuple[frozenset[tuple[str, bytes]], int]] = field(default_factory=dict)
    _dead_us: int = 0
    _died_us: int | None = None

    def left(
        self, authority: str, answer: pb.Answer, approval: LicenseApproval, allotted: dict[str, int]
    ) -> None:
        """A license left an authority; ``allotted`` is as the request reported."""
        key = (authority, answer.request_digest)
        if key in self.given:
            return
        self.given[key] = Given(
            authority=authority,
            request=answer.request_digest,
            budget_tflop={
                one.workload: one.ceiling.ceiling_tflop - allotted.get(one.workload, 0)
                for one in answer.verdicts
                if one.HasField("ceiling")
            },
            span_ms=answer.terms.lifetime_ms,
            not_after_unix_ms=approval.not_after_unix_ms,
            single_use=SingleUse(answer.terms.license.single_use),
            sequence=answer.acknowledged_sequence,
            reserve=approval.reserve,
        )

    def restored(self) -> None:
        """An older disk was put back."""
        for one in self.given.values():
            one.restores += 1
            one.excused = True

    def taken(self, brought: pb.HostLicense) -> None:
        """A gate may take it: others of its kind are over there then."""
        answer = pb.Answer.FromString(brought.answer.answers[0].payload)
        new = self.given.get((brought.authority, answer.request_digest))
        if new is not None:
            for one in self.given.values():
                alike = one.reserve is new.reserve and one.authority == new.authority
                one.excused |= alike and one is not new

    def returned(self, authority: str, *, reserve: bool) -> None:
        """All of a kind go back."""
        for one in self.given.values():
            one.excused |= one.authority == authority and one.reserve is reserve

    def cloned(self, other: LicenseTruth) -> None:
        """A copy of the other's disk runs here: what either spends from now on is its own."""
        self.given = {
            key: replace(
                one,
                spent_flop=dict(one.spent_flop),
                drawn_tflop=dict(one.drawn_tflop),
                unsaid_tflop=dict(one.unsaid_tflop),
            )
            for key, one in other.given.items()
        }
        self._floors = dict(other._floors)

    def quoted(self, authority: str, quote: pb.LicenseQuote, *, reserve: bool) -> list[Given]:
        """An acknowledged report says where the gate stands with licenses of a kind.

        What is gone by it although nothing ran on it, nor was it given back or replaced.
        """
        lost = []
        for one in self.given.values():
            mine = one.authority == authority and one.reserve is reserve and not one.over
            if mine and one.sequence <= quote.floor and quote.request != one.request:
                one.over = True
                if not (one.ran_us or one.excused):
                    lost.append(one)
        return lost

    def drawn_tflop(self, authority: str, request: bytes, workload: str) -> int:
        """What the gate booked of a reserve while it, and nobody else since, let a lane run."""
        given = self.given.get((authority, request))
        return 0 if given is None else given.drawn_tflop.get(workload, 0)

    # ------------------------------------------------------------------ what runs

    def heard(self, authority: str, answers: Iterable[pb.Answer], now_us: int) -> None:
        """The gate took a signed answer: it is no earlier from here on."""
        told_ms = max([one.governor_unix_ms for one in answers], default=0)
        if told_ms > self._floor_ms(authority, now_us):
            self._floors[authority] = (told_ms, now_us - self._dead_us)

    def _floor_ms(self, authority: str, now_us: int) -> int:
        """The time that was told, and since then that in which a gate ran."""
        if authority not in self._floors:
            return 0
        unix_ms, alive_us = self._floors[authority]
        return unix_ms + max(0, now_us - self._dead_us - alive_us) // US_PER_MS

    def look(self, host: GateSide, core: GateCore, now_us: int) -> None:
        """After each step of a gate: which licenses let what run until the next one."""
        if self._died_us is not None:
            self._dead_us, self._died_us = self._dead_us + now_us - self._died_us, None
        if self.given and host.truth.seats.said:
            self._note_unsaid(host, core, now_us)
        if not (self._permitted or self._draws or self._running[0] or _licensed(core)):
            return
        running: set[tuple[str, bytes]] = set()
        for workload, (keys, flop) in list(self._permitted.items()):
            if self._keys(core, workload) != keys:
                self._close(host, workload, keys, flop, now_us)
        for lane in host.plan.lanes:
            keys = self._keys(core, lane.workload)
            self._draw(core, lane.workload, keys)
            if keys and lane.workload not in self._permitted:
                host.hardware.advance(now_us)
                self._permitted[lane.workload] = (keys, chips_flop(host, lane.chips))
            found, permission = core.lanes.get(lane.workload), core.permissions.get(lane.workload)
            for authority, _ in keys:
                if isinstance(permission, Allowed):
                    until_us = host.clocks.when_us(permission.until_ms)
                    place = (authority, lane.workload)
                    host.truth.deadline_us[place] = max(
                        until_us, host.truth.deadline_us.get(place, 0)
                    )
            if keys and found is not None and found.state in MAY_COMPUTE:
                running |= set(keys)
        self._run(frozenset(running), now_us)

    def _note_unsaid(self, host: GateSide, core: GateCore, now_us: int) -> None:
        """What runs while the host rightly does without a reserve's authority."""
        needed = host.truth.needed(core.authorities, now_us)
        unsaid = frozenset(
            [key for key, one in self.given.items() if one.reserve and key[0] not in needed]
        )
        for workload, lane in core.lanes.items():
            allotted_tflop = lane.book.allotted_tflop
            before, since_tflop = self._unsaid.get(workload, (unsaid, allotted_tflop))
            for key in before & unsaid:
                given = self.given[key].unsaid_tflop
                given[workload] = given.get(workload, 0) + allotted_tflop - since_tflop
            self._unsaid[workload] = (unsaid, allotted_tflop)

    def _draw(self, core: GateCore, workload: str, keys: tuple[tuple[str, bytes], ...]) -> None:
        """A reserve is drawn from until something else permits."""
        lane = core.lanes.get(workload)
        if lane is None:
            return
        allotted_tflop = lane.book.allotted_tflop
        drawing, since_tflop = self._draws.get(workload, ((), allotted_tflop))
        for key in drawing:
            drawn = self.given[key].drawn_tflop
            drawn[workload] = drawn.get(workload, 0) + allotted_tflop - since_tflop
        if isinstance(core.permissions.get(workload), Allowed):
            drawing = tuple(key for key in keys if key in self.given and self.given[key].reserve)
        if drawing:
            self._draws[workload] = (drawing, allotted_tflop)
        else:
            self._draws.pop(workload, None)

    def stopped(self, host: GateSide, now_us: int) -> None:
        """No gate lets anything run any more."""
        self._draws.clear()
        self._unsaid.clear()
        for workload, (keys, flop) in list(self._permitted.items()):
            self._close(host, workload, keys, flop, now_us)
        self._run(frozenset(), now_us)
        self._died_us = now_us

    def _run(self, running: frozenset[tuple[str, bytes]], now_us: int) -> None:
        before, since_us = self._running
        for key in before:
            if key in self.given:
                self.given[key].ran_us += now_us - since_us
        self._running = (running, now_us)

    def _close(
        self,
        host: GateSide,
        workload: str,
        keys: tuple[tuple[str, bytes], ...],
        flop: int,
        now_us: int,
    ) -> None:
        host.hardware.advance(now_us)
        lane = next(one for one in host.plan.lanes if one.workload == workload)
        did = chips_flop(host, lane.chips) - flop
        for key in keys:
            if key in self.given:
                spent = self.given[key].spent_flop
                spent[workload] = spent.get(workload, 0) + did
        del self._permitted[workload]

    @staticmethod
    def _keys(core: GateCore, workload: str) -> tuple[tuple[str, bytes], ...]:
        permission = core.permissions.get(workload)
        if not isinstance(permission, Allowed) or not permission.licensed_by:
            return ()
        keys = []
        for authority in sorted(permission.licensed_by):
            reserve = authority in permission.reserve_by
            held = core.authorities[authority].desk_of(reserve=reserve).license
            if held is not None:
                keys.append((authority, held.request))
        return tuple(keys)

    # ------------------------------------------------------------------ the law

    @property
    def judged(self) -> bool:
        """Whether anything can be wrong: most hosts never have a license."""
        return bool(self.faults or self._permitted or self._running[0])

    def broken(self, host: GateSide, now_us: int) -> Iterator[str]:
        """What was spent twice, too long, too late, or after it was given back."""
        yield from self.faults
        running, since_us = self._running
        for workload, (keys, flop) in self._permitted.items():
            lane = next(one for one in host.plan.lanes if one.workload == workload)
            did = chips_flop(host, lane.chips) - flop
            for key in keys:
                given = self.given.get(key)
                if given is None:
                    yield f"{host.name}: {workload} runs by a license that nobody gave"
                    continue
                most = given.budget_tflop.get(workload, 0) * given.uses
                unsaid_tflop = given.unsaid_tflop.get(workload, 0)
                most -= max(0, unsaid_tflop - UNSAID_SLACK_TFLOP * bool(unsaid_tflop))
                spent = given.spent_flop.get(workload, 0) + did
                slack = ROUNDING_TFLOP * TFLOP + spent * abs(host.clocks.drift_ppm) // 1_000_000
                if spent > most * TFLOP + slack:
                    yield (
                        f"{host.name}: {spent // TFLOP} TFLOP of {workload} were spent of a "
                        f"license for {most}"
                    )
        for key in running:
            given = self.given.get(key)
            if given is None:
                continue
            ran_us = given.ran_us + now_us - since_us
            span_us = given.span_ms * US_PER_MS * given.uses
            if ran_us > span_us + span_us * abs(host.clocks.drift_ppm) // 1_000_000 + LATE_US:
                ran_s, span_s = ran_us // US_PER_S, span_us // US_PER_S
                yield f"{host.name}: a license for {span_s} s ran {ran_s} s"
            if given.over:
                yield f"{host.name}: a license that was given back lets {host.name} run"
            floor_ms = self._floor_ms(given.authority, now_us)
            if floor_ms > given.not_after_unix_ms + LATE_US // US_PER_MS:
                late_s = (floor_ms - given.not_after_unix_ms) // 1000
                yield f"{host.name}: a license lets it run {late_s} s after its end"


def _licensed(core: GateCore) -> bool:
    """Whether a license lets anything run."""
    permissions = core.permissions.values()
    return bool([one for one in permissions if isinstance(one, Allowed) and one.licensed_by])


def answers_in(batch: pb.AnswerBatch) -> tuple[list[pb.Answer], str]:
    """What a message tells a gate, and the key that it names."""
    signers = [signature.keyid for signature in batch.batch_root.signatures]
    return [pb.Answer.FromString(leaf.payload) for leaf in batch.answers], "".join(signers[:1])


def chips_flop(host: GateSide, chips: Iterable[int]) -> int:
    """What some chips of a host really executed."""
    every = host.hardware.chips
    return sum([every[index].flop() for index in chips])
