"""Laws 2 and 3 over any order of officers' acts: what was told counts, whatever they rule.

The model counts what each history told since its host joined. Chains fork, and one history is
adopted; chains are closed and their chips enrolled anew; caps rise and fall; FLOP are relieved.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_governor.core.facts import Totals
from flopgate_governor.joining.admission import admit
from flopgate_governor.store import budgets
from flopgate_proto.codec import PayloadType, decode_enrolment, encode_enrolment
from flopgate_proto.envelope import seal
from flopgate_proto.errors import HistoryError
from flopgate_proto.orders.works import UNDECLARED
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Adoption, Ceiling, Closure, Figures, LaneTotals, Relief
from tests.support.governor import AUTHORITY, FakeHost, LocalGovernor, answers, cluster_policy

CAP = 900_000
SCOPES = ("everything", "custodian:cu", "site:s1", "cluster:c1")
H100_TFLOP_PER_S = 1_000
"""More than the chip's dense 16-bit rate."""
ACTIONS = (
    *("report", "spend", "gap") * 2,
    *("fork", "own", "other", "relieve") * 2,
    *("close", "anew", "silence", "cap", "wait", "reopen"),
)
STEP = st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1), st.integers(0, 4))


@dataclass
class Chain:
    """One host's chain, and what its authority must have counted of it.

    Attributes:
        told: of the newest report on record: both books, and of these the unaccounted one.
        counted, unaccounted: since the host joined, over all histories.
        relieved: of its lane; ``silent``: most that the end of the chain charged, less reliefs.
        rival: a copy of the disk that told another history; ``parted``: what both told before.
    """

    host: FakeHost
    told: tuple[int, int]
    counted: int = 0
    unaccounted: int = 0
    relieved: int = 0
    silent: int = 0
    rival: FakeHost | None = None
    parted: tuple[int, int] = (0, 0)
    open: bool = True

    def note(self, books: tuple[int, int], before: tuple[int, int]) -> None:
        self.counted += max(0, books[0] - before[0])
        self.unaccounted += max(0, books[1] - before[1])


class Reimaged(FakeHost):
    """The same chips under another key."""

    def __post_init__(self) -> None:
        super().__post_init__()
        other = FakeHost(self.number + 500)
        self.key, self.host_id, self.head = other.key, other.host_id, other.host_id
        self.number %= 10


def books_of(host: FakeHost) -> tuple[int, int]:
    return host.allotted_tflop + host.unaccounted_tflop, host.unaccounted_tflop


