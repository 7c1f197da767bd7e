"""Law 2 while clusters are found to be one, ruled to be one and ruled apart, with grants out.

Against a naive model: what each host did and which ceiling it may still use, added up by the
cluster that its token declared. No merge and no split moves a TFLOP from one budget to another.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_governor.state import open_state
from flopgate_governor.store.database import Store
from flopgate_proto.values import Budget, Scope, ScopeKind
from tests.support.found_clusters import FABRIC, join, ruling
from tests.support.governor import LIFETIME_MS, LOG, PERMIT, POLICY, LocalGovernor
from tests.support.governor_model import ModelHost, hand_over

CLUSTERS = ("alpha", "beta", "gamma")
CAP = 3_000_000
"""Less than what the hosts of one cluster ask for together."""
ASK = 2_000_000


@dataclass
class World:
    """Three clusters of two hosts, the last one of another custodian."""

    governor: LocalGovernor
    models: dict[str, list[ModelHost]]
    rulings: int = 0

    def host(self, number: int) -> ModelHost:
        return self.models[CLUSTERS[number // 2]][number % 2]


def made(path: Path) -> World:
    policy = replace(
        POLICY,
        threshold_tflop_per_s=7_000,
        budgets=tuple(
            Budget(scope=Scope(kind, name), cap_tflop=cap)
            for kind, name, cap in (
                *((ScopeKind.CLUSTER, name, CAP) for name in CLUSTERS),
                (ScopeKind.CUSTODIAN, "cu", CAP * 3 // 2),
            )
        ),
    )
    governor = LocalGovernor.make(path, policy)
    models = {}
    for place, name in enumerate(CLUSTERS):
        custodian = "other" if name == "gamma" else "cu"
        hosts = join(governor, name, 2 * place, 2 * place + 1, custodian=custodian)
        models[name] = [ModelHost(host) for host in hosts]
    return World(governor, models)


def act(world: World, action: str, number: int, amount: int) -> None:
    model, governor = world.host(number), world.governor
    match action:
        case "ask" | "lost":
            model.spend(amount)
            model.make(ASK)
            down = governor.send(*model.sent[model.host.sequence - 1 :])
            if action == "ask":
                hand_over([model], down)
        case "tell":
            model.host.topology = FABRIC
            act(world, "ask", number, amount)
            model.host.topology = None
        case "one" | "apart":
            world.rulings += 1
            names = {CLUSTERS[number // 2]}
            names |= {CLUSTERS[amount % 3]} if action == "one" else set()
            governor.order(ruling(*names, apart=len(names) == 1, nonce=world.rulings))
        case "restart":
            model.restart()
        case "wait":
            governor.clock.unix_ms += amount * LIFETIME_MS // 2
            for models in world.models.values():
                for each in models:
                    each.host.now_ms += amount * LIFETIME_MS // 2
        case "reopen":
            governor.reopen()


def check(world: World) -> None:
    """In every budget: what hosts did and may do is in the books, and within the cap."""
    with world.governor.state.store.transaction() as connection:
        rows = connection.exec_driver_sql(
            "SELECT scope, settled_tflop, outstanding_tflop FROM budget"
        ).all()
    books = {scope: (settled, outstanding) for scope, settled, outstanding in rows}
    by_scope = {f"cluster:{name}": models for name, models in world.models.items()}
    by_scope["custodian:cu"] = [*world.models["alpha"], *world.models["beta"]]
    for scope, models in by_scope.items():
        settled, outstanding = books.get(scope, (0, 0))
        cap = CAP * 3 // 2 if scope == "custodian:cu" else CAP
        assert settled + outstanding <= cap
        assert sum(model.live_ceiling for model in models) <= settled + outstanding


def check_memory(world: World) -> None:
    """A governor that opens now knows of clusters what this one knows."""
    state = world.governor.state
    store = Store(world.governor.path)
    fresh = open_state(store, PERMIT, LOG, world.governor.clock.machine())
    assert fresh.clusters.kin == state.clusters.kin
    assert fresh.clusters.merges == state.clusters.merges
    assert fresh.clusters.told == state.clusters.told
    assert fresh.clusters.declared == state.clusters.declared
    assert fresh.clusters.fences == state.clusters.fences
    assert fresh.capacities.covered == state.capacities.covered
    store.close()


ACTIONS = ("ask", "ask", "tell", "tell", "lost", "one", "apart", "restart", "wait", "reopen")
STEP = st.tuples(st.sampled_from(ACTIONS), st.integers(0, 5), st.integers(0, 4))


@settings(max_examples=40)
@given(st.lists(STEP, min_size=4, max_size=24))
def test_law_2_holds_over_merges_and_splits(steps: list[tuple[str, int, int]]) -> None:
    with TemporaryDirectory() as folder:
        world = made(Path(folder) / "g.sqlite")
        for step in steps:
            act(world, *step)
            check(world)
        check_memory(world)
        world.governor.state.store.close()
