"""Law 2 over nested budgets, against a naive model: who may spend what, scope by scope.

Hosts of two clusters, two custodians, two jurisdictions and two workloads share budgets; officers
raise, lower, set and take away caps at any moment; reports are lost, doubled and late; hosts spend,
restart, write time without a gate into the unaccounted book, and one of them lies about its totals.

The model knows what each host did and which ceilings it may still use. After every step, in every
scope: what hosts may use is in the books, no sum grew but by a grant, and a grant left both books
together within the cap of that moment.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_governor.core.facts import Totals, run_key
from flopgate_governor.joining.tokens import TokenRecord, write_token
from flopgate_governor.state import State
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Budget, Ceiling, Scope, ScopeKind
from tests.support.governor import LIFETIME_MS, POLICY, FakeHost, LocalGovernor, answers
from tests.support.governor_model import ModelHost, hand_over, recorded

SCOPES = (
    Scope(ScopeKind.EVERYTHING),
    Scope(ScopeKind.JURISDICTION, "j0"),
    Scope(ScopeKind.CUSTODIAN, "u0"),
    Scope(ScopeKind.CUSTODIAN, "u1"),
    Scope(ScopeKind.CLUSTER, "c0"),
    Scope(ScopeKind.CLUSTER, "c1"),
    Scope(ScopeKind.WORKLOAD, "w0"),
)
PLACES = (("c0", "u0", "j0", "w0"), ("c0", "u0", "j0", "w1"), ("c1", "u1", "j0", "w0"))
LIAR = 2
UNIT = 100_000


@dataclass
class World:
    """The governor, its hosts, and what the sums were before the step."""

    governor: LocalGovernor
    hosts: list[ModelHost]
    caps: dict[str, int] = field(default_factory=dict)
    before: dict[str, Totals] = field(default_factory=dict)
    lied: bool = False
    version: int = 1

    def scopes_of(self, number: int) -> set[str]:
        """Scopes of one host, in words."""
        cluster, custodian, jurisdiction, workload = PLACES[number]
        return {
            "everything",
            "site:s",
            f"jurisdiction:{jurisdiction}",
            f"custodian:{custodian}",
            f"cluster:{cluster}",
            f"workload:{workload}",
            run_key(custodian, workload),
        }

    def order_caps(self, caps: dict[str, int]) -> None:
        """Officers sign a policy with these budgets."""
        self.version += 1
        self.caps = caps
        budgets = tuple(
            Budget(scope=scope, cap_tflop=caps[str(scope)])
            for scope in SCOPES
            if str(scope) in caps
        )
        self.governor.order(replace(POLICY, version=self.version, budgets=budgets))


def made(path: Path) -> World:
    governor = LocalGovernor.make(path)
    hosts = []
    for number, (cluster, custodian, jurisdiction, workload) in enumerate(PLACES):
        record = TokenRecord(
            token_id=bytes([number + 1]) * 16,
            secret=bytes(range(32)),
            trust_root_digest=governor.state.book.roots[0].digest,
            cluster=cluster,
            custodian=custodian,
            site="s",
            jurisdiction=jurisdiction,
            hosts_max=1,
            capacity_tflop_per_s=2_000_000,
            expires_unix_ms=governor.clock() + 3_600_000,
        )
        with governor.state.store.transaction() as connection:
            write_token(connection, record)
        host = FakeHost(number, workload=workload)
        governor.enroll(host, record)
        hosts.append(ModelHost(host))
    world = World(governor, hosts)
    world.order_caps({str(scope): 9 * UNIT for scope in SCOPES})
    return world


def on_disk(state: State) -> dict[str, tuple[int, int, int, int]]:
    """By scope: settled, outstanding, unaccounted, bound."""
    with state.store.transaction() as connection:
        found = connection.exec_driver_sql(
            "SELECT scope, settled_tflop, outstanding_tflop, unaccounted_tflop, bound_tflop "
            "FROM budget"
        ).all()
    return {row[0]: (row[1], row[2], int(row[3]), row[4]) for row in found}


def check(world: World, granted: set[int], *, alone: bool) -> None:
    """The laws after one step; ``granted``: who got a ceiling, by one report if ``alone``."""
    moved = set().union(*(world.scopes_of(number) for number in granted))
    for scope, (settled, outstanding, unaccounted, bound) in on_disk(world.governor.state).items():
        models = [m for number, m in enumerate(world.hosts) if scope in world.scopes_of(number)]
        honest = [m for m in models if not (world.lied and m is world.hosts[LIAR])]
        both, known = settled + outstanding, world.before.get(scope, Totals())
        assert sum(model.live_ceiling for model in honest) <= both + unaccounted
        if len(honest) == len(models):
            assert sum(model.live_ceiling for model in models) <= both
        assert both <= bound
        cap = world.caps.get(scope, COUNT_MAX)
        assert both <= max(known.granted_tflop, cap if scope in moved else 0)
        if alone and scope in moved:
            assert both + unaccounted <= cap
        assert settled + unaccounted == sum(on_record(world, model) for model in models)
        world.before[scope] = Totals(settled, unaccounted, outstanding)


def on_record(world: World, model: ModelHost) -> int:
    """Both books of the newest report that the governor has."""
    count = recorded(world.governor, model)
    return model.totals[count - 1] if count else 0


STEP = st.tuples(
    st.sampled_from(
        (
            *("trade",) * 5,
            *("half", "answer", "ask", "send", "resend", "spend", "wait", "restart"),
            *("caps", "caps", "uncap", "gateless", "lie"),
        )
    ),
    st.integers(0, len(PLACES) - 1),
    st.sampled_from([0, 1, 2, 3, 4, 4, 4]),
)


@settings(max_examples=60)
@given(st.lists(STEP, min_size=5, max_size=50))
def test_law_2_nested_caps_are_never_exceeded(steps: list[tuple[str, int, int]]) -> None:
    with TemporaryDirectory() as folder:
        world = made(Path(folder) / "g.sqlite")
        under_way: list[pb.LinkDown] = []
        for action, which, amount in steps:
            given, alone = act(world, under_way, action=action, which=which, amount=amount)
            check(world, given, alone=alone)
        world.governor.state.store.close()


def act(
    world: World, under_way: list[pb.LinkDown], *, action: str, which: int, amount: int
) -> tuple[set[int], bool]:
    """One step of the world: who was granted something, and whether one report was judged."""
    model = world.hosts[which]
    match action:
        case "trade" | "half":
            model.make(UNIT * amount)
            late = model.sent[recorded(world.governor, model) :]
            down = world.governor.send(*late)
            if action == "trade":
                hand_over(world.hosts, down)
            else:
                under_way.append(down)
            return granted(which, down), len(late) == 1
        case "ask":
            model.make(UNIT * amount)
        case "send" if model.sent:
            known = recorded(world.governor, model)
            under_way.append(world.governor.send(*model.sent[known : known + 1 + amount]))
            return granted(which, under_way[-1]), False
        case "resend" if model.sent:
            under_way.append(world.governor.send(model.sent[amount % len(model.sent)]))
            return granted(which, under_way[-1]), False
        case "answer" if under_way:
            hand_over(world.hosts, under_way.pop(amount % len(under_way)))
        case "spend":
            model.spend(amount)
        case "wait":
            world.governor.clock.unix_ms += amount * LIFETIME_MS // 3
            for each in world.hosts:
                each.host.now_ms += amount * LIFETIME_MS // 3
        case "restart":
            model.restart()
        case _:
            change(world, action, which, amount)
    return set(), False


def change(world: World, action: str, which: int, amount: int) -> None:
    """What officers order, what is done without a gate, what is claimed."""
    model = world.hosts[which]
    scope = str(SCOPES[(which + 3 * amount) % len(SCOPES)])
    match action:
        case "caps":
            world.order_caps({**world.caps, scope: 4 * UNIT * amount})
        case "uncap":
            world.order_caps({one: cap for one, cap in world.caps.items() if one != scope})
        case "gateless":
            model.host.unaccounted_tflop += UNIT * amount // 8
        case "lie":
            world.lied = True
            world.hosts[LIAR].host.allotted_tflop += UNIT * amount


def granted(which: int, down: pb.LinkDown) -> set[int]:
    """The host, if a ceiling is in the message."""
    outcomes = [verdict.outcome for one in answers(down) for verdict in one.answer.verdicts]
    return {which} if any(isinstance(outcome, Ceiling) for outcome in outcomes) else set()
