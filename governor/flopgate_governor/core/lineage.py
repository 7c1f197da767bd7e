"""Registered workloads, and how far each may go: training compute over lineage, inference rate.

* The lineage of a workload is itself and all that it descends from, each once, whatever the paths.
  Its training compute is what the books hold of these, and what went into them elsewhere.
* What an approved deployment spends counts for whatever descends from it, not for itself: that is
  bound by its rate, the peak of all chips that hold a grant for it.
* A grant counts for every lineage that its workload is in: who goes on with a run of which another
  was made takes a new name, with the old one as its parent.
* What nobody registered is taken for one run of its custodian, under however many names.
"""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_governor.core.facts import Books, Host, LaneFacts, run_key
from flopgate_governor.core.silence import Silence
from flopgate_proto.amounts import flop_text, rate_text
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.loosening import tier_of
from flopgate_proto.orders.works import Works
from flopgate_proto.quick import quick
from flopgate_proto.values.answers import Refusal
from flopgate_proto.values.common import WorkloadKind
from flopgate_proto.values.orders import Policy, Registration


def key_of(work: Registration) -> str:
    """Where its FLOP stand in the books."""
    return run_key(work.custodian, work.workload)


def keys(works: Works, custodian: str, workload: str) -> set[str]:
    """Every key of the books that a decision about such a lane looks at."""
    work = works.of(custodian, workload)
    if work is None:
        return {key_of(other) for other in works.held_by(custodian)}
    lines = [works.line(heir.workload) for heir in works.heirs(work.workload)]
    return {key_of(one) for line in lines for one in line}


def counts_itself(work: Registration) -> bool:
    """Whether what it spends is part of its own training compute."""
    return work.kind is WorkloadKind.TRAINING or work.tier == 0


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a decision about workloads rests on."""

    works: Works
    policy: Policy
    books: Books
    silence: Silence
    unix_ms: int

    def used_tflop(self, key: str, apart: bytes) -> int:
        """Upper bound of what is spent or granted; ``apart``: a host that is not silent."""
        silent_tflop = self.silence.charged_tflop(key, self.unix_ms, apart=apart)
        return self.books.of(key).used_tflop + silent_tflop

    def training_tflop(self, work: Registration, apart: bytes = b"") -> int:
        """Upper bound of the training compute of a workload."""
        total = 0
        for one in self.works.line(work.workload):
            total += one.prior_tflop
            if one is not work or counts_itself(work):
                total += self.used_tflop(key_of(one), apart)
        return total


def most_tflop(policy: Policy, work: Registration) -> tuple[int, str]:
    """Most training compute of a workload, and the reason that tells it was reached."""
    prohibited = policy.prohibit_tflop or COUNT_MAX
    allowed = tier_of(policy, work.tier).training_tflop
    return (
        (allowed, "workload.tier") if allowed < prohibited else (prohibited, "workload.prohibited")
    )


def most_tflop_per_s(policy: Policy, work: Registration) -> int:
    """Fastest that a deployment may be."""
    allowed = tier_of(policy, work.tier).inference_tflop_per_s
    return min(allowed, policy.prohibit_tflop_per_s or COUNT_MAX)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one lane asks for.

    Attributes:
        own_tflop: of what it has outstanding, what a new ceiling would cover.
        need_tflop: what stopping in order needs at least.
        rate_tflop_per_s: peak of its chips.
    """

    host: Host
    lane: LaneFacts
    own_tflop: int
    need_tflop: int
    rate_tflop_per_s: int


def room_tflop(wanted: Wanted, ground: Ground) -> int | Refusal:
    """How far above its allotted total the lane may go for all that is known of its workload."""
    works, name = ground.works, wanted.lane.workload
    work = works.of(wanted.host.custodian, name)
    if work is None:
        return _undeclared(wanted, ground)
    if work.kind is WorkloadKind.INFERENCE:
        fastest = most_tflop_per_s(ground.policy, work)
        held = ground.books.of(key_of(work)).rate_tflop_per_s - wanted.lane.rate_tflop_per_s
        if held + wanted.rate_tflop_per_s > fastest:
            return _too_fast(work, held, wanted.rate_tflop_per_s, fastest)
    room = COUNT_MAX
    for heir in works.heirs(name):
        most, reason = most_tflop(ground.policy, heir)
        total = ground.training_tflop(heir, wanted.host.host_id)
        if heir is work and not counts_itself(work):
            if total > most:
                return _too_much(heir, work, total, most, reason)
            continue
        total -= wanted.own_tflop
        if most - total < max(wanted.need_tflop, 1):
            return _too_much(heir, work, total, most, reason)
        room = min(room, most - total)
    return room


def _undeclared(wanted: Wanted, ground: Ground) -> int | Refusal:
    most = ground.policy.register_tflop
    if not most:
        return COUNT_MAX
    custodian, name = wanted.host.custodian, wanted.lane.workload
    total = ground.used_tflop(f"custodian:{custodian}", wanted.host.host_id)
    for work in ground.works.held_by(custodian):
        total -= ground.books.of(key_of(work)).used_tflop
    total -= wanted.own_tflop
    if most - total >= max(wanted.need_tflop, 1):
        return most - total
    other = ground.works.by_name.get(name)
    whose = "" if other is None else f", only for {other.custodian}"
    return Refusal(
        reason="workload.unregistered",
        detail=f"{flop_text(max(0, most - total))} of {flop_text(most)} are left for all that is "
        f"not registered of {custodian}; {name} is not{whose}",
        way_back="Officers register the workload: `flopgate-governor workload register`.",
    )


def _too_fast(work: Registration, held: int, wanted: int, most: int) -> Refusal:
    return Refusal(
        reason="workload.rate",
        detail=f"chips of {rate_text(held + wanted)} would hold grants, {rate_text(most)} are "
        f"allowed for {work.workload}",
        way_back="Other hosts give back what they hold, or officers approve a higher tier.",
    )


def _too_much(
    heir: Registration, work: Registration, total: int, most: int, reason: str
) -> Refusal:
    through = "" if heir is work else f", which descends from {work.workload}"
    if heir is not work:
        way_back = "Go on under a new name, registered with this one as its parent."
    elif reason == "workload.tier":
        way_back = "Officers approve a higher tier: `flopgate-governor workload register`."
    else:
        way_back = "None below the prohibition: officers would have to raise prohibit_tflop."
    return Refusal(
        reason=reason,
        detail=f"{flop_text(total)} of {flop_text(most)} are in the lineage of "
        f"{heir.workload}{through}",
        way_back=way_back,
    )