class World:
    """A governor, its hosts, and the officers."""

    def __init__(self, path: Path) -> None:
        self.governor = LocalGovernor.make(path, cluster_policy(CAP))
        self.cap = CAP
        self.version = 1
        self.nonces = 0
        self.ended: list[Chain] = []
        self.token = self.governor.token(capacity_tflop_per_s=2_000_000)
        # The second one computed before it joined.
        self.chains = [self.join(FakeHost(number), before=number * 90_000) for number in range(2)]

    def join(self, host: FakeHost, before: int = 0) -> Chain:
        enrolment = decode_enrolment(host.enrolment(self.token).payload)
        if before:
            total = Figures(low_tflop=before, nominal_tflop=before, high_tflop=before)
            lane = LaneTotals(
                workload=host.workload, total=total, allotted_tflop=0, unaccounted_tflop=before
            )
            enrolment = replace(enrolment, lanes=(lane,), sequence=3, head=bytes(32))
            host.sequence, host.head, host.unaccounted_tflop = 3, bytes(32), before
        envelope = seal(PayloadType.ENROLMENT, encode_enrolment(enrolment), [host.key])
        admit(self.governor.state, envelope)
        return Chain(host=host, told=books_of(host))

    def totals(self, scope: str = "cluster:c1") -> Totals:
        with self.governor.state.store.transaction() as connection:
            return budgets.load_books(connection, [scope]).of(scope)

    def signed(self) -> dict[str, Any]:
        self.nonces += 1
        nonce = self.nonces.to_bytes(16, "big")
        return {"authority": AUTHORITY, "nonce": nonce, "reason": "looked into"}

    def act(self, action: str, which: int, amount: int) -> None:
        chain = self.chains[which]
        match action:
            case "report" if chain.open:
                self.report(chain, 200_000 * amount)
            case "spend" if chain.open and chain.host.last is not None:
                self.spend(chain, amount)
            case "gap" if chain.open:
                chain.host.unaccounted_tflop += 20_000 * amount
                self.report(chain, 0)
            case "fork" if chain.open and chain.rival is None:
                self.fork(chain, amount)
            case "own" | "other" if chain.open and chain.rival is not None:
                self.adopt(chain, chain.rival, other=action == "other")
            case "close" if chain.open:
                chain.silent = 2 * H100_TFLOP_PER_S * self.silent_s(chain) + 1
                self.rule(Closure(host_id=chain.host.host_id, **self.signed()))
                chain.open = False
            case "anew" if not chain.open:
                self.ended.append(chain)
                fresh = Reimaged(len(self.ended) * 10 + which)
                self.chains[which] = self.join(fresh)
            case "relieve" | "silence":
                silence = action == "silence"
                workload = UNDECLARED if silence else chain.host.workload
                self.relieve(chain, workload, (70_000 if silence else 7_000) * amount + 1)
            case "cap":
                self.version += 1
                self.cap = CAP * amount // 2
                self.governor.order(cluster_policy(self.cap, self.version))
            case "wait":
                self.pass_on(amount * 200)
            case "reopen":
                self.governor.reopen()

    def rule(self, order: Adoption | Closure, more_tflop: int = 0) -> None:
        """What a history could still use counts as spent, and so does what another one told."""
        before = self.totals().used_tflop
        self.governor.order(order)
        assert self.totals().used_tflop >= before + more_tflop

    def pass_on(self, seconds: int) -> None:
        self.governor.clock.unix_ms += seconds * 1_000
        for chain in self.chains:
            chain.host.now_ms += seconds * 1_000

    def silent_s(self, chain: Chain) -> int:
        with self.governor.state.store.transaction() as connection:
            rows = connection.exec_driver_sql(
                "SELECT last_seen_unix_ms FROM host WHERE host_id=?", (chain.host.host_id,)
            )
            return (self.governor.clock.unix_ms - int(rows.scalar_one())) // 1_000 + 1

    def report(self, chain: Chain, ask_tflop: int) -> None:
        host = chain.host
        down = self.governor.send(host.report(ask_tflop or None))
        assert not down.notices
        chain.note(books_of(host), chain.told)
        chain.told = books_of(host)
        if self.granted(down):
            assert self.totals().used_tflop <= self.cap
        host.accept(down)

    def granted(self, down: pb.LinkDown) -> bool:
        verdicts = [one for found in answers(down) for one in found.answer.verdicts]
        return any(isinstance(one.outcome, Ceiling) for one in verdicts)

    def spend(self, chain: Chain, amount: int) -> None:
        """Some of what the newest answer leaves."""
        host = chain.host
        answer = None if host.last is None else host.last.answer
        for verdict in () if answer is None else answer.verdicts:
            if isinstance(verdict.outcome, Ceiling):
                left = max(0, verdict.outcome.ceiling_tflop - host.allotted_tflop)
                host.allotted_tflop += left * amount // 4

    def fork(self, chain: Chain, amount: int) -> None:
        copy, chain.parted = replace(chain.host), chain.told
        copy.key, copy.host_id, copy.number = chain.host.key, chain.host.host_id, chain.host.number
        copy.head = chain.host.head
        self.report(chain, 1_000 * amount)
        copy.allotted_tflop, copy.run_nonce = chain.parted[0] - chain.parted[1], bytes([9] * 16)
        copy.unaccounted_tflop = chain.parted[1] + 3_000 * amount + 1
        down = self.governor.send(copy.report())
        assert [notice.reason for notice in down.notices] == ["report.forked"]
        chain.rival = copy

    def adopt(self, chain: Chain, rival: FakeHost, *, other: bool) -> None:
        chosen = rival if other else chain.host
        order = Adoption(
            host_id=chosen.host_id, sequence=chosen.sequence, head=chosen.head, **self.signed()
        )
        self.rule(order, more_tflop=max(0, books_of(rival)[0] - chain.parted[0]))
        chain.note(books_of(rival), chain.parted)
        if other:
            chain.host, chain.told = rival, books_of(rival)
            chain.host.run_nonce = bytes([20 + self.nonces]) * 16
        chain.rival = None

    def relieve(self, chain: Chain, workload: str, amount_tflop: int) -> None:
        """Officers sign what they are asked to; the governor takes no more than counts."""
        order = Relief(
            host_id=chain.host.host_id,
            workload=workload,
            amount_tflop=amount_tflop,
            evidence_digest=bytes(32),
            **self.signed(),
        )
        try:
            self.governor.order(order)
        except HistoryError:
            return
        if workload == UNDECLARED:
            chain.silent -= amount_tflop
            assert chain.silent >= 0
            return
        chain.relieved += amount_tflop
        assert chain.relieved <= chain.unaccounted

    def check(self) -> None:
        known = sum(one.counted - one.relieved for one in (*self.chains, *self.ended))
        first, *others = (self.totals(scope) for scope in SCOPES)
        assert first.used_tflop >= known
        assert min(first.settled_tflop, first.unaccounted_tflop, first.outstanding_tflop) >= 0
        assert all(totals == first for totals in others)


@settings(max_examples=100)
@given(st.lists(STEP, min_size=12, max_size=40))
def test_law_3_whatever_officers_rule_what_was_told_counts(
    steps: list[tuple[str, int, int]],
) -> None:
    with TemporaryDirectory() as folder:
        world = World(Path(folder) / "g.sqlite")
        for action, which, amount in steps:
            world.act(action, which, amount)
            world.check()
        world.governor.state.store.close()
