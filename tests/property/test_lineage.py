"""Law 2 for workloads: lineage and rate, against a model that walks every path.

Any registrations, any grants, any spending, in any order: no lineage passes what its tier allows,
no deployment is faster, and each ancestor counts once.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_governor.core.facts import Books, Grant, Host, LaneFacts, lane_scopes
from flopgate_governor.core.lineage import Ground, Wanted, key_of, room_tflop
from flopgate_governor.core.silence import NOBODY
from flopgate_proto.errors import HistoryError
from flopgate_proto.orders.works import NO_WORKS, Works
from flopgate_proto.values import Policy, Refusal, Registration, Tier, WorkloadKind
from tests.support import further_orders
from tests.support.governor import POLICY

NAMES = ("a", "b", "c", "d", "e")
CUSTODIANS = ("one", "two")
LIMITED: Policy = replace(
    POLICY,
    register_tflop=60,
    prohibit_tflop=200,
    prohibit_tflop_per_s=5,
    tiers=(
        Tier(training_tflop=100, inference_tflop_per_s=3),
        Tier(training_tflop=150, inference_tflop_per_s=4),
        Tier(training_tflop=300, inference_tflop_per_s=9),
    ),
)
REGISTER = st.builds(
    further_orders.registration,
    workload=st.sampled_from(NAMES),
    kind=st.sampled_from(list(WorkloadKind)),
    custodian=st.sampled_from(CUSTODIANS),
    parents=st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple),
    tier=st.integers(0, 3),
    prior_tflop=st.integers(0, 20),
)
LANES = st.tuples(st.sampled_from(CUSTODIANS), st.sampled_from(NAMES))
STEPS = st.lists(
    REGISTER
    | st.tuples(st.just("grant"), LANES, st.integers(1, 80), st.integers(1, 3))
    | st.tuples(st.just("spend"), LANES, st.integers(1, 80), st.just(0))
    | st.tuples(st.just("settle"), LANES, st.just(0), st.just(0)),
    max_size=40,
)


def host(custodian: str) -> Host:
    return Host(
        host_id=custodian.encode(),
        spki=b"",
        cluster="c",
        custodian=custodian,
        site="",
        jurisdiction="",
        chips=(),
    )


def ancestors(works: dict[str, Registration], name: str) -> set[str]:
    """Every path walked, and what was met written down."""
    met = {name}
    for parent in works[name].parents:
        met |= ancestors(works, parent)
    return met


class Model:
    """What is granted and spent, lane by lane."""

    def __init__(self) -> None:
        self.works = NO_WORKS
        self.lanes = {
            (custodian, name): LaneFacts(workload=name)
            for custodian in CUSTODIANS
            for name in NAMES
        }
        self.books = Books()

    def move(self, lane: tuple[str, str], after: LaneFacts) -> None:
        self.books.move(lane_scopes(host(lane[0]), lane[1]), self.lanes[lane], after)
        self.lanes[lane] = after

    def grant(self, lane: tuple[str, str], tflop: int, rate: int) -> None:
        facts = self.lanes[lane]
        room = room_tflop(
            Wanted(
                host=host(lane[0]),
                lane=facts,
                own_tflop=facts.outstanding_tflop,
                need_tflop=1,
                rate_tflop_per_s=rate,
            ),
            Ground(works=self.works, policy=LIMITED, books=self.books, silence=NOBODY, unix_ms=0),
        )
        if isinstance(room, Refusal):
            assert room.way_back
            return
        grant = Grant(
            request_digest=b"",
            sequence=1,
            made_ms=0,
            run_nonce=b"",
            lifetime_ms=1,
            held_tflop=facts.allotted_tflop + min(room, tflop),
            governor_unix_ms=0,
            rate_tflop_per_s=rate,
        )
        self.move(lane, replace(facts, grants=(*facts.grants, grant)))

    def spend(self, lane: tuple[str, str], tflop: int) -> None:
        facts = self.lanes[lane]
        spent = facts.allotted_tflop + min(tflop, facts.outstanding_tflop)
        self.move(lane, replace(facts, allotted_tflop=spent))

    def used(self, lane: tuple[str, str]) -> int:
        return self.lanes[lane].reach_tflop

    def training(self, name: str) -> int:
        by_name = dict(self.works.by_name)
        work, total = by_name[name], 0
        for one in ancestors(by_name, name):
            total += by_name[one].prior_tflop
            itself = one == name and work.kind is WorkloadKind.INFERENCE and work.tier > 0
            total += 0 if itself else self.used((by_name[one].custodian, one))
        return total


def bound(work: Registration) -> int:
    tiers = (60, 100, 150, 200)
    return tiers[work.tier]


@settings(max_examples=300)
@given(steps=STEPS)
def test_law_2_no_lineage_passes_what_its_tier_allows(steps: list[object]) -> None:
    model = Model()
    # What stood there when officers ordered otherwise is no grant's fault.
    excused: dict[str, int] = {}
    for step in steps:
        if isinstance(step, Registration):
            try:
                model.works = model.works.registered(step)
            except HistoryError:
                continue
            excused = {name: model.training(name) for name in model.works.by_name}
            undeclared = {one: unregistered(model, one) for one in CUSTODIANS}
            excused |= {f"custodian {one}": total for one, total in undeclared.items()}
        elif isinstance(step, tuple):
            what, lane, tflop, rate = step
            if what == "grant":
                model.grant(lane, tflop, rate)
            elif what == "spend":
                model.spend(lane, tflop)
            else:
                model.move(lane, replace(model.lanes[lane], grants=()))
        for name, work in model.works.by_name.items():
            assert model.training(name) <= max(bound(work), excused.get(name, 0))
            ground = Ground(
                works=model.works, policy=LIMITED, books=model.books, silence=NOBODY, unix_ms=0
            )
            assert ground.training_tflop(work) == model.training(name)
        for one in CUSTODIANS:
            assert unregistered(model, one) <= max(60, excused.get(f"custodian {one}", 0))


def unregistered(model: Model, custodian: str) -> int:
    """What one custodian computes under names that are not registered for it."""
    return sum(
        model.used((custodian, name))
        for name in NAMES
        if name not in model.works.by_name or model.works.by_name[name].custodian != custodian
    )


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(CUSTODIANS), st.integers(1, 4), st.booleans()), max_size=20
    )
)
def test_law_2_no_deployment_is_faster_than_its_tier(
    steps: list[tuple[str, int, bool]],
) -> None:
    model = Model()
    work = further_orders.registration(
        workload="a", kind=WorkloadKind.INFERENCE, custodian="one", tier=1
    )
    model.works = Works({"a": work})
    for _, rate, granted in steps:
        if granted:
            model.grant(("one", "a"), 10, rate)
        else:
            model.move(("one", "a"), replace(model.lanes["one", "a"], grants=()))
        held = max((g.rate_tflop_per_s for g in model.lanes["one", "a"].grants), default=0)
        assert model.books.of(key_of(work)).rate_tflop_per_s == held <= 3
