"""Permission, lane by lane: one pure function, its refusals in the order of its rules.

    governor.rolled-back, host.*, policy.missing, delegation.missing, delegation.revoked,
    pause.latched, quote.stale,
    budget.missing, governor.reconciling, license.overtaken, budget.spent,
    workload.unregistered, workload.rate, workload.tier, workload.prohibited (`core.lineage`)

A ceiling is the allotted total plus the least of: what is asked, what policy allows at once, what
the lane's chips can do in a lifetime, and what every budget over the lane, and every lineage that
its workload is in, has left once all others' outstanding ceilings, both books and what silence may
hide are taken off (laws 2 and 3). For a license that nothing backs the peak of its whole span must
fit, whatever its ceiling (law 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from flopgate_governor.core.account import PPM
from flopgate_governor.core.facts import EVERYTHING, Books, Host, HostFacts, LaneFacts, lane_scopes
from flopgate_governor.core.lineage import Ground, Wanted, room_tflop
from flopgate_governor.core.orders import Halt, Mandate
from flopgate_governor.core.silence import NOBODY, Silence
from flopgate_proto.amounts import flop_text, flop_texts, span_text
from flopgate_proto.limits import COUNT_MAX, STOP_SLACK_MS
from flopgate_proto.orders.held import LatchedPause
from flopgate_proto.orders.works import NO_WORKS, Works
from flopgate_proto.quick import maker, quick
from flopgate_proto.values.answers import Ceiling, Refusal, Verdict
from flopgate_proto.values.common import (
    CapacityBasis,
    ChargedFigure,
    Scope,
    ScopeKind,
    SingleUse,
)
from flopgate_proto.values.orders import Policy
from flopgate_proto.values.reports import LaneReport

make_verdict = maker(Verdict)
make_wanted = maker(Wanted)
make_ground = maker(Ground)
make_ceiling = maker(Ceiling)

FLOP_PER_TFLOP = 10**12
_MS_FLOP_PER_TFLOP = 1_000 * FLOP_PER_TFLOP
_HOUR_MS = 3_600_000


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What holds for all hosts while a batch is decided.

    Attributes:
        halt: set while this governor knows that it was rolled back.
        policy: in force, ``None`` before the first.
        mandate: whether officers let our key sign permits.
        covered: clusters at or above the threshold.
        budgets: caps by scope, in words.
        silence: of hosts that say nothing.
        unix_ms: the governor's time for every answer of the batch.
        reconciled_unix_ms: when officers last reconciled a rollback, ``None`` if they never did.
        licenses_until_unix_ms: when the last license ends that a rollback may have lost.
        works: registered workloads.
    """

    halt: Halt | None
    policy: Policy | None
    mandate: Mandate
    covered: frozenset[str]
    budgets: Mapping[str, int]
    unix_ms: int
    silence: Silence = NOBODY
    reconciled_unix_ms: int | None = None
    licenses_until_unix_ms: int = 0
    works: Works = NO_WORKS


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseBounds:
    """What officers and policy let one lane be licensed for.

    ``highest_tflop``: no ceiling lies above, whatever was spent since the request.
    ``reserve``: what is given lies on top of all ceilings, as an amount.
    """

    span_ms: int
    highest_tflop: int
    single_use: SingleUse
    reserve: bool = False


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One lane's request, with what is known of the lane after this report was written."""

    lane: LaneReport
    facts: LaneFacts
    headroom_tflop: int
    license: LicenseBounds | None = None

    @property
    def own_tflop(self) -> int:
        """What is outstanding of the lane and would be covered by a new ceiling."""
        if self.license is not None and self.license.reserve:
            return 0
        return self.facts.outstanding_tflop - self.facts.reserve_tflop

    @property
    def from_tflop(self) -> int:
        """The total that a new ceiling counts from; that of a reserve, from its request on."""
        reserve = self.license is not None and self.license.reserve
        return self.lane.allotted_tflop if reserve else self.facts.allotted_tflop


def rate_flop_per_s(host: Host, chips: tuple[int, ...], figure: ChargedFigure) -> int:
    """Fastest that these chips can add to the charged figure."""
    if figure is ChargedFigure.HIGH:
        return sum([host.chips[chip].worst_high_flop_per_s for chip in chips])
    return sum([host.chips[chip].worst_nominal_flop_per_s for chip in chips])


def peak_tflop_per_s(host: Host, chips: tuple[int, ...]) -> int:
    """Fastest that these chips can add to any figure, rounded up."""
    return -(-rate_flop_per_s(host, chips, ChargedFigure.HIGH) // FLOP_PER_TFLOP)


def held_tflop_per_s(host: Host, chips: tuple[int, ...], basis: CapacityBasis) -> int:
    """Published peak of these chips, as a cluster's capacity counts them, rounded up."""
    peak = sum([host.chips[chip].capacity_flop_per_s(basis) for chip in chips])
    return -(-peak // FLOP_PER_TFLOP)


def reach_tflop(rate_flop_per_s: int, span_ms: int) -> int:
    """Most that a rate adds in a span, rounded up."""
    return -(-rate_flop_per_s * span_ms // _MS_FLOP_PER_TFLOP)


def lifetime_ms(policy: Policy, *, exempt: bool) -> int:
    """How long a permit holds."""
    return policy.exempt_lifetime_ms if exempt else policy.lifetime_ms


def held_tflop(rate: int, allotted_tflop: int, told_tflop: int, bounds: LicenseBounds) -> int:
    """What is held for a license: what was told, or the peak of its span where nothing backs it.

    Of a reserve, which counts from a total of 0 on, the amount.
    """
    if bounds.single_use is SingleUse.TPM:
        return told_tflop
    return min(max(told_tflop, allotted_tflop + reach_tflop(rate, bounds.span_ms)), COUNT_MAX)


def decide(
    asked: Asked,
    *,
    host: HostFacts,
    pauses: tuple[LatchedPause, ...],
    stale: bool,
    books: Books,
    standing: Standing,
) -> Verdict:
    """Grant a ceiling to one lane, or say why not and what would change that."""
    refusal = _refused_outright(asked, host, pauses, standing, stale=stale)
    if refusal is None and standing.policy is not None:
        return make_verdict(
            workload=asked.lane.workload,
            outcome=_ceiling(asked, host.host, books, standing, standing.policy),
        )
    return make_verdict(workload=asked.lane.workload, outcome=refusal or _no_policy())


def _refused_outright(
    asked: Asked,
    host: HostFacts,
    pauses: tuple[LatchedPause, ...],
    standing: Standing,
    *,
    stale: bool,
) -> Refusal | None:
    if standing.halt is not None:
        return Refusal(
            reason="governor.rolled-back",
            detail=f"hosts hold answers up to batch {standing.halt.quoted_batch}, this governor "
            f"knows {standing.halt.own_batch}",
            way_back="Officers sign a reconciliation.",
        )
    if host.refused_reason:
        return Refusal(
            reason=host.refused_reason,
            detail=f"the chain of this host was closed on evidence at report {host.sequence}",
            way_back="Officers decide which history stands.",
        )
    if standing.policy is None:
        return _no_policy()
    if standing.mandate is not Mandate.GIVEN:
        missing = standing.mandate is Mandate.MISSING
        return Refusal(
            reason=standing.mandate.value,
            detail="officers did not delegate this governor's permit key under this policy"
            if missing
            else "officers revoked this governor's permit key",
            way_back="Officers sign a delegation."
            if missing
            else "Officers delegate a new key, and the governor starts with it.",
        )
    workload = Scope(ScopeKind.WORKLOAD, asked.lane.workload)
    for held in pauses:
        if held.pause.scope.kind is not ScopeKind.WORKLOAD or held.pause.scope == workload:
            return Refusal(
                reason="pause.latched",
                detail=_clip(f"{held.pause.scope} is paused: {held.pause.reason}"),
                way_back=f"A quorum signs a resume of {held.digest.hex()[:16]}.",
                order_digest=held.digest,
            )
    if stale:
        return Refusal(
            reason="quote.stale",
            detail=f"an answer of batch {host.quoted.batch_number} was quoted before this one",
            way_back="Ask again with the newest answer that was accepted.",
        )
    return None


def _no_policy() -> Refusal:
    return Refusal(
        reason="policy.missing",
        detail="no policy is in force",
        way_back="Officers sign a policy.",
    )


def _ceiling(
    asked: Asked, host: Host, books: Books, standing: Standing, policy: Policy
) -> Ceiling | Refusal:
    exempt = host.cluster not in standing.covered
    if not exempt and f"cluster:{host.cluster}" not in standing.budgets:
        return Refusal(
            reason="budget.missing",
            detail=_clip(f"cluster {host.cluster} is covered{_with_kin(host)} and has no budget"),
            way_back="Officers sign a policy with a budget for the cluster.",
        )
    lost = _lost_grants_run(host, asked.lane.workload, standing, policy)
    if lost is not None:
        return lost
    rate = rate_flop_per_s(host, asked.lane.chips, policy.charged_figure)
    wanted = _wanted(asked, rate, policy, exempt=exempt)
    if isinstance(wanted, Refusal):
        return wanted
    headroom, need = wanted
    own = asked.own_tflop
    for scope in lane_scopes(host, asked.lane.workload):
        cap = standing.budgets.get(scope)
        if cap is None:
            # Every grant is part of everything: that it can be counted holds for all scopes. What
            # hosts claim beside their grants must not fill a scope that nobody capped.
            if scope != EVERYTHING:
                continue
            cap, silent = COUNT_MAX, 0
            left = cap - books.of(scope).granted_tflop + own
        else:
            totals = books.of(scope)
            silent = standing.silence.charged_tflop(scope, standing.unix_ms, apart=host.host_id)
            left = cap - totals.used_tflop + own - silent
        if left < max(need, 1):
            what = _needs(asked.license, rate, left)
            rest, most, needed = flop_texts(max(left, 0), cap, need)
            return Refusal(
                reason="budget.spent",
                detail=_clip(
                    f"{rest} of {most} are left for {scope}, {what} needs {needed}"
                    + (f"; silent hosts count {flop_text(silent)}" if silent else "")
                ),
                way_back="Others give back what they hold, silent hosts report, or officers raise "
                "the cap.",
            )
        headroom = min(headroom, left)
    room = room_tflop(
        make_wanted(
            host=host,
            lane=asked.facts,
            own_tflop=own,
            need_tflop=need,
            rate_tflop_per_s=held_tflop_per_s(host, asked.lane.chips, policy.capacity_basis),
        ),
        make_ground(
            works=standing.works,
            policy=policy,
            books=books,
            silence=standing.silence,
            unix_ms=standing.unix_ms,
        ),
    )
    if isinstance(room, Refusal):
        return replace(room, detail=_clip(room.detail))
    headroom = min(headroom, room)
    return make_ceiling(
        ceiling_tflop=min(asked.from_tflop + headroom, COUNT_MAX),
        peak_tflop_per_s=0 if asked.license is None else peak_tflop_per_s(host, asked.lane.chips),
    )


def _wanted(asked: Asked, rate: int, policy: Policy, *, exempt: bool) -> tuple[int, int] | Refusal:
    """Most that a lane may get, and the least that there must be for it."""
    need = reach_tflop(rate, policy.wind_down_ms + policy.drain_ms + STOP_SLACK_MS)
    licensed = asked.license
    if licensed is None:
        headroom = min(asked.headroom_tflop, reach_tflop(rate, lifetime_ms(policy, exempt=exempt)))
        return (headroom if exempt else min(headroom, policy.headroom_max_tflop)), need
    peak = reach_tflop(rate, licensed.span_ms)
    room = licensed.highest_tflop - asked.from_tflop
    headroom = min(asked.headroom_tflop, peak, room)
    if headroom < max(need, 1):
        return _overtaken(headroom, need)
    return headroom, need if licensed.single_use is SingleUse.TPM else max(need, peak)


def _overtaken(headroom: int, need: int) -> Refusal:
    rest, needed = flop_texts(max(headroom, 0), need)
    return Refusal(
        reason="license.overtaken",
        detail=f"{rest} would be left of what was asked for and may be given, "
        f"stopping in order needs {needed}",
        way_back="Ask anew, or officers approve more.",
    )


def _needs(licensed: LicenseBounds | None, rate: int, left: int) -> str:
    """What needs more than is left: the span of a license that nothing backs, or a stop."""
    if licensed is None or licensed.single_use is SingleUse.TPM or not rate:
        return "stopping in order"
    fits_ms = max(left, 0) * _MS_FLOP_PER_TFLOP // rate
    unit_ms = _HOUR_MS if fits_ms >= _HOUR_MS else 1_000
    return f"the longest span that fits is {span_text(fits_ms - fits_ms % unit_ms)}; the one asked"


def _with_kin(host: Host) -> str:
    others = [name for name in host.kin if name != host.cluster]
    return f" as one with {', '.join(others)}," if others else ""


def _lost_grants_run(
    host: Host, workload: str, standing: Standing, policy: Policy
) -> Refusal | None:
    """After a rollback our books lack the grants that were lost: they must have run out (law 2)."""
    if standing.reconciled_unix_ms is None:
        return None
    capped = [scope for scope in lane_scopes(host, workload) if scope in standing.budgets]
    if not capped:
        return None
    longest_ms = policy.lifetime_ms
    if capped != [f"cluster:{host.cluster}"] or host.cluster not in standing.covered:
        # Exempt hosts may share the budget, and hold theirs for longer.
        longest_ms = max(longest_ms, policy.exempt_lifetime_ms)
    longest_ms = -(-longest_ms * (PPM + policy.drift_ppm) // PPM)
    until_ms = max(standing.reconciled_unix_ms + longest_ms, standing.licenses_until_unix_ms)
    left_ms = until_ms - standing.unix_ms
    if left_ms <= 0:
        return None
    return Refusal(
        reason="governor.reconciling",
        detail=f"grants that a rollback lost can run for another {-(-left_ms // 1000)} s",
        way_back="Ask again later; nothing need be done.",
    )


def _clip(text: str) -> str:
    """Cut to what a field takes, at a character's boundary."""
    return text.encode()[:250].decode(errors="ignore")
